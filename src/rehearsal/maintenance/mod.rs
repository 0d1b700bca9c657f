//! What is rehearsed: what is announced to whom, what is planned, what goes wrong on purpose, and the audits of it.

pub(crate) mod agenda;
pub(crate) mod audit;
pub(crate) mod control;
pub(crate) mod fault;
pub(crate) mod gate;
pub(crate) mod node;
pub(crate) mod notification;
pub(crate) mod opt_in;
pub(crate) mod pretty;
pub(crate) mod stage;
pub(crate) mod stats;
