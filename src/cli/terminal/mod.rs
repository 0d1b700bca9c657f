//! The terminal: messages, styles, the log, the live table, and Ctrl-C.

pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod message;
pub(crate) mod stop;
pub(crate) mod style;
