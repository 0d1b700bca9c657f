//! Connections that are not shared, over real sockets: blocking commands, sessions and subscriptions, and what a handoff does with them.
//! `exclusive_in_tokio` runs the same tests over the other driver.

#[path = "../common/mod.rs"]
mod common;

mod blocking;
mod moves;
mod sessions;
mod subscriptions;
mod subscriptions_moving;
mod waits;
