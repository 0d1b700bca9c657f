//! [`FromReply`]: a type that a reply converts to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::proto::resp::Frame;

/// A type that replies convert to.
///
/// Conversions accept the shapes of RESP2 and of RESP3. Numbers may arrive as digits, and booleans as 0 and 1. Maps, lists of
/// pairs and flat arrays convert to each other, so members with scores convert to `Vec<(String, f64)>` or
/// `HashMap<String, f64>` in both protocols. An error reply becomes an [`Error`] of the kind
/// [`Server`](crate::ErrorKind::Server), unless the type is [`Frame`] or `Result<T, Error>`, which keep it. A null becomes
/// `None`; for types without a `None` it is an error.
pub trait FromReply: Sized {
    /// Converts a reply to this type.
    ///
    /// # Errors
    /// [`ErrorKind::Server`](crate::ErrorKind::Server) if the reply is an error,
    /// [`ErrorKind::ReplyType`](crate::ErrorKind::ReplyType) if its shape does not fit this type.
    fn from_reply(reply: Frame) -> Result<Self>;

    /// Converts a reply other than null to this type, if it may be absent. Types override it whose absence has another shape.
    #[doc(hidden)]
    fn option_from_reply(reply: Frame) -> Result<Option<Self>> {
        Self::from_reply(reply).map(Some)
    }

    /// Converts a reply to a list of this type. The default converts each element.
    #[doc(hidden)]
    fn list_from_reply(reply: Frame) -> Result<Vec<Self>> {
        items(reply)?.into_iter().map(Self::from_reply).collect()
    }
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

/// Keeps an error reply, or a reply of the wrong type, as a value: for elements of a pipeline.
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
            reply => T::option_from_reply(reply),
        }
    }
}

/// The payload itself, without a copy.
impl FromReply for Bytes {
    #[inline]
    fn from_reply(reply: Frame) -> Result<Self> {
        match reply {
            // The most frequent reply skips the general case.
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

/// The nearest `f32` to the server's number.
impl FromReply for f32 {
    fn from_reply(reply: Frame) -> Result<Self> {
        f64::from_reply(reply).map(|number| number as f32)
    }
}

macro_rules! integer_from_reply {
    ($($kind:ty),*) => { $(integer_from_reply!(@one $kind {});)* };
    (u8 or bytes) => {
        integer_from_reply!(@one u8 {
            fn list_from_reply(reply: Frame) -> Result<Vec<u8>> {
                match reply {
                    Frame::Bulk(bytes) | Frame::Simple(bytes) | Frame::Verbatim { text: bytes, .. } => Ok(bytes.into()),
                    reply => items(reply)?.into_iter().map(u8::from_reply).collect(),
                }
            }
        });
    };
    (@one $kind:ty { $($list:item)? }) => {
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

            $($list)?
        }
    };
}

integer_from_reply!(i64, u64, i32, u32, u16, i16, i8, usize, isize, i128, u128);
integer_from_reply!(u8 or bytes);

/// Each element converts to one of this list, or each pair to one if `T` is a pair. `Vec<u8>` also accepts a string;
/// [`Bytes`] does so without a copy.
impl<T: FromReply> FromReply for Vec<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        T::list_from_reply(reply)
    }
}

impl<T: FromReply> FromReply for VecDeque<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        T::list_from_reply(reply).map(VecDeque::from)
    }
}

impl<T: FromReply + Eq + Hash, S: BuildHasher + Default> FromReply for HashSet<T, S> {
    fn from_reply(reply: Frame) -> Result<Self> {
        T::list_from_reply(reply).map(|list| list.into_iter().collect())
    }
}

impl<T: FromReply + Ord> FromReply for BTreeSet<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        T::list_from_reply(reply).map(BTreeSet::from_iter)
    }
}

impl<K: FromReply + Eq + Hash, V: FromReply, S: BuildHasher + Default> FromReply for HashMap<K, V, S> {
    fn from_reply(reply: Frame) -> Result<Self> {
        pairs(reply, "a map")?.into_iter().map(pair).collect()
    }
}

impl<K: FromReply + Ord, V: FromReply> FromReply for BTreeMap<K, V> {
    fn from_reply(reply: Frame) -> Result<Self> {
        pairs(reply, "a map")?.into_iter().map(pair).collect()
    }
}

macro_rules! tuple_from_reply {
    ($count:literal, $($element:ident),* $(; $list:item)?) => {
        /// One reply for each element, in order, as a pipeline returns them.
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

            $($list)?
        }
    };
}

tuple_from_reply!(1, A);
tuple_from_reply!(2, A, B;
    fn list_from_reply(reply: Frame) -> Result<Vec<Self>> {
        pairs(reply, "an array of pairs")?.into_iter().map(pair).collect()
    }
);
tuple_from_reply!(3, A, B, C);
tuple_from_reply!(4, A, B, C, D);
tuple_from_reply!(5, A, B, C, D, E);
tuple_from_reply!(6, A, B, C, D, E, F);
tuple_from_reply!(7, A, B, C, D, E, F, G);
tuple_from_reply!(8, A, B, C, D, E, F, G, H);
tuple_from_reply!(9, A, B, C, D, E, F, G, H, I);
tuple_from_reply!(10, A, B, C, D, E, F, G, H, I, J);
tuple_from_reply!(11, A, B, C, D, E, F, G, H, I, J, K);
tuple_from_reply!(12, A, B, C, D, E, F, G, H, I, J, K, L);

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

