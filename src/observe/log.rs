//! Events as lines of the log.

use super::{Event, HandoffResult};

/// Logs what happened on a shard. Connections are left out: the shard logs them where it handles them.
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
                "this user may not ask for maintenance notifications: allow it `client|maint_notifications`"
            );
        }
        Event::NotOffered { peer, denied: false, reason } => {
            tracing::debug!(target: "hitless::maintenance", shard, %peer, %reason, "no notifications here");
        }
        Event::HandoffStarted { from, to } => {
            tracing::debug!(target: "hitless::handoff", shard, %from, %to, "handing a connection off");
        }
        Event::HandoffEnded { from, to, result: HandoffResult::Succeeded, duration, attempts } => {
            tracing::info!(
                target: "hitless::handoff",
                shard, %from, %to, ?duration, attempts,
                "handed a connection off"
            );
        }
        Event::HandoffEnded { from, to, result, duration, attempts } => {
            tracing::warn!(
                target: "hitless::handoff",
                shard, %from, %to, %result, ?duration, attempts,
                "a connection was not handed off"
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
                "new credentials were refused; connections live on with the old ones"
            );
        }
        Event::Demoted { peer, code } => {
            tracing::warn!(target: "hitless::shard", shard, %peer, code, "connecting anew: this is no master any more");
        }
        Event::Blocked { duration, by } => {
            let by = by.unwrap_or("a task that did not yield, or a machine that stood still");
            tracing::warn!(target: "hitless::shard", shard, ?duration, by, "the shard's thread was blocked");
        }
        // Its end is logged by the shard, with the reason.
        Event::Connected { .. } | Event::Disconnected { .. } | Event::Flooded { .. } => {}
    }
}
