//! What a connection says of its own accord it has a reason for, and nothing of it is ever said on another one.

use std::time::Duration;

use super::Violation;
use super::logins::PREFIX;
use crate::proto::time::Instant;

/// What reasons a connection has to say something.
#[derive(Debug)]
pub(in crate::sim) struct OwnWords {
    /// When it was connected, or heard something last.
    heard: Instant,
    /// How often its shard had been told of other credentials when it was dialed, or logged in again.
    renewals: u64,
    /// How much of what it takes to the socket at one time is still left.
    left: usize,
}

impl OwnWords {
    pub(in crate::sim) fn new(renewals: u64, now: Instant) -> Self {
        OwnWords { heard: now, renewals, left: 0 }
    }

    pub(in crate::sim) fn note_heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something is left that its socket had no room for.
    pub(in crate::sim) fn is_waiting(&self) -> bool {
        self.left > 0
    }

    /// It is about to write this, of which the socket takes `count` bytes.
    pub(in crate::sim) fn check(
        &mut self,
        bytes: &[u8],
        count: usize,
        renewals: u64,
        idle_ping: Duration,
        now: Instant,
    ) -> Result<(), Violation> {
        // What is left over had its reason when it was taken to the socket.
        let is_new = std::mem::replace(&mut self.left, bytes.len() - count) == 0;
        let has = |words: &[u8]| is_new && memchr::memmem::find(bytes, words).is_some();
        let violated = |what: String| Err(Violation::new("own commands stay where they are", what));
        if has(PING) && now.since(self.heard) < idle_ping {
            return violated(format!("PING after a silence of {:?}", now.since(self.heard)));
        }
        if has(AUTH) && has(PREFIX) {
            if renewals <= self.renewals {
                return violated("AUTH, and the credentials are what they were".to_owned());
            }
            self.renewals = renewals;
        }
        Ok(())
    }
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// As a command; in `HELLO` it comes later.
const AUTH: &[u8] = b"*2\r\n$4\r\nAUTH\r\n";
