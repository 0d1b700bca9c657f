//! The sockets of the server. They move bytes and carry out the server's decisions.

pub(crate) mod cluster;
mod connection;
pub(crate) mod dial;
pub(crate) mod listener;
pub(crate) mod raw;
pub(crate) mod serving;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod upstream;
