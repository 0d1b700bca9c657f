//! [`Json`]: a value that is stored as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::unencodable;
use crate::command::{Argument, FromReply};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

/// A value that is stored as JSON. As the type of a reply, it decodes the JSON; a missing key is `None` of an
/// `Option<Json<T>>`.
///
/// ```no_run
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// use std::collections::BTreeMap;
/// use hitless::serde::Json;
///
/// client.set("prices", Json::encode(&BTreeMap::from([("tea", 3)]))?).await?;
/// let prices: Option<Json<BTreeMap<String, u32>>> = client.get("prices").await?;
/// # let _ = prices;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Json<T>(pub T);

impl Json<()> {
    /// Encodes a value as JSON, as an argument of a command.
    ///
    /// # Errors
    /// [`ErrorKind::Encode`] if JSON cannot represent the value, such as a map whose keys are not strings.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Argument<'static>> {
        serde_json::to_vec(value).map(Argument::Owned).map_err(unencodable)
    }
}

impl<T: DeserializeOwned> FromReply for Json<T> {
    /// # Errors
    /// [`ErrorKind::ReplyType`] if the reply is not text, or the text is not JSON of this type. The error holds no values.
    fn from_reply(reply: Frame) -> Result<Self> {
        let text = bytes::Bytes::from_reply(reply)?;
        serde_json::from_slice(&text).map(Json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let problem = match error.classify() {
                serde_json::error::Category::Data => "JSON of another type than this",
                _ => "no JSON",
            };
            let expected = std::any::type_name::<T>();
            let detail = format!("expected JSON of {expected}, got {problem} (line {line}, column {column})");
            Error::new(ErrorKind::ReplyType, Outcome::Answered, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    fn decode<T: DeserializeOwned>(text: &'static str) -> Result<Json<T>> {
        Json::from_reply(Frame::Bulk(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn encoded_json_is_decoded() {
        let value = BTreeMap::from([("a", vec![1, 2]), ("b", vec![])]);
        assert_eq!(Json::encode(&value).unwrap(), Argument::Owned(br#"{"a":[1,2],"b":[]}"#.to_vec()));
        let Json(found) = decode::<BTreeMap<String, Vec<u8>>>(r#"{"a":[1,2],"b":[]}"#).unwrap();
        assert_eq!(found["a"], [1, 2]);
        assert_eq!(Option::<Json<u8>>::from_reply(Frame::Null).unwrap(), None);
        assert_eq!(Json::encode(&BTreeMap::from([((1, 2), 3)])).unwrap_err().kind(), ErrorKind::Encode);
    }

    #[test]
    fn errors_name_the_place_and_hold_no_values() {
        for (text, problem) in [(r#"["s3cret"]"#, "another type"), ("s3cret", "no JSON")] {
            let error = decode::<Vec<u8>>(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReplyType);
            let text = error.to_string();
            assert!(text.contains(problem) && text.contains("line 1") && !text.contains("s3cret"), "{text}");
        }
    }
}
