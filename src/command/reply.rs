//! [`FromReply`]: what a reply can become.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::proto::resp::Frame;

/// A type that replies can be turned into.
///
/// Conversions know the shapes of RESP2 and of RESP3: numbers may come as digits, maps as flat arrays, and truth as
/// 0 and 1. An error reply becomes an [`Error`] of the kind [`Server`](crate::ErrorKind::Server) unless the type is
/// [`Frame`] or `Result<T, Error>`, which keep it. A null becomes `None`; it is an error for types without one.
pub trait FromReply: Sized {
    /// Turns a reply into this type.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if the reply is an error,
    /// [`ErrorKind::ReplyType`](crate::ErrorKind::ReplyType) if it has another shape than this type needs.
    fn from_reply(reply: Frame) -> Result<Self>;
}

impl FromReply for Frame {
    #[inline]
    fn from_reply(reply: Frame) -> Result<Self> {
        Ok(reply)
    }
}

/// Any reply that is not an error.
impl FromReply for () {
    #[inline]
    fn from_reply(reply: Frame) -> Result<Self> {
        checked(reply).map(|_| ())
    }
}

/// Keeps an error reply, or one of another type, as a value: for elements of a pipeline.
impl<T: FromReply> FromReply for Result<T, Error> {
    fn from_reply(reply: Frame) -> Result<Self> {
        Ok(T::from_reply(reply))
    }
}

impl<T: FromReply> FromReply for Option<T> {
    #[inline]
    fn from_reply(reply: Frame) -> Result<Self> {
        match reply {
            Frame::Null => Ok(None),
            Frame::Attributed { frame, .. } => Self::from_reply(*frame),
            reply => T::from_reply(reply).map(Some),
        }
    }
}

/// The payload itself, without a copy.
impl FromReply for Bytes {
    #[inline]
    fn from_reply(reply: Frame) -> Result<Self> {
        match reply {
            // The commonest reply by far does not go through the general case.
            Frame::Bulk(bytes) => Ok(bytes),
            reply => text(reply),
        }
    }
}

fn text(reply: Frame) -> Result<Bytes> {
    match checked(reply)? {
        Frame::Bulk(bytes) | Frame::Simple(bytes) | Frame::BigNumber(bytes) => Ok(bytes),
        Frame::Verbatim { text, .. } => Ok(text),
        Frame::Integer(number) => Ok(Bytes::from(number.to_string())),
        Frame::Double(number) => Ok(Bytes::from(number.to_string())),
        reply => Err(Error::unexpected("a string", &reply)),
    }
}

impl FromReply for String {
    fn from_reply(reply: Frame) -> Result<Self> {
        let bytes = Bytes::from_reply(reply)?;
        String::from_utf8(bytes.into()).map_err(|error| {
            let reply = Frame::Bulk(error.into_bytes().into());
            Error::unexpected("text in UTF-8 (take bytes::Bytes for binary values)", &reply)
        })
    }
}

/// True for 1, `t` and `OK`; false for 0, `f` and null.
impl FromReply for bool {
    fn from_reply(reply: Frame) -> Result<Self> {
        match checked(reply)? {
            Frame::Boolean(truth) => Ok(truth),
            Frame::Integer(0) | Frame::Null => Ok(false),
            Frame::Integer(1) => Ok(true),
            Frame::Simple(text) if &text[..] == b"OK" => Ok(true),
            Frame::Bulk(text) if &text[..] == b"0" => Ok(false),
            Frame::Bulk(text) if &text[..] == b"1" => Ok(true),
            reply => Err(Error::unexpected("true or false", &reply)),
        }
    }
}

impl FromReply for f64 {
    fn from_reply(reply: Frame) -> Result<Self> {
        match checked(reply)? {
            Frame::Double(number) => Ok(number),
            Frame::Integer(number) => Ok(number as f64),
            Frame::Bulk(text) | Frame::Simple(text) => {
                parse(&text).ok_or_else(|| Error::unexpected("a floating-point number", &Frame::Bulk(text)))
            }
            reply => Err(Error::unexpected("a floating-point number", &reply)),
        }
    }
}

macro_rules! integer_from_reply {
    ($($kind:ty),*) => {$(
        impl FromReply for $kind {
            #[inline]
            fn from_reply(reply: Frame) -> Result<Self> {
                let expected = concat!("a number that fits in ", stringify!($kind));
                match checked(reply)? {
                    Frame::Integer(number) => <$kind>::try_from(number)
                        .map_err(|_| Error::unexpected(expected, &Frame::Integer(number))),
                    Frame::Bulk(text) | Frame::Simple(text) | Frame::BigNumber(text) => parse(&text)
                        .ok_or_else(|| Error::unexpected(expected, &Frame::Bulk(text))),
                    Frame::Boolean(truth) => Ok(<$kind>::from(truth)),
                    reply => Err(Error::unexpected(expected, &reply)),
                }
            }
        }
    )*};
}

integer_from_reply!(i64, u64, i32, u32, u16, i16, u8, i8, usize, isize);

/// One element for each of the reply's; `Vec<u8>` is a list of numbers: take [`Bytes`] for binary values.
impl<T: FromReply> FromReply for Vec<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        items(reply)?.into_iter().map(T::from_reply).collect()
    }
}

impl<K: FromReply + Eq + Hash, V: FromReply, S: BuildHasher + Default> FromReply for HashMap<K, V, S> {
    fn from_reply(reply: Frame) -> Result<Self> {
        pairs(reply)?.into_iter().map(pair).collect()
    }
}

impl<K: FromReply + Ord, V: FromReply> FromReply for BTreeMap<K, V> {
    fn from_reply(reply: Frame) -> Result<Self> {
        pairs(reply)?.into_iter().map(pair).collect()
    }
}

