//! [`Error`]: what failed, where, whether the command may have been executed, and how to fix it.

mod command_name;
mod failure;
mod kind;

use std::fmt;
use std::sync::Arc;

pub(crate) use self::command_name::CommandName;
pub use self::kind::ErrorKind;
use crate::proto::endpoint::Endpoint;
pub(crate) use crate::proto::error::Remedy;
use crate::proto::error::{CloseReason, Outcome, ServerState, redacted};
use crate::proto::resp::Frame;

/// The result of every call of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command, or the start of a client, failed.
///
/// [`Error::kind`] classifies errors for programs, and [`Error::outcome`] says whether trying again is safe. The text is
/// `COMMAND at ENDPOINT: problem, while the server had announced MOVING; fix (outcome)`, without the parts that do not apply.
/// It never holds a key, a value or a password: what a server quotes of a command is withheld.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    outcome: Outcome,
    command: Option<CommandName>,
    endpoint: Option<Endpoint>,
    maintenance: Option<&'static str>,
    detail: String,
    /// Why the connection closed or was never ready, if that caused the error.
    reason: Option<Arc<CloseReason>>,
    /// The first word of the server's refusal, if `detail` does not begin with it.
    code: Option<Box<str>>,
    remedy: Option<Remedy>,
    transient: bool,
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

    /// The failed command, such as `GET`, if a command failed. Names longer than 23 bytes are cut.
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_ref().map(CommandName::as_str)
    }

    /// The endpoint that the client talked to, or tried to reach.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// The first word of the server's error, such as `WRONGTYPE`, if the server answered with an error to the command, or
    /// to the handshake of the command's connection (`WRONGPASS`, `LOADING`).
    pub fn code(&self) -> Option<&str> {
        match &self.0.code {
            Some(code) => Some(code),
            None if self.0.kind == ErrorKind::Server => self.0.detail.split(' ').next(),
            None => None,
        }
    }

    /// Whether the same command is likely to succeed later, although neither you nor an operator changes anything.
    ///
    /// Whether trying again is *safe* is another question: [`Error::outcome`] answers it.
    ///
    /// | true for | because |
    /// |---|---|
    /// | [`ErrorKind::Connect`], except for a refused handshake | the client dials again, with backoff |
    /// | [`ErrorKind::Timeout`], [`ErrorKind::ConnectionLost`] | the next connection, or a later call, may succeed |
    /// | [`ErrorKind::Overloaded`] | the queued commands are being executed |
    /// | `LOADING`, `BUSY`, `TRYAGAIN`, `CLUSTERDOWN` | the server says that its state is temporary |
    /// | `READONLY`, `MASTERDOWN` | the client dials the endpoint again, which may lead to a new master |
    /// | `ERR max number of clients reached` | other clients disconnect |
    ///
    /// Everything else needs a change: of credentials, of the command, of the configuration, or a new client.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// The maintenance that the server had announced at that time, such as `MOVING`, if any.
    pub fn maintenance(&self) -> Option<&str> {
        self.0.maintenance
    }

    /// The error of a login that a server refused with this reply.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn refused_login(reply: &str) -> Self {
        Error::from_close_reason(CloseReason::Auth(reply.to_owned()))
    }

    /// The text without the remedy.
    #[cfg(feature = "cli")]
    pub(crate) fn problem(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut text, None::<Remedy>);
        text
    }

    /// How to fix it, if that is known.
    #[cfg(feature = "cli")]
    pub(crate) fn remedy(&self) -> Option<Remedy> {
        self.0.remedy
    }

    /// The text, with the remedy in the caller's words: the command has options where the library has settings.
    #[cfg(feature = "cli")]
    pub(crate) fn text(&self, words: impl Fn(Remedy) -> &'static str) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut text, self.0.remedy.map(words));
        text
    }

    /// What happened, without the command and the endpoint.
    #[cfg(feature = "redis-rs")]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, detail: impl Into<String>) -> Self {
        let (command, endpoint, maintenance) = (None, None, None);
        let transient = matches!(
            kind,
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::ConnectionLost | ErrorKind::Overloaded
        );
        let (detail, code, remedy, reason) = (detail.into(), None, None, None);
        Error(Box::new(Details {
            kind,
            outcome,
            command,
            endpoint,
            maintenance,
            detail,
            reason,
            code,
            remedy,
            transient,
        }))
    }

    /// The same error, naming this command.
    pub(crate) fn of(mut self, command: CommandName) -> Self {
        self.0.command = Some(command);
        self
    }

    /// The same error, with this consequence at the end of its text.
    pub(crate) fn adding(mut self, consequence: &str) -> Self {
        self.0.detail.push_str(consequence);
        self
    }

    /// The same error, naming this endpoint.
    pub(crate) fn at(mut self, endpoint: &Endpoint) -> Self {
        self.0.endpoint = Some(endpoint.clone());
        self
    }

    /// The same error, naming the maintenance that was announced at the time.
    fn during(mut self, maintenance: Option<&'static str>) -> Self {
        self.0.maintenance = maintenance;
        self
    }

    /// The error for a server's error reply.
    pub(crate) fn from_server(reply: &[u8]) -> Self {
        let mut error = Error::new(ErrorKind::Server, Outcome::Answered, redacted(reply, SERVER_TEXT_MAX));
        error.0.transient = ServerState::of(reply).is_some_and(ServerState::is_passing);
        error
    }

    /// The error for a reply of the wrong type. It names the type only, because the content may be secret.
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

    /// The error for a call that would hang or panic where it is made; `detail` says what to do instead.
    pub(crate) fn misuse(outcome: Outcome, detail: impl Into<String>) -> Self {
        Error::new(ErrorKind::Misuse, outcome, detail)
    }

    /// The error for a future that is polled again after it has returned its reply.
    pub(crate) fn already_taken() -> Self {
        Error::misuse(
            Outcome::Answered,
            "the reply was taken already: its future was polled again after it was ready",
        )
    }

    pub(crate) fn shut_down(outcome: Outcome) -> Self {
        Error::new(ErrorKind::ShutDown, outcome, "the shard is shut down")
    }

    /// The error for a connection that could not be made, or was refused.
    pub(crate) fn from_close_reason(reason: impl Into<Arc<CloseReason>>) -> Self {
        let reason = reason.into();
        let kind = ErrorKind::of_close_reason(&reason);
        let mut error = Error::new(kind, Outcome::Unsent, reason.to_string());
        error.0.transient = !reason.is_refusal();
        error.caused_by(reason)
    }

    /// The same error, caused by a connection that was not ready: its code and its remedy are those of the reason.
    fn caused_by(mut self, reason: Arc<CloseReason>) -> Self {
        self.0.code = reason.reply().and_then(code_of).map(Box::from);
        self.because_of(reason)
    }

    /// The same error, caused by a connection that closed: its remedy is that of the reason.
    fn because_of(mut self, reason: Arc<CloseReason>) -> Self {
        self.0.remedy = reason.remedy();
        self.0.reason = Some(reason);
        self
    }
}

impl std::error::Error for Error {
    /// The error of the socket or of TLS that caused this one, such as a [`std::io::Error`], if there was one.
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

/// The word in capitals that a server's error begins with, if it begins with one.
fn code_of(reply: &str) -> Option<&str> {
    let word = reply.split(' ').next()?;
    (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(word)
}

/// How many bytes of a server's error an [`Error`] keeps: the limits of a frame allow far longer texts.
const SERVER_TEXT_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::{Cause, Failure};

    #[test]
    fn text_names_command_endpoint_reason_and_outcome() {
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
    fn source_is_the_socket_error() {
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
    fn server_error_has_its_code() {
        let error = Error::from_server(b"WRONGTYPE Operation against a key");
        assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Answered));
        assert_eq!(Error::from_server(&[b'x'; 10_000]).to_string().len(), SERVER_TEXT_MAX);
    }

    #[test]
    fn errors_are_send_and_one_word_wide() {
        fn assert_send_sync<T: Send + Sync + 'static>() {}
        assert_send_sync::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
