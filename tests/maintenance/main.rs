//! Maintenance over real sockets, end to end: endpoints announce it, and callers must not notice it.

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod dns;
mod events;
mod failures;
mod load;
mod modes;
mod moves;
mod returns;
mod targets;
mod timeouts;