macro_rules! tuple_from_reply {
    ($count:literal, $($element:ident),*) => {
        /// One reply for each element, in their order: what a pipeline returns.
        impl<$($element: FromReply),*> FromReply for ($($element,)*) {
            fn from_reply(reply: Frame) -> Result<Self> {
                let found = items(reply)?;
                if found.len() != $count {
                    let expected = concat!("an array of ", $count, " elements");
                    return Err(Error::unexpected(expected, &Frame::Array(found)));
                }
                let mut items = found.into_iter();
                Ok(($($element::from_reply(items.next().unwrap_or(Frame::Null))?,)*))
            }
        }
    };
}

tuple_from_reply!(2, A, B);
tuple_from_reply!(3, A, B, C);
tuple_from_reply!(4, A, B, C, D);
tuple_from_reply!(5, A, B, C, D, E);
tuple_from_reply!(6, A, B, C, D, E, F);

/// The reply without attributes, unless it is an error.
#[inline]
fn checked(reply: Frame) -> Result<Frame> {
    match reply.without_attributes() {
        Frame::Error(text) => Err(Error::from_server(&text)),
        reply => Ok(reply),
    }
}

fn items(reply: Frame) -> Result<Vec<Frame>> {
    match checked(reply)? {
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => Ok(items),
        Frame::Map(pairs) => Ok(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        reply => Err(Error::unexpected("an array", &reply)),
    }
}

fn pairs(reply: Frame) -> Result<Vec<(Frame, Frame)>> {
    match checked(reply)? {
        Frame::Map(pairs) => Ok(pairs),
        Frame::Array(items) if items.len().is_multiple_of(2) => {
            let mut items = items.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Ok(pairs)
        }
        reply => Err(Error::unexpected("a map", &reply)),
    }
}

fn pair<K: FromReply, V: FromReply>((key, value): (Frame, Frame)) -> Result<(K, V)> {
    Ok((K::from_reply(key)?, V::from_reply(value)?))
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn bulk(text: &'static str) -> Frame {
        Frame::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_shapes_of_both_protocols_give_the_same_values() {
        assert_eq!(i64::from_reply(Frame::Integer(-3)).unwrap(), -3);
        assert_eq!(i64::from_reply(bulk("-3")).unwrap(), -3);
        assert_eq!(f64::from_reply(Frame::Double(0.5)).unwrap(), 0.5);
        assert_eq!(f64::from_reply(bulk("0.5")).unwrap(), 0.5);
        assert!(bool::from_reply(Frame::Boolean(true)).unwrap());
        assert!(bool::from_reply(Frame::Integer(1)).unwrap());
        let flat = Frame::Array(vec![bulk("a"), bulk("1"), bulk("b"), bulk("2")]);
        let map = Frame::Map(vec![(bulk("a"), Frame::Integer(1)), (bulk("b"), Frame::Integer(2))]);
        let expected = BTreeMap::from([("a".to_owned(), 1u8), ("b".to_owned(), 2)]);
        assert_eq!(BTreeMap::from_reply(flat).unwrap(), expected);
        assert_eq!(BTreeMap::from_reply(map).unwrap(), expected);
    }

    #[test]
    fn attributes_in_front_of_a_reply_are_passed_over() {
        let attributed = |frame| Frame::Attributed { attributes: Vec::new(), frame: Box::new(frame) };
        assert_eq!(Option::<String>::from_reply(attributed(Frame::Null)).unwrap(), None);
        assert_eq!(Option::<String>::from_reply(attributed(bulk("x"))).unwrap(), Some("x".into()));
        assert_eq!(i64::from_reply(attributed(Frame::Integer(1))).unwrap(), 1);
    }

    #[test]
    fn nulls_are_none_and_nothing_else() {
        assert_eq!(Option::<String>::from_reply(Frame::Null).unwrap(), None);
        assert_eq!(Option::<String>::from_reply(bulk("x")).unwrap(), Some("x".into()));
        let error = String::from_reply(Frame::Null).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::ReplyType, "expected a string, got null".into())
        );
    }

    #[test]
    fn an_error_reply_is_an_error_wherever_it_is_not_asked_for() {
        let reply = || Frame::Error(Bytes::from_static(b"WRONGTYPE no"));
        assert_eq!(<()>::from_reply(reply()).unwrap_err().code(), Some("WRONGTYPE"));
        assert_eq!(Option::<i64>::from_reply(reply()).unwrap_err().kind(), ErrorKind::Server);
        assert_eq!(Frame::from_reply(reply()).unwrap(), reply());
        let each = Vec::<Result<i64>>::from_reply(Frame::Array(vec![Frame::Integer(1), reply()])).unwrap();
        assert_eq!(each[0].as_ref().unwrap(), &1);
        assert_eq!(each[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    }

    #[test]
    fn a_number_out_of_range_is_refused_not_cut() {
        let error = u8::from_reply(Frame::Integer(256)).unwrap_err();
        assert_eq!(error.to_string(), "expected a number that fits in u8, got the integer 256");
    }

    #[test]
    fn tuples_take_a_pipelines_replies_apart() {
        let reply = Frame::Array(vec![Frame::Integer(1), bulk("two"), Frame::Null]);
        let (one, two, three): (i64, String, Option<String>) = FromReply::from_reply(reply.clone()).unwrap();
        assert_eq!((one, two.as_str(), three), (1, "two", None));
        assert!(<(i64, String)>::from_reply(reply).is_err());
    }

    #[test]
    fn bytes_are_handed_on_without_a_copy() {
        let payload = Bytes::from(vec![7u8; 100]);
        let taken = Bytes::from_reply(Frame::Bulk(payload.clone())).unwrap();
        assert_eq!(taken.as_ptr(), payload.as_ptr());
    }
}
