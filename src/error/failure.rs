//! How a [`Failure`] of the core becomes an [`Error`].

use std::time::Duration;

use super::{Error, ErrorKind};
use crate::proto::error::{Failure, Stale, TimedOut};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let outcome = failure.outcome();
        match failure {
            Failure::TimedOut(timed_out) => Error::from(*timed_out),
            Failure::Lost { reason, maintenance } => {
                let detail = format!("the connection was lost before the reply came: {reason}");
                Error::new(ErrorKind::ConnectionLost, outcome, detail).during(maintenance).because_of(reason)
            }
            Failure::Refused(reason) => Error::from_close_reason(reason),
            Failure::ShutDown(outcome) => Error::shut_down(outcome),
            Failure::Stale(stale) => {
                Error::new(ErrorKind::of(&Failure::Stale(stale)), outcome, stale_text(stale))
            }
            Failure::Overloaded => Error::overloaded("too many calls are open on this shard already"),
            Failure::Cluster(failure) => {
                Error::new(ErrorKind::of_cluster_failure(&failure), outcome, failure.to_string())
            }
        }
    }
}

impl From<TimedOut> for Error {
    fn from(timed_out: TimedOut) -> Self {
        let TimedOut { outcome, after, last_error, maintenance, blocked, node } = timed_out;
        let node = node.map(|node| format!(" from node {node}")).unwrap_or_default();
        let blocked = blocked_text(blocked);
        let Some(last_error) = last_error else {
            let detail = format!("no reply{node} within {after:?}{blocked}");
            return Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance);
        };
        let detail = format!(
            "not sent within {after:?}, because no connection was ready: {last_error}{node}{blocked}"
        );
        Error::new(ErrorKind::Timeout, outcome, detail).during(maintenance).caused_by(last_error)
    }
}

/// What a session has lost, and what to do about it.
fn stale_text(stale: Stale) -> &'static str {
    match stale {
        Stale::Watch => {
            "the connection that watched the keys was replaced, and they may have changed: read them again"
        }
        Stale::Transaction => {
            "the connection that MULTI was sent on is gone, and the transaction with it: begin it again"
        }
        Stale::Connection => {
            "the session had changed its connection (SELECT, CLIENT TRACKING or the like), which is gone: open another session"
        }
    }
}

/// The addition to a timeout during which the shard's thread was blocked.
fn blocked_text(blocked: Option<Duration>) -> String {
    let text = |time| format!("; the shard's thread was blocked for {time:?} meanwhile (see Event::Blocked)");
    blocked.map(text).unwrap_or_default()
}
