//! The wire format: RESP3, and the nulls of RESP2.
//!
//! See the [RESP specification](https://redis.io/docs/latest/develop/reference/protocol-spec/).

mod blob;
mod decoder;
mod encoder;
mod frame;

pub(crate) use decoder::DecodeError;
pub(crate) use decoder::Decoder;
pub use decoder::Limits;
pub(crate) use encoder::Encoder;
pub(crate) use frame::Excerpt;
pub use frame::Frame;
