//! What threads share, in every interleaving within bounds: the crate's own source files, on foundations that loom can follow.
//! `scripts/loom` runs it.
//!
//! The files are included unchanged. For `concurrent_queue` and `atomic_waker` they find the models in [`foundations`], and for
//! the module `sync`, which holds the locks and atomics of the standard library in the crate, that of loom. So this checks the
//! protocols on models of their foundations. `scripts/miri` runs the whole on the real ones.

extern crate self as atomic_waker;
extern crate self as concurrent_queue;

mod foundations;

pub use foundations::{AtomicWaker, ConcurrentQueue, PopError, PushError};

#[cfg(test)]
mod client;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod proto;
#[cfg(test)]
mod shard;
