//! Maintenance: what servers announce over RESP3, and what follows from it.
//!
//! Each file is one decision, without sockets, clocks, or the pool that asks for it: what was announced
//! ([`notification`]), whether it is news ([`ledger`]), how long timeouts are relaxed ([`relax`]), which connections
//! may move now ([`queue`]), whether a target is worth another dial ([`breaker`]), and how far one connection's
//! move has come ([`handoff`]).

pub(crate) mod event;
pub(crate) mod mode;
pub(crate) mod notification;
pub(crate) mod settings;
pub(crate) mod slots;
