//! [`ConnectionChecks`]: the checkers that watch the bytes of one connection.

use super::exclusive_use::Arrivals;
use super::floods::Floods;
use super::internal_commands::InternalCommandCheck;
use super::passwords::SentPasswords;
use super::returned_bytes::ReturnedBytes;
use crate::proto::time::Instant;

/// Created with the connection's dial and dropped with its wire.
#[derive(Debug)]
pub(in crate::sim) struct ConnectionChecks {
    pub(in crate::sim) passwords: SentPasswords,
    pub(in crate::sim) internal: InternalCommandCheck,
    pub(in crate::sim) floods: Floods,
    pub(in crate::sim) returned: ReturnedBytes,
    /// The blocking commands that were written, and those that have arrived at the server.
    pub(in crate::sim) written: Arrivals,
    pub(in crate::sim) arrivals: Arrivals,
    /// The driver is in the middle of a turn, and will look for more to write without being woken.
    pub(in crate::sim) runs_later: bool,
}

impl ConnectionChecks {
    /// For a connection that a shard dials after this many renewals of its credentials.
    pub(in crate::sim) fn new(renewals: u64, now: Instant) -> Self {
        ConnectionChecks {
            passwords: SentPasswords::default(),
            internal: InternalCommandCheck::new(renewals, now),
            floods: Floods::default(),
            returned: ReturnedBytes::default(),
            written: Arrivals::default(),
            arrivals: Arrivals::default(),
            runs_later: false,
        }
    }
}
