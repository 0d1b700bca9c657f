//! Maintenance: what servers announce over RESP3, and what follows from it.
//!
//! Each file holds one decision, without sockets, clocks, or the pool that asks for it:
//!
//! - [`notification`]: what was announced,
//! - [`dedup`]: whether it is new,
//! - [`relax`]: how long timeouts are relaxed,
//! - [`queue`]: which connections may move now,
//! - [`breaker`]: whether a target may be dialed again,
//! - [`handoff`]: the state of one connection's handoff.

pub(crate) mod breaker;
pub(crate) mod dedup;
pub(crate) mod event;
pub(crate) mod handoff;
pub(crate) mod mode;
pub(crate) mod notification;
pub(crate) mod queue;
pub(crate) mod relax;
pub(crate) mod settings;
mod slots;
