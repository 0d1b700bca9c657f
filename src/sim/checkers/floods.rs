//! A server that floods a client, or never ends a reply, is put out in time, and no other is.

use std::time::Duration;

use super::Violation;
use crate::proto::connection::{BURST, PER_SECOND};
use crate::proto::error::CloseReason;
use crate::proto::time::Instant;

/// What came on one connection.
#[derive(Debug, Default)]
pub(in crate::sim) struct Floods {
    pushes: u64,
    first_push: Option<Instant>,
    endless_since: Option<Instant>,
}

impl Floods {
    pub(in crate::sim) fn note_pushes(&mut self, count: u32, now: Instant) {
        self.first_push.get_or_insert(now);
        // Behind a reply that has begun they are parts of it, or break it.
        if self.endless_since.is_none() {
            self.pushes += u64::from(count);
        }
    }

    pub(in crate::sim) fn note_endless(&mut self, now: Instant) {
        self.endless_since.get_or_insert(now);
    }

    /// The client has read pushes, and has not closed the connection.
    pub(in crate::sim) fn check_alive(&self, now: Instant) -> Result<(), Violation> {
        let time = self.first_push.map_or(Duration::ZERO, |first| now.since(first));
        let gained = PER_SECOND * (time.as_millis() as u64 + 1) / 1000;
        if self.pushes > BURST + gained {
            let what = format!("{} useless pushes within {time:?}, and it is still read", self.pushes);
            return Err(Violation::new("a flood ends its connection", what));
        }
        Ok(())
    }

    /// Time has passed on a connection that the client has not closed.
    pub(in crate::sim) fn check_time(&self, now: Instant, reply_time_max: Duration) -> Result<(), Violation> {
        match self.endless_since {
            Some(since) if now.since(since) > reply_time_max + SLACK => {
                let what = format!("a reply has arrived for {:?}", now.since(since));
                Err(Violation::new("a reply without an end is not waited for", what))
            }
            _ => Ok(()),
        }
    }

    /// The client has closed the connection for this reason.
    pub(in crate::sim) fn check_end(&self, reason: &CloseReason) -> Result<(), Violation> {
        let is_flood = matches!(reason, CloseReason::PushFlood(_));
        // Servers announce moves, too, and each of them counts for sixteen.
        if is_flood && self.pushes < BURST / 2 {
            return Err(Violation::new(
                "who does not flood is not put out",
                format!("{} pushes", self.pushes),
            ));
        }
        if matches!(reason, CloseReason::EndlessReply(_)) && self.endless_since.is_none() {
            return Err(Violation::new("who does not flood is not put out", reason.to_string()));
        }
        Ok(())
    }
}

/// Timers are late by a tick, and the next event of a world may be later.
const SLACK: Duration = Duration::from_millis(5);