/// The pairs of a map, of an array of pairs, or of a flat array.
fn pairs(reply: Frame, expected: &str) -> Result<Vec<(Frame, Frame)>> {
    match checked(reply)? {
        Frame::Map(pairs) => Ok(pairs),
        Frame::Array(items)
            if items.iter().all(|item| matches!(item, Frame::Array(pair) if pair.len() == 2)) =>
        {
            let pair = |item| match item {
                Frame::Array(pair) => <[Frame; 2]>::try_from(pair).ok().map(|[key, value]| (key, value)),
                _ => None,
            };
            Ok(items.into_iter().filter_map(pair).collect())
        }
        Frame::Array(items) if items.len().is_multiple_of(2) => {
            let mut items = items.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Ok(pairs)
        }
        Frame::Array(items) => {
            let error = format!("{expected}, or an even number of elements");
            Err(Error::unexpected(&error, &Frame::Array(items)))
        }
        reply => Err(Error::unexpected(expected, &reply)),
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
    fn both_protocols_give_the_same_values() {
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
    fn pairs_convert_from_flat_nested_and_map_replies() {
        let flat = Frame::Array(vec![bulk("a"), bulk("1"), bulk("b"), bulk("inf")]);
        let nested = Frame::Array(vec![
            Frame::Array(vec![bulk("a"), Frame::Double(1.0)]),
            Frame::Array(vec![bulk("b"), Frame::Double(f64::INFINITY)]),
        ]);
        let map =
            Frame::Map(vec![(bulk("a"), Frame::Double(1.0)), (bulk("b"), Frame::Double(f64::INFINITY))]);
        let expected = [("a".to_owned(), 1.0), ("b".to_owned(), f64::INFINITY)];
        for reply in [flat, nested, map] {
            assert_eq!(Vec::<(String, f64)>::from_reply(reply.clone()).unwrap(), expected);
            assert_eq!(BTreeMap::from_reply(reply).unwrap(), BTreeMap::from(expected.clone()));
        }
        // Streams return a list of lists by key: as a map, or as an array of pairs.
        let entries = || Frame::Array(vec![bulk("x"), bulk("y")]);
        for reply in [
            Frame::Map(vec![(bulk("s"), entries())]),
            Frame::Array(vec![Frame::Array(vec![bulk("s"), entries()])]),
            Frame::Array(vec![bulk("s"), entries()]),
        ] {
            let streams = BTreeMap::<String, Vec<String>>::from_reply(reply).unwrap();
            assert_eq!(streams, BTreeMap::from([("s".to_owned(), vec!["x".to_owned(), "y".to_owned()])]));
        }
        let error = Vec::<(String, f64)>::from_reply(Frame::Array(vec![bulk("a")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected an array of pairs, or an even number of elements, got an array of 1 elements"
        );
        assert!(Vec::<(String, f64)>::from_reply(Frame::Array(Vec::new())).unwrap().is_empty());
    }

    #[test]
    fn byte_vectors_accept_strings_and_arrays_of_numbers() {
        assert_eq!(Vec::<u8>::from_reply(bulk("ab")).unwrap(), b"ab");
        assert_eq!(Vec::<u8>::from_reply(Frame::Array(vec![Frame::Integer(7)])).unwrap(), [7]);
        assert!(Vec::<u8>::from_reply(Frame::Null).is_err());
    }

    #[test]
    fn attributes_are_skipped() {
        let attributed = |frame| Frame::Attributed { attributes: Vec::new(), frame: Box::new(frame) };
        assert_eq!(Option::<String>::from_reply(attributed(Frame::Null)).unwrap(), None);
        assert_eq!(Option::<String>::from_reply(attributed(bulk("x"))).unwrap(), Some("x".into()));
        assert_eq!(i64::from_reply(attributed(Frame::Integer(1))).unwrap(), 1);
    }

    #[test]
    fn null_converts_to_none_only() {
        assert_eq!(Option::<String>::from_reply(Frame::Null).unwrap(), None);
        assert_eq!(Option::<String>::from_reply(bulk("x")).unwrap(), Some("x".into()));
        let error = String::from_reply(Frame::Null).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (ErrorKind::ReplyType, "expected a string, got null".into())
        );
    }

    #[test]
    fn error_reply_is_an_error_unless_the_type_keeps_it() {
        let reply = || Frame::Error(Bytes::from_static(b"WRONGTYPE no"));
        assert_eq!(<()>::from_reply(reply()).unwrap_err().code(), Some("WRONGTYPE"));
        assert_eq!(Option::<i64>::from_reply(reply()).unwrap_err().kind(), ErrorKind::Server);
        assert_eq!(Frame::from_reply(reply()).unwrap(), reply());
        let each = Vec::<Result<i64>>::from_reply(Frame::Array(vec![Frame::Integer(1), reply()])).unwrap();
        assert_eq!(each[0].as_ref().unwrap(), &1);
        assert_eq!(each[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    }

    #[test]
    fn number_out_of_range_is_an_error() {
        let error = u8::from_reply(Frame::Integer(256)).unwrap_err();
        assert_eq!(error.to_string(), "expected a number that fits in u8, got an integer");
    }

    #[test]
    fn tuples_convert_the_replies_of_a_pipeline() {
        let reply = Frame::Array(vec![Frame::Integer(1), bulk("two"), Frame::Null]);
        let (one, two, three): (i64, String, Option<String>) = FromReply::from_reply(reply.clone()).unwrap();
        assert_eq!((one, two.as_str(), three), (1, "two", None));
        assert!(<(i64, String)>::from_reply(reply).is_err());
    }

    #[test]
    fn bytes_are_not_copied() {
        let payload = Bytes::from(vec![7u8; 100]);
        let taken = Bytes::from_reply(Frame::Bulk(payload.clone())).unwrap();
        assert_eq!(taken.as_ptr(), payload.as_ptr());
    }
}
