//! Maintenance: what servers announce over RESP3, and what follows from it.
//!
//! Each file holds one decision, without sockets, clocks, or the pool that asks for it: what was announced
//! ([`notification`]), whether it is new ([`dedup`]), how long timeouts are relaxed ([`relax`]), which connections
//! may move now ([`queue`]), whether a target may be dialed again ([`breaker`]), and the state of one connection's
//! handoff ([`handoff`]).

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
