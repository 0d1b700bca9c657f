//! What wakes the driver of a connection.

#[path = "../../src/driver/wakers.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
mod wakers;

mod models;
