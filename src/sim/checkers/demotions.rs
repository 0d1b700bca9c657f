//! A server that keeps answering `READONLY` or the like is dialed again once in a while, not with each reply.

use std::collections::VecDeque;
use std::time::Duration;

use crate::proto::maint::event::Event;
use crate::proto::time::Instant;
use crate::sim::violation::Violation;

/// The times of a shard's last demotions.
#[derive(Debug, Default)]
pub(in crate::sim) struct Demotions(VecDeque<Instant>);

impl Demotions {
    /// Each connection of the shard may be replaced once within [`WINDOW`].
    pub(in crate::sim) fn check(
        &mut self,
        event: &Event,
        connections: usize,
        now: Instant,
    ) -> Result<(), Violation> {
        let Event::Demoted { code, .. } = event else { return Ok(()) };
        self.0.push_back(now);
        if self.0.len() <= connections {
            return Ok(());
        }
        match self.0.pop_front() {
            Some(first) if now.since(first) < WINDOW => {
                let what = format!("{code} replaced {connections} connections more than once in {WINDOW:?}");
                Err(Violation::new("demotions are rate-limited", what))
            }
            _ => Ok(()),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(10);
