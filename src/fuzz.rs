//! Fuzz targets: one function for each promise that must hold for any input. Each takes arbitrary bytes and panics
//! when they break its promise.
//!
//! `scripts/fuzz` calls them with a fuzzer. The unit tests here call them with random bytes and with every file of
//! `tests/fuzz/corpus`. They are compiled for tests and for fuzzing only and are not part of the public API.

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
