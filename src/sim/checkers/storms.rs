//! Nobody is dialed in a storm, whatever servers say or do.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Violation;
use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;

/// The last dials of each entry.
#[derive(Debug, Default)]
pub(in crate::sim) struct Storms(BTreeMap<u32, VecDeque<Instant>>);

impl Storms {
    pub(in crate::sim) fn note_dial(&mut self, id: ConnectionId, now: Instant) -> Result<(), Violation> {
        let dials = self.0.entry(id.entry.0).or_default();
        dials.push_back(now);
        if dials.len() <= DIALS_MAX {
            return Ok(());
        }
        match dials.pop_front() {
            Some(first) if now.since(first) < WINDOW => {
                let what = format!("{} dials of entry {} within {WINDOW:?}", DIALS_MAX + 1, id.entry.0);
                Err(Violation::new("nobody is dialed in a storm", what))
            }
            _ => Ok(()),
        }
    }
}

/// The backoff with the worst luck, and some handoffs at the same time.
const DIALS_MAX: usize = 50;
const WINDOW: Duration = Duration::from_secs(1);
