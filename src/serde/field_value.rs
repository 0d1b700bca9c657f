//! [`FieldValue`]: deserializes one field of a row.

use std::fmt;

use bytes::Bytes;
use serde::de::value::StringDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::de::IoRead;

use crate::command::FromReply;
use crate::proto::resp::Frame;

/// The value of a field, with the name of the field.
pub(super) struct FieldValue {
    pub(super) name: String,
    pub(super) value: Frame,
}

/// Why a row cannot be deserialized. It names fields and types, and holds no value.
#[derive(Debug)]
pub(super) struct Mismatch(String);

impl FieldValue {
    fn read<T: FromReply>(self, expected: &str) -> Result<T, Mismatch> {
        let FieldValue { name, value } = self;
        T::from_reply(value).map_err(|_| Mismatch(format!("the field `{name}` is not {expected}")))
    }

    fn text(self) -> Result<String, Mismatch> {
        self.read("UTF-8 text")
    }

    /// Reads a value that is stored as JSON.
    fn json<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<IoRead<&[u8]>>) -> serde_json::Result<T>,
    ) -> Result<T, Mismatch> {
        let name = self.name.clone();
        let text: Bytes = self.read("text")?;
        // A reader, and not a slice: the result may outlive the text, so it must not borrow from it.
        let mut deserializer = serde_json::Deserializer::from_reader(&text[..]);
        read(&mut deserializer).map_err(|_| Mismatch(format!("the field `{name}` is not JSON of its type")))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            visitor.$visit(self.read::<$number>(concat!("a number that fits in ", stringify!($number)))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for FieldValue {
    type Error = Mismatch;

    numbers!(deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32);
    numbers!(deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128);
    numbers!(deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32);
    numbers!(deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128);
    numbers!(deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.value {
            Frame::Bulk(text) if &text[..] == b"true" => visitor.visit_bool(true),
            Frame::Bulk(text) if &text[..] == b"false" => visitor.visit_bool(false),
            _ => visitor.visit_bool(self.read("true or false")?),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_byte_buf(self.read::<Bytes>("text")?.into())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Frame::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let field = self.name.clone();
        let text = self.text()?;
        if variants.contains(&text.as_str()) {
            let variant: StringDeserializer<Mismatch> = text.into_deserializer();
            return variant.deserialize_enum(name, variants, visitor);
        }
        let mut deserializer = serde_json::Deserializer::from_reader(text.as_bytes());
        let decoded = deserializer.deserialize_enum(name, variants, visitor);
        decoded.map_err(|_| Mismatch(format!("the field `{field}` is not a variant of {name}")))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.json(|json| json.deserialize_seq(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.json(|json| json.deserialize_tuple(length, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.json(|json| json.deserialize_map(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.json(|json| json.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.json(|json| json.deserialize_tuple_struct(name, length, visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { char str string unit unit_struct identifier }
}

impl IntoDeserializer<'_, Mismatch> for FieldValue {
    type Deserializer = FieldValue;

    fn into_deserializer(self) -> FieldValue {
        self
    }
}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(_text: T) -> Self {
        // The message of an application type may hold the value.
        Mismatch("a field does not match its type".to_owned())
    }

    fn invalid_value(_unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Mismatch(format!("a field is not {expected}"))
    }

    fn invalid_type(_unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Mismatch(format!("a field is not {expected}"))
    }

    fn unknown_field(_field: &str, _expected: &'static [&'static str]) -> Self {
        Mismatch("the type does not have one of the fields".to_owned())
    }

    fn missing_field(field: &'static str) -> Self {
        Mismatch(format!("missing field `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Mismatch(format!("duplicate field `{field}`"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}
