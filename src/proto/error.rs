//! Why a command got no reply, and whether it may have run all the same.

mod cause;
mod other_protocol;
mod redact;
mod remedy;
mod state;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::cause::Cause;
pub(crate) use self::other_protocol::{OtherProtocol, recognize};
pub(crate) use self::redact::shown;
pub(crate) use self::remedy::Remedy;
pub(crate) use self::state::ServerState;

use super::resp::DecodeError;

/// Whether a failed command may have been executed. It alone decides whether sending it again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No byte of it reached a socket: it was not executed, and sending it again is safe.
    Unsent,
    /// It was written, at least in part, and no reply came: it may have been executed, or may still be.
    Ambiguous,
    /// The server answered; the answer, or what was to be made of it, is the error.
    Answered,
}

/// Why a ticket was resolved without a reply. Cheap to clone: one loss fails many tickets.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The command timeout passed. `last_error` is what kept an unsent command from being sent, if anything did.
    /// `maintenance` is what the server had announced by then. `blocked` is for how long something kept the driver from
    /// running meanwhile, which only the driver knows.
    TimedOut {
        outcome: Outcome,
        after: Duration,
        last_error: Option<Arc<CloseReason>>,
        maintenance: Option<&'static str>,
        blocked: Option<Duration>,
    },
    /// The connection that it was written to was lost.
    Lost { reason: Arc<CloseReason>, maintenance: Option<&'static str> },
    /// The server turned the connection away in a way that trying again does not mend; nothing was sent.
    Refused(Arc<CloseReason>),
    /// The pool was shut down before the reply came.
    ShutDown(Outcome),
    /// So many commands are open already that this one was not accepted.
    Overloaded,
}

impl Failure {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Failure::TimedOut { outcome, .. } | Failure::ShutDown(outcome) => *outcome,
            Failure::Lost { .. } => Outcome::Ambiguous,
            Failure::Refused(_) | Failure::Overloaded => Outcome::Unsent,
        }
    }
}

/// Why a connection ended, or never came to be. It prints the problem; [`CloseReason::remedy`] is what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CloseReason {
    #[error("could not connect: {0}")]
    Dial(Cause),
    /// What a certificate, or the lack of one, has to do with it.
    #[error("TLS: {problem}")]
    Tls { problem: Cause, remedy: Option<Remedy> },
    #[error("the server speaks {0}, not Redis")]
    OtherProtocol(OtherProtocol),
    /// A server sent the client somewhere, and every address there is one that it may not name.
    #[error("a server sent the client where it does not go: {0}")]
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
    #[error("a reply had not ended {0:?} after it began (see `reply_time_max`)")]
    EndlessReply(Duration),
    /// More pushes than one connection may send came that nothing has a use for.
    #[error(
        "the server sent a flood of pushes that nothing has a use for: {0} of them; it is dialed again, with backoff"
    )]
    PushFlood(u64),
    #[error("replies were overdue and no byte had come for {0:?}")]
    Unresponsive(Duration),
    #[error("no credentials to log in with: {0}")]
    Credentials(String),
    #[error("{what}: {0}", what = login_problem(.0))]
    Auth(String),
    #[error("the server refused {command}{state}: {reply}", state = passing_state(reply))]
    Handshake { command: &'static str, reply: String },
    #[error("the server speaks RESP2 only, and the maintenance mode `enabled` takes RESP3")]
    Resp3NotNegotiated,
    #[error(
        "the server offers no maintenance notifications, and the maintenance mode is `enabled`; it said: {0}"
    )]
    MaintRefused(String),
    #[error(
        "this user may not ask for maintenance notifications, and the maintenance mode is `enabled`; the server said: {0}"
    )]
    MaintDenied(String),
    #[error("another connection took its place")]
    Replaced,
    #[error("it leads back to the server that announced a move")]
    LeadsBack,
    #[error("replies were still awaited when the server's grace had long been over")]
    Undrained,
    #[error("it was closed here")]
    Local,
}

impl CloseReason {
    /// What this reason comes to on a connection that began with these bytes: a server that does not speak RESP is best
    /// known by how it begins, whatever RESP makes of it.
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

    /// The error of the socket, or of TLS, that it came of.
    pub(crate) fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CloseReason::Dial(cause) | CloseReason::Io(cause) => cause.source(),
            CloseReason::Tls { problem, .. } => problem.source(),
            _ => None,
        }
    }

    /// Whether dialing again soon is pointless: what is wrong has to be mended by a person.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            CloseReason::Auth(_)
            | CloseReason::Tls { .. }
            | CloseReason::OtherProtocol(_)
            | CloseReason::Resp3NotNegotiated
            | CloseReason::MaintRefused(_)
            | CloseReason::MaintDenied(_) => true,
            // A server that is still loading its data, or is full, will be fine in a while.
            CloseReason::Handshake { reply, .. } => {
                !ServerState::of(reply.as_bytes()).is_some_and(ServerState::is_passing)
            }
            _ => false,
        }
    }

    /// What a person can do about it, if that is known.
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        match self {
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

    /// What the server said, where it said something.
    pub(crate) fn reply(&self) -> Option<&str> {
        match self {
            CloseReason::Auth(reply)
            | CloseReason::MaintRefused(reply)
            | CloseReason::MaintDenied(reply)
            | CloseReason::Handshake { reply, .. } => Some(reply),
            _ => None,
        }
    }
}

/// A server that wants a login has refused none.
fn login_problem(reply: &str) -> &'static str {
    match ServerState::of(reply.as_bytes()) {
        Some(ServerState::NoAuth) => "the server wants a password",
        Some(ServerState::NoPerm) => "the server does not allow this user to connect",
        _ => "the server refused the credentials",
    }
}

/// What is known to pass by itself, in words.
fn passing_state(reply: &str) -> String {
    match ServerState::of(reply.as_bytes()) {
        Some(state) if state.is_passing() => format!(" because {}, and will be tried again", state.meaning()),
        _ => String::new(),
    }
}
