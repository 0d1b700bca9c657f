//! [`ToArg`]: a value that can be an argument of a command.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::proto::resp::Encoder;

/// A value that can be an argument.
///
/// To implement it for your own type, return one of its fields:
///
/// ```
/// use hitless::ToArg;
/// use hitless::command::Argument;
///
/// struct UserId(u64);
/// struct Session { key: String }
///
/// impl ToArg for UserId {
///     fn to_arg(&self) -> Argument<'_> { self.0.to_arg() }
/// }
/// impl ToArg for Session {
///     fn to_arg(&self) -> Argument<'_> { Argument::Bytes(self.key.as_bytes()) }
/// }
/// ```
pub trait ToArg {
    /// The value as exactly one argument.
    fn to_arg(&self) -> Argument<'_>;
}

/// One argument of a command, before it is encoded. `Debug` shows its length, never its content.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Argument<'a> {
    /// Any bytes, borrowed.
    Bytes(&'a [u8]),
    /// A number, sent as decimal digits.
    Integer(i64),
    /// Bytes that were made from the value, such as the digits of a float.
    Owned(Vec<u8>),
}

impl fmt::Debug for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Bytes(bytes) => write!(f, "({} bytes)", bytes.len()),
            Argument::Owned(bytes) => write!(f, "({} bytes)", bytes.len()),
            Argument::Integer(_) => f.write_str("(integer)"),
        }
    }
}

impl Argument<'_> {
    #[inline]
    pub(crate) fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Argument::Bytes(bytes) => encoder.bytes(bytes),
            Argument::Integer(number) => encoder.integer(*number),
            Argument::Owned(bytes) => encoder.bytes(bytes),
        }
    }
}

impl ToArg for Argument<'_> {
    fn to_arg(&self) -> Argument<'_> {
        match self {
            Argument::Bytes(bytes) => Argument::Bytes(bytes),
            Argument::Integer(number) => Argument::Integer(*number),
            Argument::Owned(bytes) => Argument::Bytes(bytes),
        }
    }
}

macro_rules! bytes_to_arg {
    ($($kind:ty),*) => {$(
        impl ToArg for $kind {
            #[inline]
            fn to_arg(&self) -> Argument<'_> {
                Argument::Bytes(self.as_ref())
            }
        }
    )*};
}

macro_rules! integer_to_arg {
    ($($kind:ty),*) => {$(
        impl ToArg for $kind {
            #[inline]
            fn to_arg(&self) -> Argument<'_> {
                match i64::try_from(*self) {
                    Ok(number) => Argument::Integer(number),
                    Err(_) => Argument::Owned(self.to_string().into_bytes()),
                }
            }
        }
    )*};
}

macro_rules! text_to_arg {
    ($($kind:ty),*) => {$(
        impl ToArg for $kind {
            fn to_arg(&self) -> Argument<'_> {
                Argument::Owned(self.to_string().into_bytes())
            }
        }
    )*};
}

bytes_to_arg!(str, String, [u8], Vec<u8>, Bytes);
integer_to_arg!(u8, i8, u16, i16, u32, i32, u64, i64, u128, i128, usize, isize);
// Rust prints as many digits of a float as are needed to read the same number back.
text_to_arg!(f32, f64);

impl<const N: usize> ToArg for [u8; N] {
    #[inline]
    fn to_arg(&self) -> Argument<'_> {
        Argument::Bytes(self)
    }
}

impl<T: ToArg + ?Sized> ToArg for &T {
    #[inline]
    fn to_arg(&self) -> Argument<'_> {
        (**self).to_arg()
    }
}

macro_rules! pointer_to_arg {
    ($($pointer:ident),*) => {$(
        impl<T: ToArg + ?Sized> ToArg for $pointer<T> {
            #[inline]
            fn to_arg(&self) -> Argument<'_> {
                (**self).to_arg()
            }
        }
    )*};
}

pointer_to_arg!(Arc, Box, Rc);

impl<T: ToArg + ToOwned + ?Sized> ToArg for std::borrow::Cow<'_, T> {
    fn to_arg(&self) -> Argument<'_> {
        self.as_ref().to_arg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_the_text_that_redis_expects() {
        let cases: [(&dyn ToArg, &str); 7] = [
            (&"text", "text"),
            (&String::from("string"), "string"),
            (&b"bytes", "bytes"),
            (&-5i8, "-5"),
            (&u64::MAX, "18446744073709551615"),
            (&1.5f64, "1.5"),
            (&f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            let mut out = Vec::new();
            value.to_arg().encode(&mut Encoder::arguments(&mut out));
            assert_eq!(String::from_utf8(out).unwrap(), format!("${}\r\n{text}\r\n", text.len()));
        }
    }
}
