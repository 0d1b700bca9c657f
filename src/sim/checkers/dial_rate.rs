//! An entry dials at a bounded rate, whatever servers send or do.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;
use crate::sim::violation::Violation;

/// The times of each entry's last dials.
#[derive(Debug, Default)]
pub(in crate::sim) struct DialRate(BTreeMap<u32, VecDeque<Instant>>);

impl DialRate {
    pub(in crate::sim) fn note_dial(&mut self, id: ConnectionId, now: Instant) -> Result<(), Violation> {
        let dials = self.0.entry(id.entry.0).or_default();
        dials.push_back(now);
        if dials.len() <= DIALS_MAX {
            return Ok(());
        }
        match dials.pop_front() {
            Some(first) if now.since(first) < WINDOW => {
                let what = format!("{} dials of entry {} within {WINDOW:?}", DIALS_MAX + 1, id.entry.0);
                Err(Violation::new("dials are rate-limited", what))
            }
            _ => Ok(()),
        }
    }
}

/// The backoff with the shortest jitter, and some handoffs at the same time.
const DIALS_MAX: usize = 50;
const WINDOW: Duration = Duration::from_secs(1);
