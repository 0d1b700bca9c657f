//! The tests of `cluster` over the driver inside tokio.

#[path = "cluster/commands.rs"]
mod commands;
mod common;
#[path = "cluster/faults.rs"]
mod faults;
