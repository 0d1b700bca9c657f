//! The wire format: RESP3, and the nulls of RESP2.
//!
//! See the [RESP specification](https://redis.io/docs/latest/develop/reference/protocol-spec/).

mod aggregate;
mod blob;
mod decoder;
mod encoder;
mod frame;
mod limits;
mod published;
mod skip;
mod wire;

pub(crate) use decoder::Decoder;
#[cfg(test)]
pub(crate) use decoder::tests::allocation::peak_of;
pub(crate) use encoder::Encoder;
pub use frame::Frame;
pub(crate) use limits::DecodeError;
pub use limits::Limits;
pub(crate) use published::{Published, PublishedKind};
