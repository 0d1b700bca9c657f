//! A batch: commands that a caller sends together, and the replies that it waits for.

use std::time::Instant;

use bytes::Bytes;

use super::target::{ReplyOf, Target};
use super::verify::Written;
use super::wire::ReplySize;
use crate::{Error, ErrorKind, Outcome};

/// A command in flight.
pub(super) enum Pending<T: Target> {
    Get { reply: ReplyOf<T, Option<Bytes>>, index: u64 },
    Set { reply: ReplyOf<T, ()>, index: u64, version: u32, bytes: u64 },
    Incr { reply: ReplyOf<T, i64> },
    Other { reply: ReplyOf<T, ReplySize>, kind: usize, bytes: u64 },
}

/// Commands that are sent together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) commands: usize,
    pub(super) intended: Instant,
    pub(super) sent: Instant,
    /// Whether it was sent after the warm-up.
    pub(super) measured: bool,
}

/// Whether a write was executed, as far as its result shows.
pub(super) fn written<T>(result: &Result<T, Error>) -> Written {
    match result {
        Ok(_) => Written::Yes,
        // A reply of the wrong type may belong to another command, so the outcome of this one is unknown.
        Err(error) if error.kind() == ErrorKind::ReplyType => Written::Perhaps,
        Err(error) => match error.outcome() {
            Outcome::Unsent | Outcome::Answered => Written::No,
            Outcome::Ambiguous => Written::Perhaps,
        },
    }
}
