//! The sans-IO core: bytes and the current time go in, decisions come out.
//!
//! Nothing below this module knows of sockets, executors, wakers or clocks, so that the simulator can run it
//! for years of virtual time in a minute. Every type here is used in the same way:
//!
//! - `handle_*` tells it what the network, or the clock, did;
//! - mutators (`submit`, `cancel`, …) tell it what the application wants;
//! - `poll_*` asks it what the driver has to do next: bytes to write, endpoints to dial, sockets to close;
//! - getters change nothing.
//!
//! Time is an argument, in the form of [`time::Instant`], and never goes backwards. After any `handle_*` or
//! mutator, the driver polls in this order: transmit, then actions, then the next timeout.

pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod error;
pub(crate) mod maint;
pub(crate) mod pool;
pub(crate) mod resp;
pub(crate) mod targets;
pub(crate) mod time;
