//! The report of a run: as text, as JSON, in the formats of other tools, and compared with an earlier one.

pub(crate) mod compare;
mod costs;
pub(crate) mod delivery;
pub(crate) mod json;
pub(crate) mod machine;
mod memtier;
pub(crate) mod output;
pub(crate) mod published;
pub(crate) mod sink;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
