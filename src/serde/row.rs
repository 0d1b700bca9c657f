//! [`Row`]: a struct that is stored as a hash.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::Value;

use super::field_value::FieldValue;
use super::unencodable;
use crate::command::{Argument, FromReply, ToPairs};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

/// A struct that is stored as a hash, with one field of the hash for each field of the struct.
///
/// Strings, numbers, booleans and unit variants are stored as text, so that `HINCRBY` and other programs can use them. All
/// other values are stored as JSON. A field that is `None` is not written, and a missing field is read as `None`. A hash
/// that does not exist is `None` of an `Option<Row<T>>`. Entries of streams are rows as well: `Vec<(String, Row<T>)>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row<T>(pub T);

/// The fields of a [`Row`], encoded. `Debug` shows their names, never their values.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Row<()> {
    /// Encodes the fields of a struct, or of a map, for `hset` and `xadd`. Fields that are `None` are left out; use `hdel` to
    /// remove them.
    ///
    /// # Errors
    /// [`ErrorKind::Encode`] if the value has no fields.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Fields> {
        let Value::Object(fields) = serde_json::to_value(value).map_err(unencodable)? else {
            return Err(unencodable("it has no fields; use a struct or a map"));
        };
        let mut encoded = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.into_bytes(),
                Value::Bool(truth) => vec![b'0' + u8::from(truth)],
                other => serde_json::to_vec(&other).map_err(unencodable)?,
            };
            encoded.push((name, text));
        }
        Ok(Fields(encoded))
    }
}

impl ToPairs for Fields {
    fn each(&self, pair: impl FnMut(Argument<'_>, Argument<'_>)) {
        self.0.each(pair);
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<T: DeserializeOwned> FromReply for Row<T> {
    /// # Errors
    /// [`ErrorKind::ReplyType`] if the reply is not a map, or a field is missing or has another type. The error holds no
    /// values.
    fn from_reply(reply: Frame) -> Result<Self> {
        let fields = Vec::<(String, Frame)>::from_reply(reply)?;
        let values = fields.into_iter().map(|(name, value)| (name.clone(), FieldValue { name, value }));
        T::deserialize(MapDeserializer::new(values)).map(Row).map_err(
            |error: super::field_value::Mismatch| {
                let detail = format!("expected fields of {}: {error}", std::any::type_name::<T>());
                Error::new(ErrorKind::ReplyType, Outcome::Answered, detail)
            },
        )
    }

    fn option_from_reply(reply: Frame) -> Result<Option<Self>> {
        match &reply {
            // The reply of HGETALL for a hash that does not exist.
            Frame::Map(pairs) if pairs.is_empty() => Ok(None),
            Frame::Array(items) if items.is_empty() => Ok(None),
            _ => Self::from_reply(reply).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Guest,
        Member,
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct User {
        name: String,
        visits: u64,
        balance: i8,
        score: f64,
        active: bool,
        kind: Kind,
        email: Option<String>,
        age: Option<u8>,
        tags: Vec<String>,
        limits: BTreeMap<String, u8>,
    }

    fn user() -> User {
        User {
            name: "Ann".into(),
            visits: u64::MAX,
            balance: -7,
            score: 1.5,
            active: true,
            kind: Kind::Member,
            email: None,
            age: Some(40),
            tags: vec!["a".into(), "b".into()],
            limits: BTreeMap::from([("x".into(), 1)]),
        }
    }

    fn bulk(text: impl Into<Vec<u8>>) -> Frame {
        Frame::Bulk(Bytes::from(text.into()))
    }

    fn kept(fields: &Fields) -> Vec<(Frame, Frame)> {
        fields.0.iter().map(|(name, value)| (bulk(name.clone()), bulk(value.clone()))).collect()
    }

    #[test]
    fn encoded_struct_is_decoded_in_both_protocols() {
        let fields = Row::encode(&user()).unwrap();
        let texts: BTreeMap<_, _> =
            fields.0.iter().map(|(name, text)| (name.as_str(), std::str::from_utf8(text).unwrap())).collect();
        assert_eq!(
            (texts["visits"], texts["active"], texts["kind"]),
            ("18446744073709551615", "1", "member")
        );
        assert_eq!((texts["tags"], texts.contains_key("email")), (r#"["a","b"]"#, false));
        let map = kept(&fields);
        let flat = map.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect();
        for reply in [Frame::Map(map), Frame::Array(flat)] {
            assert_eq!(Row::from_reply(reply).unwrap(), Row(user()));
        }
    }

    #[test]
    fn missing_hash_is_none() {
        for reply in [Frame::Map(Vec::new()), Frame::Array(Vec::new()), Frame::Null] {
            assert_eq!(Option::<Row<User>>::from_reply(reply).unwrap(), None);
        }
        let error = Row::<User>::from_reply(Frame::Map(Vec::new())).unwrap_err();
        assert!(error.to_string().contains("missing field `name`"), "{error}");
    }

    #[test]
    fn errors_name_the_field_and_hold_no_values() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "it is not read")]
        struct Number {
            visits: u8,
        }
        for value in ["s3cret", "300"] {
            let reply = Frame::Map(vec![(bulk("visits"), bulk(value))]);
            let error = Row::<Number>::from_reply(reply).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReplyType);
            let text = error.to_string();
            assert!(text.contains("visits") && text.contains("u8") && !text.contains(value), "{text}");
        }
        assert_eq!(Row::encode(&7).unwrap_err().kind(), ErrorKind::Encode);
        assert_eq!(format!("{:?}", Row::encode(&BTreeMap::from([("a", "s3cret")])).unwrap()), r#"["a"]"#);
    }
}
