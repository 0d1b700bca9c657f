//! Calls through a client over real sockets: their results, their deadlines, what cancels them, and what servers do wrong.
//! `client_calls_in_tokio` runs the same tests over the other driver.

#[path = "../common/mod.rs"]
mod common;

mod cancellations;
#[cfg(feature = "cli")]
mod credentials;
mod deadlines;
#[cfg(feature = "cli")]
mod floods;
mod many_calls;
mod secrets;
#[cfg(feature = "cli")]
mod server_errors;
mod stats;
mod unix;
