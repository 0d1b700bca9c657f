//! A shard asks its credentials provider at a bounded rate, however often servers reject the login.

use std::time::Duration;

use crate::proto::time::Instant;
use crate::sim::violation::Violation;

/// The time of a shard's last request.
#[derive(Debug, Default)]
pub(in crate::sim) struct CredentialRequests(Option<Instant>);

impl CredentialRequests {
    pub(in crate::sim) fn note_request(&mut self, now: Instant) -> Result<(), Violation> {
        match self.0.replace(now) {
            Some(before) if now.since(before) < WINDOW => {
                let what = format!("the last request was {:?} ago", now.since(before));
                Err(Violation::new("credential requests are rate-limited", what))
            }
            _ => Ok(()),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(10);
