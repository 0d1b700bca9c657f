//! What threads share, in every interleaving that matters: the crate's own source files, included as they are, on
//! foundations that loom sees into. `scripts/loom` runs it.
//!
//! What is included names its foundations as it does in the crate. For `concurrent_queue` and `atomic_waker` it finds
//! [`foundations`], and for the standard library's atomics and locks, which it takes from the module above its own,
//! those of loom. So the protocols are checked, on models of what they stand on; `scripts/miri` runs the whole as it is.

extern crate self as atomic_waker;
extern crate self as concurrent_queue;

mod foundations;

pub use foundations::{AtomicWaker, ConcurrentQueue, PopError, PushError};

#[cfg(test)]
mod client;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod shard;
