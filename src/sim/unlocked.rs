//! [`UnlockedDrivers`]: the turns of drivers that write while their pool is free for others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::WireId;
use crate::proto::error::CloseReason;

/// The drivers of one shard that are in the middle of a turn.
#[derive(Debug)]
pub(super) struct UnlockedDrivers {
    /// Draws for these drivers only, so that the worlds without them are the same as before.
    pub(super) random: fastrand::Rng,
    pub(super) turns: BTreeMap<WireId, UnlockedTurn>,
}

/// A driver in the middle of a turn.
#[derive(Debug, Default)]
pub(super) struct UnlockedTurn {
    /// What it took out of the pool; nothing if it waits behind the callers that it has woken.
    pub(super) taken: Vec<u8>,
    /// How many of these bytes the socket took.
    pub(super) written: usize,
    /// How many chunks have arrived since. The driver reads them when its write is over.
    pub(super) unread: usize,
    /// It was woken since, and takes what there is in another turn.
    pub(super) is_woken: bool,
    /// It was the driver of the active connection when it took the bytes.
    pub(super) was_active: bool,
    /// The socket broke, and the pool does not know it yet.
    pub(super) broken: Option<CloseReason>,
}

/// What the socket did with a part of the taken bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// It has room for more.
    Open,
    Full,
    Done,
}

impl UnlockedDrivers {
    /// For half of the shards, chosen by the seed.
    pub(super) fn of_shard(seed: u64, shard: usize) -> Option<Self> {
        let mut random = fastrand::Rng::with_seed(seed ^ (shard as u64 + 1).wrapping_mul(UNLOCKED_SEED));
        random.bool().then(|| UnlockedDrivers { random, turns: BTreeMap::new() })
    }

    /// How long the next part of a turn takes. During faults, a few threads are preempted for long.
    pub(super) fn time(&mut self, is_recovering: bool) -> Duration {
        let most = match self.random.u32(..16) {
            0..8 => 50,
            13..15 if !is_recovering => 20_000,
            15 if !is_recovering => 200_000,
            _ => 1_000,
        };
        Duration::from_micros(self.random.u64(..most))
    }

    /// What the socket takes of the `left` bytes.
    pub(super) fn socket_takes(&mut self, left: usize) -> (usize, Write) {
        match self.random.u32(..8) {
            _ if left == 0 => (0, Write::Done),
            0 => (0, Write::Full),
            1 => (self.random.usize(..left), Write::Full),
            2 => (self.random.usize(..left), Write::Open),
            _ => (left, Write::Done),
        }
    }
}

const UNLOCKED_SEED: u64 = 0xd1b5_4a32_d192_ed03;
