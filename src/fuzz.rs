//! What is promised of whatever bytes arrive, as one function a promise: each takes any bytes, and panics if they
//! break it.
//!
//! A fuzzer calls these (`scripts/fuzz`), and so do the unit tests here, with random bytes and with every file of
//! `tests/fuzz/corpus`. They exist in builds for tests and for fuzzing only, and are nobody's interface.

mod address;
mod callers;
mod connection;
mod decoder;
mod encoder;
mod handshake;
mod notification;
mod peer;
mod script;
mod wire;

#[cfg(test)]
mod tests;

pub use address::address;
pub use connection::connection;
pub use decoder::decoder;
pub use encoder::encoder;
pub use handshake::handshake;
pub use notification::notification;
