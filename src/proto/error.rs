//! Why a command got no reply, and whether the server may have executed it.

mod cause;
mod cluster;
mod other_protocol;
#[cfg(feature = "glommio")]
mod panic;
mod redact;
mod remedy;
mod state;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::cause::Cause;
pub(crate) use self::cluster::{ClusterFailure, KeyOfSlot};
pub(crate) use self::other_protocol::{OtherProtocol, recognize};
#[cfg(feature = "glommio")]
pub(crate) use self::panic::panic_text;
pub(crate) use self::redact::{log_text, redacted};
pub(crate) use self::remedy::Remedy;
pub(crate) use self::state::ServerState;

use super::endpoint::Endpoint;
use super::resp::DecodeError;

/// Whether a failed command may have been executed. This alone decides whether sending it again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No byte of the command reached a socket. It was not executed, and sending it again is safe.
    Unsent,
    /// The command was written, at least in part, and no reply came. The server may have executed it, or may do so later.
    Ambiguous,
    /// The server answered. The error is the reply itself, or its conversion.
    Answered,
}

/// Why a ticket was resolved without a reply. It is cheap to clone, because one lost connection fails many tickets.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The command timeout passed. Boxed, because every answer is as large as the largest failure: 16 bytes more cost 9 % of
    /// the user time with 1,000 callers.
    TimedOut(Box<TimedOut>),
    /// The command was written to a connection that was then lost.
    Lost { reason: Arc<CloseReason>, maintenance: Option<&'static str> },
    /// The server rejected the connection, and another attempt will not help. The command was not sent.
    Refused(Arc<CloseReason>),
    /// The pool was shut down before the reply came.
    ShutDown(Outcome),
    /// The number of open commands had reached its bound, so that this one was not accepted.
    Overloaded,
    /// The connection of its session is not the one that it depends on. The command was not sent.
    Stale(Stale),
    /// No node of the cluster can run the command. It was not sent.
    Cluster(Box<ClusterFailure>),
}

/// What a session has lost with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// The keys that it watched may have changed.
    Watch,
    /// The commands behind `MULTI`.
    Transaction,
    /// What it had set for the connection itself.
    Connection,
}

/// What is known of a command that timed out.
#[derive(Clone, Debug)]
pub(crate) struct TimedOut {
    pub(crate) outcome: Outcome,
    pub(crate) after: Duration,
    /// Why an unsent command had no connection, if it is known.
    pub(crate) last_error: Option<Arc<CloseReason>>,
    /// What the server had announced by then.
    pub(crate) maintenance: Option<&'static str>,
    /// For how long the driver could not run; only the driver fills it in.
    pub(crate) blocked: Option<Duration>,
    /// The node that the command was sent to; only a cluster fills it in.
    pub(crate) node: Option<Endpoint>,
}

impl Failure {
    pub(crate) fn timed_out(
        outcome: Outcome,
        after: Duration,
        last_error: Option<Arc<CloseReason>>,
        maintenance: Option<&'static str>,
    ) -> Failure {
        Failure::TimedOut(Box::new(TimedOut {
            outcome,
            after,
            last_error,
            maintenance,
            blocked: None,
            node: None,
        }))
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Failure::TimedOut(timed_out) => timed_out.outcome,
            Failure::ShutDown(outcome) => *outcome,
            Failure::Lost { .. } => Outcome::Ambiguous,
            Failure::Refused(_) | Failure::Overloaded | Failure::Stale(_) | Failure::Cluster(_) => {
                Outcome::Unsent
            }
        }
    }
}

