//! The stored data, and the sessions that wait for a list or for messages.

pub(crate) mod dictionary;
pub(crate) mod glob;
pub(crate) mod keyspace;
pub(crate) mod list_end;
pub(crate) mod subscribers;
pub(crate) mod waiting;
