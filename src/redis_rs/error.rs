//! Errors as [`redis::RedisError`]s, so that what happened, and whether to try again, is found by the methods of those.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind as RedisErrorKind, RedisError, RedisResult, Value};

use super::value::server_error;
use crate::error::{Error, ErrorKind};
use crate::proto::error::Outcome;

/// The error from which a [`RedisError`] was made, if it is about a connection. It has the whole text, and [`Error::outcome`].
///
/// ```
/// # fn example(error: &redis::RedisError) {
/// use hitless::{Outcome, redis_rs};
///
/// let may_have_run = redis_rs::cause(error).is_some_and(|cause| cause.outcome() == Outcome::Ambiguous);
/// # }
/// ```
pub fn cause(error: &RedisError) -> Option<&Error> {
    // The source is the pointer by which redis-rs shares the error.
    let shared: &Arc<dyn std::error::Error + Send + Sync> = error.source()?.downcast_ref()?;
    shared.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// See [the table](crate::redis_rs#errors).
impl From<Error> for RedisError {
    fn from(error: Error) -> RedisError {
        let config =
            |error: Error| (RedisErrorKind::InvalidClientConfig, "hitless", error.to_string()).into();
        match (error.outcome(), error.kind()) {
            // The only kind of I/O error that redis-rs does not retry.
            (Outcome::Ambiguous, _) => io::Error::new(io::ErrorKind::Unsupported, error).into(),
            (_, ErrorKind::Server) => from_server(error),
            (_, ErrorKind::ReplyType) => {
                (RedisErrorKind::UnexpectedReturnType, "hitless", error.to_string()).into()
            }
            (_, ErrorKind::Auth) => {
                (RedisErrorKind::AuthenticationFailed, "hitless", error.to_string()).into()
            }
            (_, ErrorKind::Resp3NotNegotiated) => {
                (RedisErrorKind::RESP3NotSupported, "hitless", error.to_string()).into()
            }
            (_, ErrorKind::Config | ErrorKind::Command | ErrorKind::Machine | ErrorKind::Tls) => {
                config(error)
            }
            (_, ErrorKind::MaintRefused | ErrorKind::MaintDenied) => config(error),
            (_, ErrorKind::Timeout) => io::Error::new(io::ErrorKind::TimedOut, error).into(),
            (_, ErrorKind::Overloaded) => io::Error::new(io::ErrorKind::ResourceBusy, error).into(),
            // Every redis-rs of version 1 treats this kind as a dropped connection.
            (_, ErrorKind::ShutDown | ErrorKind::Connect | ErrorKind::ConnectionLost) => {
                io::Error::new(io::ErrorKind::BrokenPipe, error).into()
            }
            // A program that retries a watch begins it again.
            (_, ErrorKind::Conflict | ErrorKind::WatchStale) => {
                (RedisErrorKind::Client, "hitless", error.to_string()).into()
            }
            (_, ErrorKind::Panicked | ErrorKind::Misuse | ErrorKind::Encode | ErrorKind::CrossSlot) => {
                (RedisErrorKind::Client, "hitless", error.to_string()).into()
            }
        }
    }
}

fn from_server(error: Error) -> RedisError {
    let value = server_error(&error.detail().as_bytes().to_vec().into());
    // Either result is an error.
    let found: RedisResult<Value> = value.and_then(Value::extract_error);
    found.err().unwrap_or_else(|| (RedisErrorKind::Client, "hitless", error.to_string()).into())
}

#[cfg(test)]
mod tests {
    use redis::{RetryMethod, ServerErrorKind};

    use super::*;
    use crate::command::CommandName;

    const KINDS: [ErrorKind; 16] = [
        ErrorKind::Config,
        ErrorKind::Machine,
        ErrorKind::Connect,
        ErrorKind::Tls,
        ErrorKind::Auth,
        ErrorKind::Resp3NotNegotiated,
        ErrorKind::MaintRefused,
        ErrorKind::MaintDenied,
        ErrorKind::ConnectionLost,
        ErrorKind::Timeout,
        ErrorKind::Overloaded,
        ErrorKind::Server,
        ErrorKind::ReplyType,
        ErrorKind::ShutDown,
        ErrorKind::Panicked,
        ErrorKind::Misuse,
    ];

    fn made(kind: ErrorKind, outcome: Outcome) -> RedisError {
        Error::new(kind, outcome, "ERR what happened").of(CommandName::new("INCR")).into()
    }

    #[test]
    fn what_may_have_been_executed_is_never_to_be_sent_again() {
        for kind in KINDS {
            let error = made(kind, Outcome::Ambiguous);
            assert!(matches!(error.retry_method(), RetryMethod::NoRetry), "{kind}");
            assert!(error.is_io_error() && !error.is_unrecoverable_error(), "{kind}");
            assert_eq!(error.to_string(), "INCR: ERR what happened (it may have been executed)");
            let cause = cause(&error).unwrap();
            assert_eq!((cause.kind(), cause.outcome()), (kind, Outcome::Ambiguous));
        }
    }

    #[test]
    fn what_was_not_executed_says_what_kept_it() {
        let timeout = made(ErrorKind::Timeout, Outcome::Unsent);
        assert!(timeout.is_timeout() && timeout.is_io_error());
        assert!(matches!(timeout.retry_method(), RetryMethod::RetryImmediately));
        let unconnected = made(ErrorKind::Connect, Outcome::Unsent);
        assert!(unconnected.is_connection_dropped() && !unconnected.is_timeout());
        // The client is gone, and it takes another one.
        let gone = made(ErrorKind::ShutDown, Outcome::Unsent);
        assert!(gone.is_connection_dropped() && gone.is_unrecoverable_error());
        let full = made(ErrorKind::Overloaded, Outcome::Unsent);
        assert!(!full.is_connection_dropped() && !full.is_timeout() && !full.is_unrecoverable_error());
        assert_eq!(cause(&full).unwrap().outcome(), Outcome::Unsent);
    }

    #[test]
    fn what_a_person_has_to_mend_is_not_an_io_error() {
        let expected = [
            (ErrorKind::Auth, RedisErrorKind::AuthenticationFailed),
            (ErrorKind::Tls, RedisErrorKind::InvalidClientConfig),
            (ErrorKind::MaintDenied, RedisErrorKind::InvalidClientConfig),
            (ErrorKind::Resp3NotNegotiated, RedisErrorKind::RESP3NotSupported),
        ];
        for (kind, theirs) in expected {
            let error = made(kind, Outcome::Unsent);
            assert_eq!(error.kind(), theirs);
            assert!(error.to_string().contains("what happened"), "{error}");
        }
    }

    #[test]
    fn a_servers_error_is_the_one_that_redis_rs_would_have_made() {
        let error =
            RedisError::from(Error::from_server(b"READONLY You can't write").of(CommandName::new("SET")));
        assert_eq!(
            (error.kind(), error.detail()),
            (ServerErrorKind::ReadOnly.into(), Some("You can't write"))
        );
        let error = RedisError::from(Error::from_server(b"WRONGTYPE no"));
        assert_eq!((error.kind(), error.code()), (RedisErrorKind::Extension, Some("WRONGTYPE")));
    }
}
