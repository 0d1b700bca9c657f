//! A flood of pushes or an endless reply closes its connection in time, and nothing else does so in their name.

use std::time::Duration;

use crate::proto::connection::{BURST, PER_SECOND};
use crate::proto::error::CloseReason;
use crate::proto::time::Instant;
use crate::sim::violation::Violation;

/// The pushes and endless replies that one connection received.
#[derive(Debug, Default)]
pub(in crate::sim) struct Floods {
    pushes: u64,
    first_push: Option<Instant>,
    endless_since: Option<Instant>,
    is_stalled: bool,
}

impl Floods {
    pub(in crate::sim) fn note_pushes(&mut self, count: u32, now: Instant) {
        self.first_push.get_or_insert(now);
        // Inside of an unfinished reply, push bytes are elements of the reply or a protocol error.
        if self.endless_since.is_none() {
            self.pushes += u64::from(count);
        }
    }

    pub(in crate::sim) fn note_endless(&mut self, now: Instant) {
        self.endless_since.get_or_insert(now);
    }

    /// The network delivers nothing, for some time or for ever. A reply that has begun to arrive then may take too long.
    pub(in crate::sim) fn note_stall(&mut self) {
        self.is_stalled = true;
    }

    /// Checks a connection that received pushes and is still open: the flood limit has not been reached.
    pub(in crate::sim) fn check_alive(&self, now: Instant) -> Result<(), Violation> {
        let time = self.first_push.map_or(Duration::ZERO, |first| now.since(first));
        let gained = PER_SECOND * (time.as_millis() as u64 + 1) / 1000;
        if self.pushes > BURST + gained {
            let what = format!("{} useless pushes within {time:?}, and the connection is open", self.pushes);
            return Err(Violation::new("a push flood closes its connection", what));
        }
        Ok(())
    }

    /// Checks an open connection after time has passed.
    pub(in crate::sim) fn check_time(&self, now: Instant, reply_time_max: Duration) -> Result<(), Violation> {
        match self.endless_since {
            Some(since) if now.since(since) > reply_time_max + SLACK => {
                let what = format!("a reply has been arriving for {:?}", now.since(since));
                Err(Violation::new("an endless reply closes its connection", what))
            }
            _ => Ok(()),
        }
    }

    /// Checks the reason of a connection that the client closed.
    pub(in crate::sim) fn check_close(&self, reason: &CloseReason) -> Result<(), Violation> {
        let is_flood = matches!(reason, CloseReason::PushFlood(_));
        // Moves count as pushes as well, each as sixteen.
        if is_flood && self.pushes < BURST / 2 {
            return Err(Violation::new(
                "only a flood closes a connection as one",
                format!("{} pushes", self.pushes),
            ));
        }
        let is_endless = self.endless_since.is_some() || self.is_stalled;
        if matches!(reason, CloseReason::EndlessReply(_)) && !is_endless {
            return Err(Violation::new("only a flood closes a connection as one", reason.to_string()));
        }
        Ok(())
    }
}

/// A timer fires up to a tick late, and the next event may come later still.
const SLACK: Duration = Duration::from_millis(5);
