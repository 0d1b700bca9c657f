//! [`Notification`]: the meaning of a push frame.

mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) use self::wire::parse;
use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// What a server announced.
///
/// `seq` is the server's number of the event, if it could be read. All copies of an event carry the same number.
/// Numbers do not always rise and may start again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// The server leaves this endpoint, and closes every connection to it when `grace` is over.
    Moving {
        /// The event's number.
        seq: Option<i64>,
        /// How long connections are still served; zero if the time is over or missing.
        grace: Duration,
        /// The new endpoint. Without one, connections follow the configured endpoint.
        target: Option<Endpoint>,
    },
    /// Data is about to move between servers behind this endpoint.
    Migrating {
        /// The event's number.
        seq: Option<i64>,
        /// The announced time; zero if it is over or missing. Its meaning differs between servers.
        time: Duration,
        /// The ids of the server's shards, as text: `["27"]`. Empty if there are none; cut after 4 KiB.
        shards: String,
    },
    /// The migration is over.
    Migrated {
        /// The event's number.
        seq: Option<i64>,
        /// As in [`Notification::Migrating`].
        shards: String,
    },
    /// A replica is about to take over.
    FailingOver {
        /// The event's number.
        seq: Option<i64>,
        /// The announced time; zero if it is over or missing. Its meaning differs between servers.
        time: Duration,
        /// As in [`Notification::Migrating`].
        shards: String,
    },
    /// The replica has taken over.
    FailedOver {
        /// The event's number.
        seq: Option<i64>,
        /// As in [`Notification::Migrating`].
        shards: String,
    },
    /// Hash slots of a cluster are about to move.
    SlotsMigrating {
        /// The event's number.
        seq: Option<i64>,
        /// The slots; empty if they could not be read.
        slots: Vec<RangeInclusive<u16>>,
    },
    /// Hash slots of a cluster have moved.
    SlotsMigrated {
        /// The event's number.
        seq: Option<i64>,
        /// The moves; empty if they could not be read.
        moves: Vec<SlotMove>,
    },
}

/// Hash slots that moved from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotMove {
    /// The node that had the slots; `None` if it was not named. Some servers never name it and mean themselves: if
    /// every move of a notification lacks a source, the source is the peer that sent it.
    pub source: Option<Endpoint>,
    /// The node that has the slots now; `None` if it was not named.
    pub target: Option<Endpoint>,
    /// The slots.
    pub slots: Vec<RangeInclusive<u16>>,
}

/// The kind of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "Notification documents the same variants")]
pub enum NotificationKind {
    Moving,
    Migrating,
    Migrated,
    FailingOver,
    FailedOver,
    SlotsMigrating,
    SlotsMigrated,
}

/// The operation of the server. An opener and a closer of the same operation are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Operation {
    Move,
    Migration,
    Failover,
    SlotMigration,
}

impl NotificationKind {
    const ALL: [NotificationKind; 7] = [
        NotificationKind::Moving,
        NotificationKind::Migrating,
        NotificationKind::Migrated,
        NotificationKind::FailingOver,
        NotificationKind::FailedOver,
        NotificationKind::SlotsMigrating,
        NotificationKind::SlotsMigrated,
    ];

    /// The name on the wire, such as `FAILING_OVER`.
    pub const fn name(self) -> &'static str {
        match self {
            NotificationKind::Moving => "MOVING",
            NotificationKind::Migrating => "MIGRATING",
            NotificationKind::Migrated => "MIGRATED",
            NotificationKind::FailingOver => "FAILING_OVER",
            NotificationKind::FailedOver => "FAILED_OVER",
            NotificationKind::SlotsMigrating => "SMIGRATING",
            NotificationKind::SlotsMigrated => "SMIGRATED",
        }
    }

    /// Whether it announces the end of an operation, rather than its beginning.
    pub fn is_closer(self) -> bool {
        matches!(
            self,
            NotificationKind::Migrated | NotificationKind::FailedOver | NotificationKind::SlotsMigrated
        )
    }

    pub(crate) fn operation(self) -> Operation {
        match self {
            NotificationKind::Moving => Operation::Move,
            NotificationKind::Migrating | NotificationKind::Migrated => Operation::Migration,
            NotificationKind::FailingOver | NotificationKind::FailedOver => Operation::Failover,
            NotificationKind::SlotsMigrating | NotificationKind::SlotsMigrated => Operation::SlotMigration,
        }
    }

    /// The kind with this name on the wire, in upper or lower case.
    pub(crate) fn of(name: &[u8]) -> Option<NotificationKind> {
        NotificationKind::ALL.into_iter().find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Notification {
    /// The kind of this notification.
    pub fn kind(&self) -> NotificationKind {
        match self {
            Notification::Moving { .. } => NotificationKind::Moving,
            Notification::Migrating { .. } => NotificationKind::Migrating,
            Notification::Migrated { .. } => NotificationKind::Migrated,
            Notification::FailingOver { .. } => NotificationKind::FailingOver,
            Notification::FailedOver { .. } => NotificationKind::FailedOver,
            Notification::SlotsMigrating { .. } => NotificationKind::SlotsMigrating,
            Notification::SlotsMigrated { .. } => NotificationKind::SlotsMigrated,
        }
    }

    /// The event's number.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Notification::Moving { seq, .. }
            | Notification::Migrating { seq, .. }
            | Notification::Migrated { seq, .. }
            | Notification::FailingOver { seq, .. }
            | Notification::FailedOver { seq, .. }
            | Notification::SlotsMigrating { seq, .. }
            | Notification::SlotsMigrated { seq, .. } => *seq,
        }
    }
}

/// What a push holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A notification, without the `bad_items` of it that could not be read.
    Maintenance { notification: Notification, bad_items: u32 },
    /// A push with the name of a notification that cannot be read.
    Malformed(&'static str),
    /// Another push.
    Other,
}

/// What one shard tells the others: which peer announced what, and when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) peer: SocketAddr,
    pub(crate) notification: Notification,
    pub(crate) received: Instant,
}

#[cfg(test)]
mod tests;
