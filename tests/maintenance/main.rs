//! Maintenance over real sockets, end to end: endpoints announce it, and callers must not notice it.
//! `maintenance_in_tokio` runs the same tests over the other driver, without those of `executors`.

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod dns;
mod events;
mod executors;
mod failures;
mod load;
mod modes;
mod moves;
mod returns;
mod targets;
mod timeouts;
