//! The tests of `maintenance_alone` over the driver inside tokio.

#[path = "maintenance_alone.rs"]
mod maintenance_alone;
