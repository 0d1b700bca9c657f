//! [`Event`]: what happened, for those who watch; and [`MaintenanceStats`]: how often.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::notification::Notification;
use crate::proto::endpoint::Endpoint;
use crate::proto::targets::Redirection;

/// One thing that happened on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A server announced something. Told once for each event, however many copies of it arrive on however many
    /// connections and shards.
    Announced {
        /// The peer that it concerns.
        peer: SocketAddr,
        /// What it said.
        notification: Notification,
    },
    /// A server does not offer notifications, or not to this user. Told once for each peer.
    NotOffered {
        /// The peer that was asked.
        peer: SocketAddr,
        /// The user may not ask: a mistake in its permissions, rather than a server without the feature.
        denied: bool,
        /// The server's words.
        reason: String,
    },
    /// A connection is about to be replaced: its successor is dialed while it keeps serving.
    HandoffStarted {
        /// The peer of the connection.
        from: SocketAddr,
        /// Where its successor goes.
        to: Endpoint,
    },
    /// A handoff is over, one way or another. Each that was started ends once.
    HandoffEnded {
        /// The peer of the connection.
        from: SocketAddr,
        /// Where its successor went, or was to go.
        to: Endpoint,
        /// How it ended.
        result: HandoffResult,
        /// From the first dial to the end.
        duration: Duration,
        /// How many times the target was dialed.
        attempts: u32,
    },
    /// A server named a target that [`Targets`](crate::net::Targets) does not allow. The client does not go there: the
    /// old connection serves on, and half way through the grace the configured endpoint is asked instead. Told once
    /// per target and minute, however many shards refuse it; [`MaintenanceStats::targets_refused`] counts every one.
    TargetRefused {
        /// The peer that named it.
        peer: SocketAddr,
        /// The message that named it.
        redirection: Redirection,
        /// The target, as the server named it.
        target: Endpoint,
        /// Why it is refused, in words.
        reason: String,
    },
    /// The connections of a shard were told to log in with new credentials, and have. Told once for each renewal.
    CredentialsRenewed,
    /// The server refused to log connections in with new credentials; they live on with the old ones. Told once for
    /// each renewal.
    CredentialsRefused {
        /// The server's words.
        reason: String,
    },
    /// A server said in a reply that it cannot serve as a master any more: the connection is made anew, beside the one
    /// that there is. Told once for each attempt.
    Demoted {
        /// The peer that said so.
        peer: SocketAddr,
        /// The code of its error, `READONLY` or `MASTERDOWN`.
        code: &'static str,
    },
    /// A server sent more pushes that nothing has a use for than a connection may send: more than 5,000 at once, or 500
    /// a second for long. The connection is closed, and dialed again with growing waits. Copies and rubbish count, and
    /// what no [handler](crate::Shard::on_push) takes; the announcement of a new move counts for sixteen.
    Flooded {
        /// Who sent them, if it has an address.
        peer: Option<SocketAddr>,
        /// How many such pushes came on this connection.
        pushes: u64,
    },
    /// Something kept a shard's thread from running its tasks for 100 ms or more: no reply was read and no timeout
    /// fired meanwhile. Told once, when it is over.
    Blocked {
        /// For how long, at least.
        duration: Duration,
        /// The type of the closure of [`Client::run_on`](crate::Client::run_on) that did not yield, or the name of the
        /// setting whose function did not return. Without one it was another task on the thread, or the machine itself
        /// stood still.
        by: Option<&'static str>,
    },
    /// A connection is ready for commands.
    Connected {
        /// Who is at its other end, if it has an address.
        peer: Option<SocketAddr>,
    },
    /// A connection is no more, or could not be made.
    Disconnected {
        /// Who was at its other end, if it came so far.
        peer: Option<SocketAddr>,
        /// Why, in words.
        reason: String,
    },
}

/// How a handoff ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoffResult {
    /// The successor has taken over.
    Succeeded,
    /// Every attempt failed; the old connection serves until its server closes it. With the last error, in words.
    GaveUp(String),
    /// The grace was over first.
    Deadline,
    /// A newer announcement took its place.
    Superseded,
    /// The target had failed so often that it was not dialed.
    BreakerOpen,
    /// The old connection was lost, or the pool shut down, first.
    Abandoned,
}

impl HandoffResult {
    /// The result as a word, for metrics; it never changes.
    pub fn name(&self) -> &'static str {
        match self {
            HandoffResult::Succeeded => "ok",
            HandoffResult::GaveUp(_) => "gave_up",
            HandoffResult::Deadline => "deadline",
            HandoffResult::Superseded => "superseded",
            HandoffResult::BreakerOpen => "breaker_open",
            HandoffResult::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for HandoffResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoffResult::GaveUp(why) => write!(f, "gave up: {why}"),
            other => f.write_str(other.name()),
        }
    }
}

/// Counters and gauges of one shard's maintenance. Counters begin at 0 and never go down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceStats {
    /// Notifications received, every copy counted, but for completions of what was over before a connection began.
    pub notifications: u64,
    /// Of these, copies of one that was known already.
    pub duplicates: u64,
    /// Of these, such as came too late to mean anything.
    pub stale: u64,
    /// Of these, different targets under one number.
    pub conflicts: u64,
    /// Pushes named like a notification that could not be read, and inner items of others.
    pub malformed: u64,
    /// Pushes that were skipped because they were too large.
    pub oversized: u64,
    /// Notifications that came although the mode is disabled.
    pub ignored: u64,
    /// Targets that servers named and this client does not go to, see [`Event::TargetRefused`].
    pub targets_refused: u64,
    /// Connections that asked for notifications and will get them.
    pub opted_in: u64,
    /// Connections that asked and were refused.
    pub refused: u64,
    /// Handoffs whose successor was dialed.
    pub handoffs_started: u64,
    /// Handoffs whose successor took over.
    pub handoffs_succeeded: u64,
    /// Handoffs that ended otherwise, superseded ones left out.
    pub handoffs_failed: u64,
    /// Handoffs that a newer announcement took the place of.
    pub handoffs_superseded: u64,
    /// Dials beyond the first of a handoff.
    pub handoff_retries: u64,
    /// Handoffs that wait for a permit now.
    pub handoffs_queued: usize,
    /// Permits in use now.
    pub permits_in_use: usize,
    /// The most permits that were ever in use at once.
    pub permits_in_use_max: usize,
    /// Announced operations that relax timeouts now.
    pub windows_open: usize,
    /// Connections that were replaced and still wait for replies.
    pub draining: usize,
    /// The longest that commands were held at a cut-over to keep their caller's order.
    pub hold_max: Duration,
    /// Commands that were lost with a connection while maintenance was announced.
    pub orphaned: u64,
}
