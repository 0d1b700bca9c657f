//! `hitless`: skeleton.
#![deny(missing_docs)]
