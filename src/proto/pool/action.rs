//! [`Action`]: what a pool asks of its driver; and [`PoolCounters`].

use std::sync::Arc;
use std::time::Duration;

use super::ids::{ConnectionId, LookupId};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::notification::Announcement;

/// What a driver has to do, in the order in which `Pool::poll_action` returns it.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Resolve this endpoint, pass its addresses to `ConnectionMut::admit`, and connect to one of those that it
    /// returns, all within `timeout`. Then call `handle_connected` or `handle_closed` of the connection.
    Dial { id: ConnectionId, endpoint: Endpoint, timeout: Duration },
    /// The handshake is over, and commands flow.
    Ready { id: ConnectionId },
    /// The connection is over: close its socket, if it has one, and stop driving it. `unused` says that it was never
    /// ready.
    Close { id: ConnectionId, reason: Arc<CloseReason>, unused: bool },
    /// This connection has something to write that no submission caused.
    Wake { id: ConnectionId },
    /// Tell the other shards, which call `Pool::handle_announcement`.
    Announce(Announcement),
    /// Obtain new credentials, then call `Pool::renew`.
    AskCredentials,
    /// Resolve this endpoint's name, then call `Pool::handle_resolved`.
    Resolve { lookup: LookupId, endpoint: Endpoint },
}

/// What happened in a pool since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolCounters {
    /// Connections that became ready.
    pub(crate) connected: u64,
    /// Connections that ended after they had been ready, and that this client did not close.
    pub(crate) lost: u64,
    /// Dials and handshakes that failed.
    pub(crate) dial_failures: u64,
    /// Pushes received.
    pub(crate) pushes: u64,
    /// Connections that were closed because they received too many useless pushes.
    pub(crate) floods: u64,
    /// Commands that were given up when the time to shut down was over.
    pub(crate) given_up: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

impl PoolCounters {
    /// Adds the counts of another pool.
    pub(crate) fn add(&mut self, other: &PoolCounters) {
        let PoolCounters {
            connected,
            lost,
            dial_failures,
            pushes,
            floods,
            given_up,
            bytes_received,
            bytes_sent,
        } = other;
        self.connected += connected;
        self.lost += lost;
        self.dial_failures += dial_failures;
        self.pushes += pushes;
        self.floods += floods;
        self.given_up += given_up;
        self.bytes_received += bytes_received;
        self.bytes_sent += bytes_sent;
    }
}
