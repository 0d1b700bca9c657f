//! The tests of `client_calls` over the driver inside tokio.

#[path = "client_calls/cancellations.rs"]
mod cancellations;
mod common;
#[path = "client_calls/credentials.rs"]
mod credentials;
#[path = "client_calls/deadlines.rs"]
mod deadlines;
#[path = "client_calls/floods.rs"]
mod floods;
#[path = "client_calls/many_calls.rs"]
mod many_calls;
#[path = "client_calls/secrets.rs"]
mod secrets;
#[path = "client_calls/server_errors.rs"]
mod server_errors;
#[path = "client_calls/stats.rs"]
mod stats;
#[path = "client_calls/unix.rs"]
mod unix;
