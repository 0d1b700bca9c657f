//! [`Event`]: what happened on a shard, for hooks and logs; and [`MaintenanceStats`]: how often.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::notification::Notification;
use crate::proto::endpoint::Endpoint;
use crate::proto::resp::Frame;
use crate::proto::role::ConnectionRole;
use crate::proto::targets::Redirection;

/// One thing that happened on a shard.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A server announced something. Reported once per notification, however many copies arrive on however many
    /// connections and shards.
    Announced {
        /// The peer that it concerns.
        peer: SocketAddr,
        /// What it announced.
        notification: Notification,
    },
    /// A server does not offer notifications, or not to this user. Reported once per peer.
    NotOffered {
        /// The peer that was asked.
        peer: SocketAddr,
        /// The server has the feature, but this user has no permission to ask for it.
        denied: bool,
        /// The server's reply.
        reason: String,
    },
    /// A connection is about to be replaced: its successor is dialed while it keeps serving.
    HandoffStarted {
        /// The peer of the connection.
        from: SocketAddr,
        /// Where its successor goes.
        to: Endpoint,
    },
    /// A handoff has ended. Every started handoff ends once.
    HandoffEnded {
        /// The peer of the connection.
        from: SocketAddr,
        /// Where its successor was dialed.
        to: Endpoint,
        /// How it ended.
        result: HandoffResult,
        /// From the first dial to the end.
        duration: Duration,
        /// How many times the target was dialed.
        attempts: u32,
    },
    /// A server named a target that [`Targets`](crate::net::Targets) does not allow. The client does not dial it: the
    /// old connection keeps serving, and halfway through the grace period the configured endpoint is resolved again.
    /// Reported once per target and minute, however many shards refuse it; [`MaintenanceStats::targets_refused`] counts
    /// every refusal.
    TargetRefused {
        /// The peer that named it.
        peer: SocketAddr,
        /// The message that named it.
        redirection: Redirection,
        /// The target, as the server named it.
        target: Endpoint,
        /// Why it is refused.
        reason: String,
    },
    /// All connections of a shard have logged in with the new credentials. Reported once per renewal.
    CredentialsRenewed,
    /// The server refused the new credentials; connections keep the old ones. Reported once per renewal.
    CredentialsRefused {
        /// The server's reply.
        reason: String,
    },
    /// A server replied that it cannot serve as a master any more: a replacement for the connection is dialed while it
    /// keeps serving. Reported once per attempt.
    Demoted {
        /// The peer that replied so.
        peer: SocketAddr,
        /// The code of its error, `READONLY` or `MASTERDOWN`.
        code: &'static str,
    },
    /// A server sent more useless pushes than a connection may send: more than 5,000 at once, or 500 per second for a
    /// long time. The connection is closed, and dialed again with growing delays. Copies, malformed pushes, and
    /// pushes that no [handler](crate::Shard::on_push) takes count as useless; the announcement of a new move counts
    /// as sixteen.
    Flooded {
        /// The peer that sent them, if it has an address.
        peer: Option<SocketAddr>,
        /// How many useless pushes this connection has received.
        pushes: u64,
    },
    /// A shard's thread did not run its tasks for 100 ms or more: it read no reply and fired no timeout meanwhile.
    /// Reported once, when it is over.
    Blocked {
        /// For how long at least.
        duration: Duration,
        /// The type of the closure of [`Client::run_on`](crate::Client::run_on) that did not yield, or the name of the
        /// setting whose function did not return. `None` if another task blocked the thread, or the machine itself
        /// stopped.
        by: Option<&'static str>,
    },
    /// A blocking command had a result, and its caller had left: an element may be in no list any more. Ask for it with
    /// [`ClientReply::cancel`](crate::ClientReply::cancel) instead of dropping the call.
    Orphaned {
        /// The name of the command.
        command: String,
        /// The reply of the server. `Debug` does not show its contents.
        reply: Frame,
    },
    /// A connection is ready for commands.
    Connected {
        /// The peer, if it has an address.
        peer: Option<SocketAddr>,
        /// What it is used for.
        role: ConnectionRole,
    },
    /// A connection has ended, or could not be made.
    Disconnected {
        /// The peer, if one was reached.
        peer: Option<SocketAddr>,
        /// What it was used for.
        role: ConnectionRole,
        /// Why.
        reason: String,
    },
}

