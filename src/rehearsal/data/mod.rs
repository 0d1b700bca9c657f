//! The stored data: databases, their hash tables, and key patterns.

pub(crate) mod dictionary;
pub(crate) mod glob;
pub(crate) mod keyspace;
