//! Replies as [`redis::Value`]s, and as the types that redis-rs converts those to.

use bytes::Bytes;
use redis::{FromRedisValue, PushKind, RedisError, RedisResult, Value, VerbatimFormat};

use crate::command::FromReply;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::{Outcome, redacted};
use crate::proto::resp::Frame;

/// A reply of any type that redis-rs converts values to: for [`Shard::run`](crate::Shard::run) and
/// [`Client::run`](crate::Client::run).
///
/// ```no_run
/// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
/// use hitless::redis_rs::FromRedis;
///
/// let range = hitless::Cmd::from(redis::cmd("LRANGE").arg("queue").arg(0).arg(-1));
/// let FromRedis(jobs): FromRedis<Vec<String>> = shard.run(&range).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FromRedis<T>(pub T);

impl<T: FromRedisValue> FromReply for FromRedis<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        let kind = reply.kind();
        let value = Value::from_reply(reply)?.extract_error().map_err(|error| {
            let text = [error.code(), error.detail()].map(Option::unwrap_or_default).join(" ");
            Error::from_server(text.trim_end().as_bytes())
        })?;
        T::from_redis_value(value).map(FromRedis).map_err(|_| wrong_type(kind))
    }
}

/// Keeps an error reply, as [`Value::ServerError`].
impl FromReply for Value {
    fn from_reply(reply: Frame) -> Result<Self> {
        let kind = reply.kind();
        Value::try_from(reply).map_err(|_| wrong_type(kind))
    }
}

/// It fails only for a big number that redis-rs cannot parse.
impl TryFrom<Frame> for Value {
    type Error = RedisError;

    fn try_from(frame: Frame) -> RedisResult<Self> {
        Ok(match frame {
            Frame::Bulk(bytes) => Value::BulkString(bytes.into()),
            Frame::Simple(text) if &text[..] == b"OK" => Value::Okay,
            Frame::Simple(text) => Value::SimpleString(lossy(&text)),
            Frame::Integer(number) => Value::Int(number),
            Frame::Null => Value::Nil,
            Frame::Boolean(truth) => Value::Boolean(truth),
            Frame::Double(number) => Value::Double(number),
            Frame::Verbatim { format, text } => {
                Value::VerbatimString { format: verbatim_format(format), text: lossy(&text) }
            }
            Frame::Array(items) => Value::Array(values(items)?),
            Frame::Set(items) => Value::Set(values(items)?),
            Frame::Map(pairs) => Value::Map(pairs_of_values(pairs)?),
            Frame::Attributed { attributes, frame } => Value::Attribute {
                data: Box::new(Value::try_from(*frame)?),
                attributes: pairs_of_values(attributes)?,
            },
            Frame::Push(items) => push(items)?,
            Frame::Error(text) => server_error(&text)?,
            // Its value in redis-rs depends on features of redis-rs, which this crate cannot see.
            Frame::BigNumber(digits) => read(&[b"(", &digits, b"\r\n"])?,
        })
    }
}

/// An error reply as redis-rs, which alone can construct one, parses it; without what the server quotes of commands.
pub(super) fn server_error(text: &Bytes) -> RedisResult<Value> {
    let text = redacted(text, text.len());
    let text = text.as_bytes();
    read(&[b"!", itoa::Buffer::new().format(text.len()).as_bytes(), b"\r\n", text, b"\r\n"])
}

fn read(wire: &[&[u8]]) -> RedisResult<Value> {
    redis::parse_redis_value(&wire.concat())
}

fn values(items: Vec<Frame>) -> RedisResult<Vec<Value>> {
    items.into_iter().map(Value::try_from).collect()
}

fn pairs_of_values(pairs: Vec<(Frame, Frame)>) -> RedisResult<Vec<(Value, Value)>> {
    pairs.into_iter().map(|(key, value)| Ok((Value::try_from(key)?, Value::try_from(value)?))).collect()
}

