//! `hitless`: skeleton.
#![deny(missing_docs)]

#[cfg(feature = "rehearsal")]
pub mod rehearsal;
