//! The settings of exclusive connections, and of what is received on them.

use std::time::Duration;

use super::settings::Config;
use super::subscription_buffer::SubscriptionBuffer;

impl Config {
    /// How much each subscription keeps for a subscriber that is slow (8,192 messages, 16 MiB, and the oldest are dropped).
    #[must_use]
    pub fn subscription_buffer(mut self, buffer: SubscriptionBuffer) -> Self {
        self.subscription_buffer = buffer;
        self
    }

    /// How many exclusive connections each shard may hold beside the shared ones, 1 to 4096 (16).
    ///
    /// A [blocking command](crate::manual::queues) has a connection for itself while it waits on the server. They are made on
    /// demand. Blocking commands beyond this number wait for one in the order of the calls, for as long as they may wait on the
    /// server and the command timeout; then they fail with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), unsent.
    #[must_use]
    pub fn exclusive_connections_max(mut self, count: usize) -> Self {
        self.exclusive_connections_max = count;
        self
    }

    /// For how long an exclusive connection without use is kept, 1 s to 24 h (60 s).
    #[must_use]
    pub fn exclusive_idle(mut self, time: Duration) -> Self {
        self.exclusive_idle = time;
        self
    }
}
