//! Why a command got no reply, and whether it may have run all the same.

mod state;

use std::sync::Arc;
use std::time::Duration;

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
    /// The command timeout passed. `obstacle` is what kept an unsent command from being sent, if anything did.
    /// `maintenance` is what the server had announced by then.
    TimedOut {
        outcome: Outcome,
        after: Duration,
        obstacle: Option<Arc<CloseReason>>,
        maintenance: Option<&'static str>,
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

/// Why a connection ended, or never came to be.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CloseReason {
    #[error("could not connect: {0}")]
    Dial(String),
    /// What a certificate, or the lack of one, has to do with it.
    #[error("TLS: {0}")]
    Tls(String),
    #[error("not connected within {0:?}")]
    ConnectTimeout(Duration),
    #[error("connected, but no reply to {awaited} came within {after:?} of dialing")]
    HandshakeTimeout { after: Duration, awaited: &'static str },
    #[error("the server closed the connection")]
    ClosedByServer,
    #[error("{0}")]
    Io(String),
    #[error("the server broke the protocol: {0}")]
    Decode(DecodeError),
    #[error("the server sent a reply that no command had asked for")]
    UnaskedReply,
    #[error("replies were overdue and no byte had come for {0:?}")]
    Unresponsive(Duration),
    #[error("no credentials to log in with: {0}")]
    Credentials(String),
    #[error("the server refused the credentials: {0}{advice}", advice = login_advice(.0))]
    Auth(String),
    #[error("the server refused {command}{state}: {reply}", state = passing_state(reply))]
    Handshake { command: &'static str, reply: String },
    #[error(
        "the server speaks RESP2 only, and the maintenance mode `enabled` takes RESP3: use a server of version 6 or \
         later, or the mode `auto`"
    )]
    Resp3NotNegotiated,
    #[error(
        "the server offers no maintenance notifications, and the maintenance mode is `enabled` (switch them on there, or \
         use the mode `auto`); it said: {0}"
    )]
    MaintRefused(String),
    #[error(
        "this user may not ask for maintenance notifications, and the maintenance mode is `enabled` (allow it \
         `client|maint_notifications`, or use the mode `auto`); the server said: {0}"
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

impl From<DecodeError> for CloseReason {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownType(TLS_ALERT) => CloseReason::Tls(
                "the server answered with what looks like an alert of TLS: if that is what it speaks, use a `rediss://` \
                 URL or `Config::tls`"
                    .to_owned(),
            ),
            error => CloseReason::Decode(error),
        }
    }
}

/// What a record of TLS begins with by which a server turns down what is no TLS.
const TLS_ALERT: u8 = 0x15;

impl CloseReason {
    /// Whether dialing again soon is pointless: what is wrong has to be mended by a person.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            CloseReason::Auth(_)
            | CloseReason::Tls(_)
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

/// What to do about a login that was refused.
fn login_advice(reply: &str) -> &'static str {
    match ServerState::of(reply.as_bytes()) {
        Some(ServerState::WrongPass) => {
            " (check the user and the password, and that the user is not disabled)"
        }
        Some(ServerState::NoAuth) => " (it wants a password: configure one, or a provider of credentials)",
        Some(ServerState::NoPerm) => {
            " (this user may not do what a handshake takes: allow it `+@connection`)"
        }
        _ => "",
    }
}

/// What is known to pass by itself, in words.
fn passing_state(reply: &str) -> String {
    match ServerState::of(reply.as_bytes()) {
        Some(state) if state.is_passing() => format!(" because {}, and will be tried again", state.meaning()),
        _ => String::new(),
    }
}
