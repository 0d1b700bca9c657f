//! The client on real clusters. `cluster_in_tokio` runs the same tests over the other driver.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod faults;
