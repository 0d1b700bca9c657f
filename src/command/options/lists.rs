//! Options of commands for lists.

use super::{Sink, Write, words};

words! {
    /// The end of a list, for [`LMOVE`](https://redis.io/docs/latest/commands/lmove/) and [`LMPOP`](https://redis.io/docs/latest/commands/lmpop/).
    ListEnd {
        /// The head.
        Left = "LEFT",
        /// The tail.
        Right = "RIGHT",
    }
}

/// Options of [`LPOS`](https://redis.io/docs/latest/commands/lpos/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct LposOptions {
    rank: Option<i64>,
    count: Option<u64>,
    max_len: Option<u64>,
}

impl LposOptions {
    /// The first match from the head.
    pub fn new() -> Self {
        LposOptions::default()
    }

    /// The match to start from: 1 is the first from the head, -1 the first from the tail.
    pub fn rank(mut self, rank: i64) -> Self {
        self.rank = Some(rank);
        self
    }

    /// The number of matches, 0 for all; the reply is then a list.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Compares at most this many elements.
    pub fn max_len(mut self, elements: u64) -> Self {
        self.max_len = Some(elements);
        self
    }
}

impl Write for LposOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(rank) = self.rank {
            sink.named("RANK", rank);
        }
        if let Some(count) = self.count {
            sink.named("COUNT", count);
        }
        if let Some(elements) = self.max_len {
            sink.named("MAXLEN", elements);
        }
    }
}
