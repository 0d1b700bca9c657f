//! [`ErrorKind`]: the kinds of errors, for programs.

use std::fmt;

use crate::proto::error::{CloseReason, ClusterFailure, Failure, Stale};

/// The kinds of [`Error`](crate::Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is invalid. See [`ConfigError`](crate::ConfigError).
    Config,
    /// This machine, or its limits for this process, cannot run a shard: io_uring, locked memory, cores.
    Machine,
    /// No connection could be made, or none was ready in time.
    Connect,
    /// The TLS handshake failed: a certificate does not verify, on either side, or only one of the two speaks TLS. The
    /// client tries again at long intervals, because the configuration of one side has to change.
    Tls,
    /// The server refused the credentials, or there were no credentials. [`Error::code`](crate::Error::code) is
    /// `WRONGPASS`, `NOAUTH` or `NOPERM`, as the server answered.
    Auth,
    /// The maintenance mode is `enabled`, and the server speaks RESP2 only.
    Resp3NotNegotiated,
    /// The maintenance mode is `enabled`, and the server offers no maintenance notifications.
    MaintRefused,
    /// The maintenance mode is `enabled`, and the user may not ask for notifications.
    MaintDenied,
    /// The connection was lost after the command was written and before its reply came.
    ConnectionLost,
    /// The command timeout passed.
    Timeout,
    /// A bound was reached: too many commands already wait.
    Overloaded,
    /// The server answered with an error; see [`Error::code`](crate::Error::code).
    Server,
    /// The reply does not convert to the type that the caller asked for.
    ReplyType,
    /// A value could not be encoded. Nothing was sent.
    Encode,
    /// The command cannot run on a connection that other callers share: see [`command`](mod@crate::command).
    Command,
    /// The keys of a command, or of a transaction, belong to different hash slots of a cluster. Nothing was sent.
    CrossSlot,
    /// A key that a [`Session`](crate::Session) watches has changed, and its transaction was not run. Read the keys again.
    Conflict,
    /// The connection on which a [`Session`](crate::Session) watched keys, or began a transaction, is gone, in a handoff or by
    /// a loss. The command was not sent. Read the keys again; the session works on.
    WatchStale,
    /// The shard is shutting down, or has ended.
    ShutDown,
    /// A closure that was sent to a shard panicked there.
    Panicked,
    /// The call cannot work where it is made, and would hang or panic, because it waits for its own thread, for instance.
    /// The text says what to do instead.
    Misuse,
}

impl ErrorKind {
    /// The kind of the error for a failure.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure {
            Failure::TimedOut { .. } => ErrorKind::Timeout,
            Failure::Lost { .. } => ErrorKind::ConnectionLost,
            Failure::Refused(reason) => ErrorKind::of_close_reason(reason),
            Failure::ShutDown(_) => ErrorKind::ShutDown,
            Failure::Overloaded => ErrorKind::Overloaded,
            Failure::Stale(Stale::Watch | Stale::Transaction) => ErrorKind::WatchStale,
            Failure::Stale(Stale::Connection) => ErrorKind::ConnectionLost,
            Failure::Cluster(failure) => ErrorKind::of_cluster_failure(failure),
        }
    }

    /// The kind of the error for a command that no node of a cluster can run.
    pub(crate) fn of_cluster_failure(failure: &ClusterFailure) -> Self {
        match failure {
            ClusterFailure::CrossSlot { .. } => ErrorKind::CrossSlot,
            ClusterFailure::Uncovered(_) | ClusterFailure::Unknown => ErrorKind::Connect,
            ClusterFailure::Unsupported(_) => ErrorKind::Misuse,
        }
    }

    /// The kind of the error for a connection that closed, or was never ready, for this reason.
    pub(crate) fn of_close_reason(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::OfNode { reason, .. } => ErrorKind::of_close_reason(reason),
            CloseReason::Tls { .. } => ErrorKind::Tls,
            CloseReason::Auth(_) | CloseReason::Credentials(_) => ErrorKind::Auth,
            CloseReason::Resp3NotNegotiated => ErrorKind::Resp3NotNegotiated,
            CloseReason::MaintRefused(_) => ErrorKind::MaintRefused,
            CloseReason::MaintDenied(_) => ErrorKind::MaintDenied,
            _ => ErrorKind::Connect,
        }
    }

    /// The kind as a word, for metrics and reports. It never changes.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Machine => "machine",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Auth => "auth",
            ErrorKind::Resp3NotNegotiated => "resp3-not-negotiated",
            ErrorKind::MaintRefused => "maint-refused",
            ErrorKind::MaintDenied => "maint-denied",
            ErrorKind::ConnectionLost => "connection-lost",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Server => "server",
            ErrorKind::ReplyType => "reply-type",
            ErrorKind::Encode => "encode",
            ErrorKind::Command => "command",
            ErrorKind::CrossSlot => "cross-slot",
            ErrorKind::Conflict => "conflict",
            ErrorKind::WatchStale => "watch-stale",
            ErrorKind::ShutDown => "shut-down",
            ErrorKind::Panicked => "panicked",
            ErrorKind::Misuse => "misuse",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
