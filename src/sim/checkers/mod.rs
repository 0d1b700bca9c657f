//! The invariants, one in each file: a checker watches a part of the simulation and returns the violation that it finds.

pub(super) mod bounds;
pub(super) mod connection;
pub(super) mod credential_requests;
pub(super) mod dead_peers;
pub(super) mod deadlines;
pub(super) mod dedup;
pub(super) mod deliveries;
pub(super) mod demotions;
pub(super) mod dial_rate;
pub(super) mod dial_targets;
pub(super) mod elements;
pub(super) mod exclusive_use;
pub(super) mod executions;
pub(super) mod floods;
pub(super) mod handoff_ends;
pub(super) mod internal_commands;
pub(super) mod liveness;
pub(super) mod losses;
pub(super) mod make_before_break;
pub(super) mod passwords;
pub(super) mod rejections;
pub(super) mod returned_bytes;
pub(super) mod subscriptions;
pub(super) mod transactions;
pub(super) mod wakeups;