/// Why a connection ended, or could not be made. It prints the problem; [`CloseReason::remedy`] is the fix.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CloseReason {
    #[error("could not connect: {0}")]
    Dial(Cause),
    /// The TLS handshake failed, in most cases because of a certificate.
    #[error("TLS: {problem}")]
    Tls { problem: Cause, remedy: Option<Remedy> },
    #[error("the server speaks {0}, not Redis")]
    OtherProtocol(OtherProtocol),
    /// A server named a target, and the target filter rejects all its addresses.
    #[error("a server named a target that is not allowed: {0}")]
    TargetRefused(String),
    #[error("not connected within {0:?}")]
    ConnectTimeout(Duration),
    #[error("connected, but no reply to {awaited} came within {after:?} of dialing")]
    HandshakeTimeout { after: Duration, awaited: &'static str },
    #[error("the server closed the connection")]
    ClosedByServer,
    #[error("{0}")]
    Io(Cause),
    #[error("the server broke the protocol: {0}")]
    Decode(#[from] DecodeError),
    #[error("the server sent a reply that no command had asked for")]
    UnaskedReply,
    #[error(
        "a reply was still incomplete {0:?} after its first byte; raise `reply_time_max` if replies are that slow"
    )]
    EndlessReply(Duration),
    /// The server sent more pushes than the [`PushMeter`](crate::proto::connection::PushMeter) admits.
    #[error(
        "the server sent a flood of pushes without a handler: {0} of them; the client dials it again, with backoff"
    )]
    PushFlood(u64),
    #[error("replies are overdue and no byte has arrived for {0:?}")]
    Unresponsive(Duration),
    #[error("no credentials to log in with: {0}")]
    Credentials(String),
    #[error("{what}: {0}", what = login_problem(.0))]
    Auth(String),
    #[error("the server refused {command}{state}: {reply}", state = passing_state(reply))]
    Handshake { command: &'static str, reply: String },
    #[error("the server speaks RESP2 only, and the maintenance mode `enabled` needs RESP3")]
    Resp3NotNegotiated,
    #[error(
        "the server offers no maintenance notifications, and the maintenance mode is `enabled`; it said: {0}"
    )]
    MaintRefused(String),
    #[error(
        "this user may not ask for maintenance notifications, and the maintenance mode is `enabled`; the server said: {0}"
    )]
    MaintDenied(String),
    /// A blocking command waited in vain for one of so many connections.
    #[error("all {0} exclusive connections of the shard are in use; raise `exclusive_connections_max`")]
    ExclusiveInUse(usize),
    #[error("another connection took its place")]
    Replaced,
    #[error("the address leads back to the server that announced a move")]
    LeadsBack,
    #[error("replies were still due long after the server's grace period")]
    Undrained,
    #[error("the node owns no slots of the cluster any more")]
    NodeLeft,
    /// The same for the connection of a node, which it names.
    #[error("node {node}: {reason}")]
    OfNode { node: Endpoint, reason: Arc<CloseReason> },
    #[error("the client closed it")]
    Local,
}

impl CloseReason {
    /// The same reason, or a better one if the first bytes of the connection belong to another protocol.
    pub(crate) fn given_opening(self, opening: &[u8]) -> CloseReason {
        match recognize(opening) {
            None => self,
            Some(OtherProtocol::Tls) => CloseReason::Tls {
                problem: "the server speaks TLS, and this client did not".into(),
                remedy: Some(Remedy::SpeakTls),
            },
            Some(protocol) => CloseReason::OtherProtocol(protocol),
        }
    }

    /// The error of the socket or of TLS that caused this reason.
    pub(crate) fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CloseReason::Dial(cause) | CloseReason::Io(cause) => cause.source(),
            CloseReason::Tls { problem, .. } => problem.source(),
            CloseReason::OfNode { reason, .. } => reason.origin(),
            _ => None,
        }
    }

    /// Whether dialing again soon is pointless, because a person has to fix the problem.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            CloseReason::OfNode { reason, .. } => reason.is_refusal(),
            CloseReason::Auth(_)
            | CloseReason::Tls { .. }
            | CloseReason::OtherProtocol(_)
            | CloseReason::Resp3NotNegotiated
            | CloseReason::MaintRefused(_)
            | CloseReason::MaintDenied(_) => true,
            // A server that loads its data, or has too many clients, recovers without a person.
            CloseReason::Handshake { reply, .. } => {
                !ServerState::of(reply.as_bytes()).is_some_and(ServerState::is_passing)
            }
            _ => false,
        }
    }

    /// How a person can fix the problem, if that is known.
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        match self {
            CloseReason::OfNode { reason, .. } => reason.remedy(),
            CloseReason::Tls { remedy, .. } => *remedy,
            CloseReason::OtherProtocol(_) => Some(Remedy::CheckAddress),
            CloseReason::Resp3NotNegotiated => Some(Remedy::NewerServer),
            CloseReason::MaintRefused(_) => Some(Remedy::SwitchOnMaintenance),
            CloseReason::MaintDenied(_) => Some(Remedy::AllowMaintenance),
            CloseReason::Auth(reply) => match ServerState::of(reply.as_bytes())? {
                ServerState::NoAuth => Some(Remedy::Password),
                ServerState::WrongPass => Some(Remedy::CheckLogin),
                ServerState::NoPerm => Some(Remedy::AllowConnection),
                _ => None,
            },
            _ => None,
        }
    }

    /// The reply of the server, if the reason is a reply.
    pub(crate) fn reply(&self) -> Option<&str> {
        match self {
            CloseReason::OfNode { reason, .. } => reason.reply(),
            CloseReason::Auth(reply)
            | CloseReason::MaintRefused(reply)
            | CloseReason::MaintDenied(reply)
            | CloseReason::Handshake { reply, .. } => Some(reply),
            _ => None,
        }
    }
}

/// The problem of the login. NOAUTH means that the client sent none, not that the server refused one.
fn login_problem(reply: &str) -> &'static str {
    match ServerState::of(reply.as_bytes()) {
        Some(ServerState::NoAuth) => "the server wants a password",
        Some(ServerState::NoPerm) => "the server does not allow this user to connect",
        _ => "the server refused the credentials",
    }
}

/// The state of the server in words, if the state passes without a person.
fn passing_state(reply: &str) -> String {
    match ServerState::of(reply.as_bytes()) {
        Some(state) if state.is_passing() => format!(" because {}, and will be tried again", state.meaning()),
        _ => String::new(),
    }
}
