//! [`StickyRoute`]: where the open calls of a handle are that chooses its route.

use super::sync::atomic::{AtomicU64, Ordering};

/// The place of a handle's open calls, and how many there are.
///
/// Both are in one word, so that no call sees one without the other: a call that joins open calls always joins their place, and
/// a new place is chosen only while no call is open.
#[derive(Default)]
pub(super) struct StickyRoute(AtomicU64);

impl StickyRoute {
    /// Counts one more call in. Its place, a shard and one of its connections, is that of the open calls; if there are none,
    /// `choose` finds one.
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

    /// Counts one call out that had entered.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The place is in the upper half of the word, and the count in the lower. There are at most 1024 shards and 4096 connections.
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
