//! [`ConnectionChecks`]: the checkers that watch the bytes of one connection.

use super::floods::Floods;
use super::internal_commands::InternalCommandCheck;
use super::passwords::SentPasswords;
use crate::proto::time::Instant;

/// Created with the connection's dial and dropped with its wire.
#[derive(Debug)]
pub(in crate::sim) struct ConnectionChecks {
    pub(in crate::sim) passwords: SentPasswords,
    pub(in crate::sim) internal: InternalCommandCheck,
    pub(in crate::sim) floods: Floods,
}

impl ConnectionChecks {
    /// For a connection that a shard dials after this many renewals of its credentials.
    pub(in crate::sim) fn new(renewals: u64, now: Instant) -> Self {
        ConnectionChecks {
            passwords: SentPasswords::default(),
            internal: InternalCommandCheck::new(renewals, now),
            floods: Floods::default(),
        }
    }
}
