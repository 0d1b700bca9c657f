//! Sockets in front of the server: it decides, and they obey.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod listener;
pub(crate) mod raw;
pub(crate) mod serving;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod upstream;