/// How a handoff ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoffResult {
    /// The successor has taken over.
    Succeeded,
    /// Every attempt failed; the old connection serves until its server closes it. Holds the last error.
    GaveUp(String),
    /// The grace period was over first.
    Deadline,
    /// A newer announcement replaced it.
    Superseded,
    /// The target had failed so often that it was not dialed.
    BreakerOpen,
    /// The old connection was lost, or the pool shut down, first.
    Abandoned,
}

impl HandoffResult {
    /// The result as a word, for metrics. Words never change.
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
    /// Notifications received, with every copy. The ends of maintenance that was over before a connection was made do
    /// not count.
    pub notifications: u64,
    /// Of these, copies of a known notification.
    pub duplicates: u64,
    /// Of these, notifications that arrived too late to have a meaning.
    pub stale: u64,
    /// Of these, notifications that name another target under a known number.
    pub conflicts: u64,
    /// Pushes with the name of a notification that could not be read, and items of readable ones that could not.
    pub malformed: u64,
    /// Pushes that were skipped because they were too large.
    pub oversized: u64,
    /// Notifications received although the mode is disabled.
    pub ignored: u64,
    /// Targets that servers named and this client refused, see [`Event::TargetRefused`].
    pub targets_refused: u64,
    /// Connections that asked for notifications and receive them.
    pub opted_in: u64,
    /// Connections that asked and were refused.
    pub refused: u64,
    /// Handoffs whose successor was dialed.
    pub handoffs_started: u64,
    /// Handoffs whose successor took over.
    pub handoffs_succeeded: u64,
    /// Handoffs that ended otherwise, superseded ones left out.
    pub handoffs_failed: u64,
    /// Handoffs that a newer announcement replaced.
    pub handoffs_superseded: u64,
    /// Dials after the first one of a handoff.
    pub handoff_retries: u64,
    /// Handoffs that wait for a permit now.
    pub handoffs_queued: usize,
    /// Permits in use now.
    pub permits_in_use: usize,
    /// The most permits that were in use at once.
    pub permits_in_use_max: usize,
    /// Announced operations that relax timeouts now.
    pub windows_open: usize,
    /// Replaced connections that still wait for replies.
    pub draining: usize,
    /// The longest time for which a cut-over held commands to keep their caller's order.
    pub hold_max: Duration,
    /// Commands that were lost with a connection while maintenance was announced.
    pub orphaned: u64,
}

impl MaintenanceStats {
    /// Adds the counts of another pool. Of times, the longer one counts.
    pub(crate) fn add(&mut self, other: &MaintenanceStats) {
        self.notifications += other.notifications;
        self.duplicates += other.duplicates;
        self.stale += other.stale;
        self.conflicts += other.conflicts;
        self.malformed += other.malformed;
        self.oversized += other.oversized;
        self.ignored += other.ignored;
        self.targets_refused += other.targets_refused;
        self.opted_in += other.opted_in;
        self.refused += other.refused;
        self.handoffs_started += other.handoffs_started;
        self.handoffs_succeeded += other.handoffs_succeeded;
        self.handoffs_failed += other.handoffs_failed;
        self.handoffs_superseded += other.handoffs_superseded;
        self.handoff_retries += other.handoff_retries;
        self.handoffs_queued += other.handoffs_queued;
        self.permits_in_use += other.permits_in_use;
        self.permits_in_use_max += other.permits_in_use_max;
        self.windows_open += other.windows_open;
        self.draining += other.draining;
        self.hold_max = self.hold_max.max(other.hold_max);
        self.orphaned += other.orphaned;
    }
}
