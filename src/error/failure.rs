//! How a [`Failure`] of the core becomes an [`Error`].

use std::num::NonZeroU32;

use super::{Error, ErrorKind};
use crate::proto::error::Failure;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let outcome = failure.outcome();
        match failure {
            Failure::TimedOut { after, last_error: Some(last_error), maintenance, blocked_ms, .. } => {
                let blocked = blocked_text(blocked_ms);
                let detail = format!(
                    "not sent within {after:?}, because no connection was ready: {last_error}{blocked}"
                );
                Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance).caused_by(last_error)
            }
            Failure::TimedOut { after, last_error: None, maintenance, blocked_ms, .. } => {
                let detail = format!("no reply within {after:?}{}", blocked_text(blocked_ms));
                Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance)
            }
            Failure::Lost { reason, maintenance } => {
                let detail = format!("the connection was lost before the reply came: {reason}");
                Error::new(ErrorKind::ConnectionLost, outcome, detail).during(maintenance).because_of(reason)
            }
            Failure::Refused(reason) => Error::from_close_reason(reason),
            Failure::ShutDown(outcome) => Error::shut_down(outcome),
            Failure::Overloaded => Error::overloaded("too many calls are open on this shard already"),
        }
    }
}

/// The addition to a timeout during which the shard's thread was blocked.
fn blocked_text(blocked_ms: Option<NonZeroU32>) -> String {
    let text = |ms| format!("; the shard's thread was blocked for {ms} ms meanwhile (see Event::Blocked)");
    blocked_ms.map(text).unwrap_or_default()
}
