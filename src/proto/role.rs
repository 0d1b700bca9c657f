//! [`ConnectionRole`]: what a connection is used for.

use std::fmt;

/// What a connection is used for.
///
/// Most commands share connections. Subscriptions, blocking commands and sessions have connections of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConnectionRole {
    /// Any number of callers send commands on it.
    #[default]
    Shared,
    /// One command at a time runs on it, which may wait on the server.
    Blocking,
    /// One session has it.
    Session,
    /// It carries the subscriptions of the shard.
    Subscriber,
}

impl ConnectionRole {
    /// The role as a word, for metrics. Words never change.
    pub fn name(self) -> &'static str {
        match self {
            ConnectionRole::Shared => "shared",
            ConnectionRole::Blocking => "blocking",
            ConnectionRole::Session => "session",
            ConnectionRole::Subscriber => "subscriber",
        }
    }
}

impl fmt::Display for ConnectionRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
