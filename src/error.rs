//! [`Error`]: what failed, where, whether the command may have been executed, and what to do about it.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::command::CommandName;
use crate::proto::endpoint::Endpoint;
pub(crate) use crate::proto::error::Remedy;
use crate::proto::error::{CloseReason, Failure, Outcome, ServerState, redacted};
use crate::proto::resp::Frame;

/// What is returned by everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command, or the start of a client, failed.
///
/// [`Error::kind`] sorts errors for programs, [`Error::outcome`] says whether trying again is safe, and the text
/// says what happened, where, and what to do.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    command: Option<CommandName>,
    endpoint: Option<Endpoint>,
    maintenance: Option<&'static str>,
    detail: String,
    /// What became of the connection, if that was it.
    reason: Option<Arc<CloseReason>>,
    /// What a server's refusal began with, where it is not what `detail` begins with.
    code: Option<Box<str>>,
    remedy: Option<Remedy>,
    passing: bool,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration asks for something impossible. See [`ConfigError`](crate::ConfigError).
    Config,
    /// This machine, or what it allows this process, cannot run a shard: io_uring, locked memory, cores.
    Machine,
    /// No connection could be made, or none was ready in time.
    Connect,
    /// TLS could not be agreed on: a certificate that does not verify, on either side, or a peer that does not speak
    /// it, or does where it was not expected to. A person has to mend it; it is tried again, rarely.
    Tls,
    /// The server refused the credentials, or there were none to log in with. [`Error::code`] tells which of
    /// `WRONGPASS`, `NOAUTH` and `NOPERM` the server said.
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
    /// A bound was reached: too many commands wait already.
    Overloaded,
    /// The server answered with an error; see [`Error::code`].
    Server,
    /// The server's reply is not what the caller asked for.
    ReplyType,
    /// A value could not be encoded, before anything was sent.
    Encode,
    /// The command is none for a connection that is shared with others: see [`command`](mod@crate::command).
    Command,
    /// The shard is shutting down, or gone.
    ShutDown,
    /// A closure that was sent to a shard panicked there.
    Panicked,
    /// The call cannot work where it is made, and would hang or panic: it waits for its own thread, for instance. The
    /// text says what to do instead.
    Misuse,
}

