//! The sans-IO core: bytes and the current time go in, decisions come out.
//!
//! This module contains no socket, executor, waker or clock, so that the simulator runs years of virtual time in a
//! minute. All types are used in the same way:
//!
//! - `handle_*` reports what the network or the clock did;
//! - mutators (`submit`, `cancel`, …) report what the application wants;
//! - `poll_*` returns what the driver has to do next: bytes to write, endpoints to dial, sockets to close;
//! - getters change no state.
//!
//! Time is an argument, a [`time::Instant`] that never goes backwards. After any `handle_*` call or mutator, the driver
//! polls in this order: transmit, then actions, then the next timeout.

pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod maint;
pub(crate) mod pool;
pub(crate) mod resp;
pub(crate) mod role;
pub(crate) mod root;
pub(crate) mod subscriptions;
pub(crate) mod targets;
pub(crate) mod time;
