//! The parts of a rehearsed maintenance that need no session: nodes, their faults and their announcements, the planned
//! actions, and the audit of tagged commands.

pub(crate) mod agenda;
pub(crate) mod audit;
pub(crate) mod close_policy;
pub(crate) mod fault;
pub(crate) mod fault_filter;
pub(crate) mod node;
pub(crate) mod notification;
pub(crate) mod opt_in;
