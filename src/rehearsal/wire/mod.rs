//! RESP as this server reads and writes it.

pub(crate) mod frames;
pub(crate) mod hello;
pub(crate) mod number;
pub(crate) mod reply;
pub(crate) mod request;
