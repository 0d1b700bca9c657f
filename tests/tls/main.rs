//! TLS over real sockets. `tls_in_tokio` runs the same tests over the other driver.

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod records;
