//! The tests of `tls` over the driver inside tokio.

#[path = "tls/certificates.rs"]
mod certificates;
mod common;
#[path = "tls/records.rs"]
mod records;