impl ErrorKind {
    /// The kind of the error that comes of a failure.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure {
            Failure::TimedOut { .. } => ErrorKind::Timeout,
            Failure::Lost { .. } => ErrorKind::ConnectionLost,
            Failure::Refused(reason) => ErrorKind::of_obstacle(reason),
            Failure::ShutDown(_) => ErrorKind::ShutDown,
            Failure::Overloaded => ErrorKind::Overloaded,
        }
    }

    fn of_obstacle(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Tls { .. } => ErrorKind::Tls,
            CloseReason::Auth(_) | CloseReason::Credentials(_) => ErrorKind::Auth,
            CloseReason::Resp3NotNegotiated => ErrorKind::Resp3NotNegotiated,
            CloseReason::MaintRefused(_) => ErrorKind::MaintRefused,
            CloseReason::MaintDenied(_) => ErrorKind::MaintDenied,
            _ => ErrorKind::Connect,
        }
    }

    /// The kind as a word, for metrics and reports; it never changes.
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

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the command may have been executed.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The command that failed, such as `GET`, if it was one. Names longer than 23 bytes are cut.
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_ref().map(CommandName::as_str)
    }

    /// The endpoint that was talked to, or was to be.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// The code that the server's answer began with, such as `WRONGTYPE`, if the server answered with an error: to the
    /// command, or to the handshake of the connection that it was to be sent on (`WRONGPASS`, `LOADING`).
    pub fn code(&self) -> Option<&str> {
        match &self.0.code {
            Some(code) => Some(code),
            None if self.0.kind == ErrorKind::Server => self.0.detail.split(' ').next(),
            None => None,
        }
    }

    /// Whether the same command may well succeed a while later, with nobody doing anything about it here.
    ///
    /// It is not whether trying again is *safe*: that is [`Error::outcome`]'s to say.
    ///
    /// | true for | because |
    /// |---|---|
    /// | [`ErrorKind::Connect`], but for a refused handshake | it is dialed again, with backoff |
    /// | [`ErrorKind::Timeout`], [`ErrorKind::ConnectionLost`] | the next connection, or the next moment, may be better |
    /// | [`ErrorKind::Overloaded`] | what is queued is being worked off |
    /// | `LOADING`, `BUSY`, `TRYAGAIN`, `CLUSTERDOWN` | the server says that it is passing |
    /// | `READONLY`, `MASTERDOWN` | the endpoint is dialed anew, for it may lead to a new master |
    /// | `ERR max number of clients reached` | others leave |
    ///
    /// Everything else takes a person, or another command: wrong credentials, a wrong type, a shutdown.
    pub fn is_passing(&self) -> bool {
        self.0.passing
    }

    /// The maintenance that the server had announced when this happened, such as `MOVING`, if it had.
    pub fn maintenance(&self) -> Option<&str> {
        self.0.maintenance
    }

    /// A login that a server refused in these words.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn refused_login(reply: &str) -> Self {
        Error::from_obstacle(CloseReason::Auth(reply.to_owned()))
    }

    /// The text without what to do.
    #[cfg(feature = "cli")]
    pub(crate) fn problem(&self) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = self.write(&mut text, None::<Remedy>);
        text
    }

    /// What a person can do about it, if that is known.
    #[cfg(feature = "cli")]
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        self.0.remedy
    }

    /// The text, with what to do in the words of a caller that has others than the library's settings.
    #[cfg(feature = "cli")]
    pub(crate) fn text(&self, words: impl Fn(Remedy) -> &'static str) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = self.write(&mut text, self.0.remedy.map(words));
        text
    }

    /// What happened, without the command and the place that it is said of.
    #[cfg(feature = "redis-rs")]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, detail: impl Into<String>) -> Self {
        let (command, endpoint, maintenance) = (None, None, None);
        let passing = matches!(
            kind,
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::ConnectionLost | ErrorKind::Overloaded
        );
        let (detail, code, remedy, reason) = (detail.into(), None, None, None);
        Error(Box::new(Inner {
            kind,
            outcome,
            command,
            endpoint,
            maintenance,
            detail,
            reason,
            code,
            remedy,
            passing,
        }))
    }

    /// The same error, said of this command.
    pub(crate) fn of(mut self, command: CommandName) -> Self {
        self.0.command = Some(command);
        self
    }

    /// The same error, with what follows from it.
    pub(crate) fn adding(mut self, consequence: &str) -> Self {
        self.0.detail.push_str(consequence);
        self
    }

    /// The same error, said of this endpoint.
    pub(crate) fn at(mut self, endpoint: &Endpoint) -> Self {
        self.0.endpoint = Some(endpoint.clone());
        self
    }

    /// The same error, said of a time of announced maintenance.
    fn during(mut self, maintenance: Option<&'static str>) -> Self {
        self.0.maintenance = maintenance;
        self
    }

    /// What a server's error reply means.
    pub(crate) fn from_server(reply: &[u8]) -> Self {
        let mut error = Error::new(ErrorKind::Server, Outcome::Answered, redacted(reply, SERVER_TEXT_MAX));
        error.0.passing = ServerState::of(reply).is_some_and(ServerState::is_passing);
        error
    }

    /// A reply of the wrong shape. What it holds is the user's, and no error's.
    pub(crate) fn unexpected(expected: &str, reply: &Frame) -> Self {
        let detail = format!("expected {expected}, got {}", reply.shape());
        Error::new(ErrorKind::ReplyType, Outcome::Answered, detail)
    }

    pub(crate) fn overloaded(detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Overloaded, Outcome::Unsent, detail)
    }

    pub(crate) fn machine(detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Machine, Outcome::Unsent, detail)
    }

    /// A call that would hang or panic where it was made; `detail` says what to do instead.
    pub(crate) fn misuse(outcome: Outcome, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Misuse, outcome, detail)
    }

    /// A future was polled again after it had handed its reply out.
    pub(crate) fn already_taken() -> Self {
        Error::misuse(
            Outcome::Answered,
            "the reply was taken already: its future was polled again after it was ready",
        )
    }

    pub(crate) fn shut_down(outcome: Outcome) -> Self {
        Error::new(ErrorKind::ShutDown, outcome, "the shard is shut down")
    }

    /// Why a connection could not be had.
    pub(crate) fn from_obstacle(reason: impl Into<Arc<CloseReason>>) -> Self {
        let reason = reason.into();
        let kind = ErrorKind::of_obstacle(&reason);
        let mut error = Error::new(kind, Outcome::Unsent, reason.to_string());
        error.0.passing = !reason.is_refusal();
        error.for_want_of(reason)
    }

    /// The same error, which this obstacle has led to.
    fn for_want_of(mut self, obstacle: Arc<CloseReason>) -> Self {
        self.0.code = obstacle.reply().and_then(code_of).map(Box::from);
        self.0.remedy = obstacle.remedy();
        self.0.reason = Some(obstacle);
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let outcome = failure.outcome();
        match failure {
            Failure::TimedOut { after, last_error: Some(last_error), maintenance, blocked_ms, .. } => {
                let blocked = blocked_text(blocked_ms);
                let detail =
                    format!("not sent within {after:?}, for want of a connection: {last_error}{blocked}");
                Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance).for_want_of(last_error)
            }
            Failure::TimedOut { after, last_error: None, maintenance, blocked_ms, .. } => {
                let detail = format!("no reply within {after:?}{}", blocked_text(blocked_ms));
                Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance)
            }
            Failure::Lost { reason, maintenance } => {
                let detail = format!("the connection was lost before the reply came: {reason}");
                let mut error = Error::new(ErrorKind::ConnectionLost, outcome, detail).during(maintenance);
                error.0.remedy = reason.remedy();
                error.0.reason = Some(reason);
                error
            }
            Failure::Refused(reason) => Error::from_obstacle(reason),
            Failure::ShutDown(outcome) => Error::shut_down(outcome),
            Failure::Overloaded => Error::overloaded("too many calls are open on this shard already"),
        }
    }
}

