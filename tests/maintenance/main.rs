//! Maintenance over real sockets, end to end: endpoints that announce it, and clients that nobody must hear of it from.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod failures;
mod load;
mod modes;
mod moves;
mod names;
mod returns;
mod targets;
mod telling;
mod timeouts;
