//! The commands of the in-memory server.
//!
//! Each family has a file with its functions and the table that lists them. Commands on data see a database and a reply;
//! commands on the connection see the session, the other sessions and the shared state. Blocking commands see the session
//! as well, because they can block it; [`unblocking`] tells how it continues. [`registry`] lists all families, and
//! [`dispatch`] finds and calls a command. The families know neither of these two.

pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod dispatch;
pub(crate) mod pubsub;
pub(crate) mod registry;
pub(crate) mod unblocking;

mod blocking;
mod client;
mod connection;
mod expiry;
mod hashes;
mod keys;
mod lists;
mod maint;
mod options;
mod rehearse;
mod server;
mod sets;
mod strings;
mod transactions;

#[cfg(test)]
pub(crate) mod testing;