impl std::error::Error for Error {
    /// The error of the socket or of TLS that this one came of, such as a [`std::io::Error`], if there was one.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.reason.as_ref()?.origin()
    }
}

impl Error {
    fn write(&self, f: &mut impl fmt::Write, remedy: Option<impl fmt::Display>) -> fmt::Result {
        match (&self.0.command, &self.0.endpoint) {
            (Some(command), Some(endpoint)) => write!(f, "{} at {endpoint}: ", command.as_str())?,
            (Some(command), None) => write!(f, "{}: ", command.as_str())?,
            (None, Some(endpoint)) => write!(f, "{endpoint}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.detail)?;
        if let Some(maintenance) = self.0.maintenance {
            write!(f, ", while the server had announced {maintenance}")?;
        }
        if let Some(remedy) = remedy {
            write!(f, "; {remedy}")?;
        }
        match (self.0.outcome, self.0.command.is_some()) {
            (Outcome::Unsent, true) if self.0.kind == ErrorKind::Command => Ok(()),
            (Outcome::Unsent, true) => f.write_str(" (not executed; it is safe to try again)"),
            (Outcome::Ambiguous, true) => f.write_str(" (it may have been executed)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.0.remedy)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}: {self}", self.0.kind, self.0.outcome)
    }
}

/// What a blocked thread has to do with a timeout.
fn blocked_text(blocked_ms: Option<NonZeroU32>) -> String {
    let text = |ms| format!("; the shard's thread was blocked for {ms} ms meanwhile (see Event::Blocked)");
    blocked_ms.map(text).unwrap_or_default()
}

/// The word in capitals that a server's error begins with, if it does.
fn code_of(reply: &str) -> Option<&str> {
    let word = reply.split(' ').next()?;
    (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

/// How many bytes of a server's error are kept; what it may send is bounded by the limits of a frame only.
const SERVER_TEXT_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::Cause;

    #[test]
    fn the_text_says_what_where_whether_and_why() {
        let endpoint: Endpoint = "10.0.0.1:7001".parse().unwrap();
        let reason = Arc::new(CloseReason::ClosedByServer);
        let lost = Failure::Lost { reason, maintenance: Some("MOVING") };
        let error = Error::from(lost).of(CommandName::new("INCR")).at(&endpoint);
        assert_eq!(
            error.to_string(),
            "INCR at 10.0.0.1:7001: the connection was lost before the reply came: \
             the server closed the connection, while the server had announced MOVING (it may have been executed)"
        );
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Ambiguous));
        assert_eq!((error.command(), error.endpoint()), (Some("INCR"), Some(&endpoint)));
        assert_eq!((error.code(), error.maintenance()), (None, Some("MOVING")));
    }

    #[test]
    fn the_source_is_the_error_of_the_socket() {
        use std::error::Error as _;
        use std::io;

        let refused = || Cause::of("refused", io::Error::from_raw_os_error(111));
        let lost = Failure::Lost { reason: Arc::new(CloseReason::Io(refused())), maintenance: None };
        let unconnected = Failure::Refused(Arc::new(CloseReason::Dial(refused())));
        for failure in [lost, unconnected] {
            let error = Error::from(failure).clone();
            let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
        }
        assert!(Error::from(Failure::Overloaded).source().is_none());
    }

    #[test]
    fn a_server_error_has_its_code() {
        let error = Error::from_server(b"WRONGTYPE Operation against a key");
        assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Answered));
        assert_eq!(Error::from_server(&[b'x'; 10_000]).to_string().len(), SERVER_TEXT_MAX);
    }

    #[test]
    fn errors_cross_threads_and_are_small_in_results() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
