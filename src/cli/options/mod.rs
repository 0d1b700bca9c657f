//! Options that several commands have, and the parsers of option values.

pub(crate) mod config_error;
pub(crate) mod help;
pub(crate) mod limits;
pub(crate) mod login;
pub(crate) mod parse;
pub(crate) mod secrets;
pub(crate) mod tls;
pub(crate) mod versus;