fn push(items: Vec<Frame>) -> RedisResult<Value> {
    let mut items = items.into_iter();
    let name = match items.next() {
        Some(Frame::Bulk(name) | Frame::Simple(name)) => lossy(&name),
        _ => String::new(),
    };
    let kind = match name.as_str() {
        "invalidate" => PushKind::Invalidate,
        "message" => PushKind::Message,
        "pmessage" => PushKind::PMessage,
        "smessage" => PushKind::SMessage,
        "unsubscribe" => PushKind::Unsubscribe,
        "punsubscribe" => PushKind::PUnsubscribe,
        "sunsubscribe" => PushKind::SUnsubscribe,
        "subscribe" => PushKind::Subscribe,
        "psubscribe" => PushKind::PSubscribe,
        "ssubscribe" => PushKind::SSubscribe,
        _ => PushKind::Other(name),
    };
    Ok(Value::Push { kind, data: values(items.collect())? })
}

fn verbatim_format(format: [u8; 3]) -> VerbatimFormat {
    match &format {
        b"txt" => VerbatimFormat::Text,
        b"mkd" => VerbatimFormat::Markdown,
        other => VerbatimFormat::Unknown(lossy(other)),
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The message of redis-rs about a value that does not convert contains the whole value, so it is left out.
fn wrong_type(kind: &str) -> Error {
    let detail = format!("the reply, of the kind {kind}, does not convert to the requested type");
    Error::new(ErrorKind::ReplyType, Outcome::Answered, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use redis::ServerErrorKind;

    use super::*;
    use crate::proto::resp::{Decoder, Limits};

    /// Parsing with redis-rs gives the same as parsing here and converting.
    #[test]
    fn every_frame_becomes_the_value_that_redis_rs_parses() {
        let wires: [&[u8]; 25] = [
            b"+OK\r\n",
            b"+QUEUED\r\n",
            b"-ERR unknown command\r\n",
            b"-WRONGTYPE Operation against a key\r\n",
            b"-NOSCRIPT\r\n",
            b"!9\r\nREADONLY \r\n",
            b":-7\r\n",
            b"$4\r\n\xff\r\n\0\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"_\r\n",
            b"#t\r\n",
            b"#f\r\n",
            b",3.5\r\n",
            b",-inf\r\n",
            b"(-3492890328409238509324850943850943825024385\r\n",
            b"=8\r\ntxt:text\r\n",
            b"=6\r\nmkd:#1\r\n",
            b"=5\r\nabc:x\r\n",
            b"*3\r\n:1\r\n*1\r\n+OK\r\n-ERR no\r\n",
            b"%1\r\n+key\r\n%1\r\n:1\r\n:2\r\n",
            b"~2\r\n:1\r\n:1\r\n",
            b"|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n",
            b">3\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n",
            b">2\r\n+ssubscribe\r\n:1\r\n",
        ];
        for wire in wires {
            let mut decoder = Decoder::new(Limits::default());
            let frame = decoder.decode(&mut &wire[..]).unwrap().unwrap();
            let (ours, theirs) = (Value::try_from(frame), redis::parse_redis_value(wire));
            assert_eq!(ours.unwrap(), theirs.unwrap(), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn server_errors_keep_their_kind_and_lose_no_lines() {
        let text = Bytes::from_static(b"NOSCRIPT no\r\nsuch script");
        let error = server_error(&text).unwrap().extract_error().unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::NoScript.into());
        assert_eq!(error.detail(), Some("no\r\nsuch script"));
    }

    #[test]
    fn replies_convert_to_types_of_redis_rs() {
        let bulk = |text: &'static str| Frame::Bulk(Bytes::from_static(text.as_bytes()));
        let map = Frame::Map(vec![(bulk("a"), Frame::Integer(1)), (bulk("b"), bulk("2"))]);
        let FromRedis(found): FromRedis<BTreeMap<String, u8>> = FromReply::from_reply(map).unwrap();
        assert_eq!(found, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
        let error = FromRedis::<u8>::from_reply(bulk(Box::leak("x".repeat(10_000).into()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReplyType);
        assert!(error.to_string().len() < 300, "{error}");
        let nested = Frame::Array(vec![Frame::Error(Bytes::from_static(b"OOM command not allowed"))]);
        let error = FromRedis::<Vec<u8>>::from_reply(nested).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (Some("OOM"), "OOM command not allowed"));
    }
}
