//! What is stored: databases, their tables, and how keys are matched.

pub(crate) mod dictionary;
pub(crate) mod glob;
pub(crate) mod keyspace;
pub(crate) mod number;
