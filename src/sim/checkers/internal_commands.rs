//! A connection sends internal commands for a reason only, and they never move to another connection.

use std::time::Duration;

use super::passwords::PREFIX;
use crate::proto::time::Instant;
use crate::sim::violation::Violation;

/// The reasons of one connection to send an internal command.
#[derive(Debug)]
pub(in crate::sim) struct InternalCommandCheck {
    /// When the connection was established or last received bytes.
    received: Instant,
    /// The shard's number of credential renewals at the connection's dial or at its last login.
    renewals: u64,
    /// How many bytes of the last write the socket did not take.
    unwritten: usize,
}

impl InternalCommandCheck {
    pub(in crate::sim) fn new(renewals: u64, now: Instant) -> Self {
        InternalCommandCheck { received: now, renewals, unwritten: 0 }
    }

    pub(in crate::sim) fn note_received(&mut self, now: Instant) {
        self.received = now;
    }

    /// So many bytes of the last write were not taken by the socket in the end.
    pub(in crate::sim) fn note_rest(&mut self, unwritten: usize) {
        self.unwritten = unwritten;
    }

    /// Whether the connection waits for room in its socket.
    pub(in crate::sim) fn is_waiting(&self) -> bool {
        self.unwritten > 0
    }

    /// Checks a write of these bytes, of which the socket takes `count`.
    pub(in crate::sim) fn check(
        &mut self,
        bytes: &[u8],
        count: usize,
        renewals: u64,
        idle_ping: Duration,
        now: Instant,
    ) -> Result<(), Violation> {
        // The rest of an earlier write was checked when it was first offered.
        let is_new = std::mem::replace(&mut self.unwritten, bytes.len() - count) == 0;
        let has = |command: &[u8]| is_new && memchr::memmem::find(bytes, command).is_some();
        let violated = |what: String| Err(Violation::new("internal commands have a reason", what));
        if has(PING) && now.since(self.received) < idle_ping {
            return violated(format!("PING after a silence of {:?}", now.since(self.received)));
        }
        if has(AUTH) && has(PREFIX) {
            if renewals <= self.renewals {
                return violated("AUTH without new credentials".to_owned());
            }
            self.renewals = renewals;
        }
        Ok(())
    }
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
/// The command; the `AUTH` inside of `HELLO` has another prefix.
const AUTH: &[u8] = b"*2\r\n$4\r\nAUTH\r\n";
