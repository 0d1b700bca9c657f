//! A server that says again and again that it cannot serve is left once in a while, not with each reply.

use std::collections::VecDeque;
use std::time::Duration;

use super::Violation;
use crate::proto::maint::event::Event;
use crate::proto::time::Instant;

/// When connections of a shard were last made anew because of what their servers said of themselves.
#[derive(Debug, Default)]
pub(in crate::sim) struct Demotions(VecDeque<Instant>);

impl Demotions {
    /// Each of a shard's connections may be made anew once within [`WINDOW`].
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
                let what = format!("{code} made {connections} connections anew more than once in {WINDOW:?}");
                Err(Violation::new("a demotion is followed once in a while", what))
            }
            _ => Ok(()),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(10);
