//! Writes events to the log.

use super::{Event, HandoffResult};

/// Logs an event of a shard, except for connections: the shard logs those itself.
pub(crate) fn log(shard: usize, event: &Event) {
    match event {
        Event::Announced { peer, notification } => {
            let kind = notification.kind();
            tracing::info!(target: "hitless::maintenance", shard, %peer, %kind, ?notification, "announced");
        }
        Event::NotOffered { peer, denied: true, reason } => {
            tracing::warn!(
                target: "hitless::maintenance",
                shard, %peer, %reason,
                "this user may not ask for maintenance notifications; allow it `client|maint_notifications`"
            );
        }
        Event::NotOffered { peer, denied: false, reason } => {
            tracing::debug!(target: "hitless::maintenance", shard, %peer, %reason, "the server offers no maintenance notifications");
        }
        Event::HandoffStarted { from, to } => {
            tracing::debug!(target: "hitless::handoff", shard, %from, %to, "a handoff has started");
        }
        Event::HandoffEnded { from, to, result: HandoffResult::Succeeded, duration, attempts } => {
            tracing::info!(
                target: "hitless::handoff",
                shard, %from, %to, ?duration, attempts,
                "a connection was handed off"
            );
        }
        Event::HandoffEnded { from, to, result, duration, attempts } => {
            tracing::warn!(
                target: "hitless::handoff",
                shard, %from, %to, %result, ?duration, attempts,
                "a handoff has failed"
            );
        }
        Event::TargetRefused { peer, redirection, target, reason } => {
            tracing::warn!(
                target: "hitless::maintenance",
                shard, %peer, %redirection, named = %target, %reason,
                "a server named a target that is not allowed"
            );
        }
        Event::CredentialsRenewed => {
            tracing::info!(target: "hitless::shard", shard, "logged in with new credentials");
        }
        Event::CredentialsRefused { reason } => {
            tracing::error!(
                target: "hitless::shard",
                shard, %reason,
                "new credentials were refused; connections keep the old ones"
            );
        }
        Event::Demoted { peer, code } => {
            tracing::warn!(target: "hitless::shard", shard, %peer, code, "the server is no longer the primary; connecting again");
        }
        Event::Orphaned { command, .. } => {
            tracing::warn!(
                target: "hitless::shard",
                shard, command,
                "a blocking command had a result after its caller had left; cancel such calls instead of dropping them"
            );
        }
        Event::Blocked { duration, by } => {
            let by = by.unwrap_or("a task that did not yield, or a suspended machine");
            tracing::warn!(target: "hitless::shard", shard, ?duration, by, "the shard's thread was blocked");
        }
        // The shard logs the end of a connection, with the reason.
        Event::Connected { .. } | Event::Disconnected { .. } | Event::Flooded { .. } => {}
    }
}
