//! [`Held`]: where the open calls of a handle are that may choose its place anew whenever there are none.

// By way of the module above: `tests/loom` gives it others.
use super::sync::atomic::{AtomicU64, Ordering};

/// The place of a handle's open calls, and how many there are: both in one word, so that no call sees one without the
/// other.
#[derive(Default)]
pub(super) struct Held(AtomicU64);

impl Held {
    /// Counts one more call in, at the place of those that are open, or at the one that `choose` finds: a shard and one
    /// of its connections.
    pub(super) fn enter(&self, choose: impl Fn() -> (usize, u32)) -> (usize, u32) {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let place = if count(seen) == 0 { pack(choose()) } else { seen & !COUNT };
            let entered = place | (count(seen) + 1);
            match self.0.compare_exchange_weak(seen, entered, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return unpack(place),
                Err(other) => seen = other,
            }
        }
    }

    /// Counts one out that had entered.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A place in the upper half of a word; the lower half counts. There are at most 1024 shards and 4096 connections.
fn pack((shard, entry): (usize, u32)) -> u64 {
    (shard as u64) << 48 | u64::from(entry) << 32
}

fn unpack(word: u64) -> (usize, u32) {
    ((word >> 48) as usize, (word >> 32) as u32 & 0xffff)
}

fn count(word: u64) -> u64 {
    word & COUNT
}

const COUNT: u64 = u32::MAX as u64;
