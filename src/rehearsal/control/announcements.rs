//! The verbs that push something to the clients.

use super::arguments::{VerbError, VerbResult, done, exactly, micros, time_after, unescape};
use crate::rehearsal::context::{Scope, ServerContext};
use crate::rehearsal::maintenance::close_policy::ClosePolicy;
use crate::rehearsal::maintenance::notification::{NotificationKind, Subject};

/// `MOVING`: announces that the nodes move, and plans their close. The reply tells how many connections got the push. A
/// node of a cluster that moves to a spare node serves there from now on.
pub(super) fn moving(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [grace, target, options @ ..] = args else {
        return Err(VerbError::Syntax);
    };
    let grace_us = micros("MOVING grace_s", grace)?;
    let spare = context.state.spare_at(target);
    let target = (!target.eq_ignore_ascii_case("null")).then(|| target.as_bytes().to_vec());
    let mut plans = Vec::new();
    for node in &scope.nodes {
        let policy = context.state.nodes.get(node.0).map_or(ClosePolicy::DEFAULT, |node| node.policy);
        plans.push((*node, policy.change(options)?));
    }
    let until_us = time_after(context.now_us, grace_us);
    context.announce(scope, NotificationKind::Moving, Some(until_us), Subject::Target(target));
    if let (Some(spare), [node]) = (spare, scope.nodes.as_slice()) {
        context.move_endpoint(*node, spare);
    }
    for (node, policy) in plans {
        context.plan_close(node, policy, u64::try_from(grace_us).unwrap_or(0));
    }
    Ok(reached(context, scope))
}

/// Tells how many of the connections in `scope` got the push. Connections that only controlled the rehearsal, such as
/// those of redis-cli, are not counted.
fn reached(context: &mut ServerContext<'_>, scope: &Scope) -> String {
    let (mut told, mut all) = (0u64, 0u64);
    context.for_each(scope, |_, session| {
        let is_told = session.receives_notifications();
        told += u64::from(is_told);
        all += u64::from(is_told || (!session.is_controller && session.ending.is_none()));
    });
    let connections = if all == 1 { "connection was" } else { "connections were" };
    let why = match told {
        0 if all > 0 => "; none has asked for it with CLIENT MAINT_NOTIFICATIONS ON",
        _ => "",
    };
    format!("OK: {told} of {all} {connections} told{why}")
}

/// `MIGRATING` and `FAILING_OVER`.
pub(super) fn open_window(
    context: &mut ServerContext<'_>,
    scope: &Scope,
    kind: NotificationKind,
    args: &[&str],
) -> VerbResult {
    let (time, shards) = match args {
        [time] => (time, SHARDS_DEFAULT),
        [time, shards] => (time, *shards),
        _ => return Err(VerbError::Syntax),
    };
    let until_us = time_after(context.now_us, micros("time_s", time)?);
    context.announce(scope, kind, Some(until_us), shard_ids(shards));
    done()
}

/// `MIGRATED` and `FAILED_OVER`.
pub(super) fn close_window(
    context: &mut ServerContext<'_>,
    scope: &Scope,
    kind: NotificationKind,
    args: &[&str],
) -> VerbResult {
    let shards = match args {
        [] => SHARDS_DEFAULT,
        [shards] => shards,
        _ => return Err(VerbError::Syntax),
    };
    context.announce(scope, kind, None, shard_ids(shards));
    done()
}

pub(super) fn smigrating(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [slots] = exactly(args)?;
    context.announce(scope, NotificationKind::Smigrating, None, Subject::Text(slots.into()));
    done()
}

pub(super) fn smigrated(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    if args.is_empty() || !args.len().is_multiple_of(3) {
        return Err(VerbError::Syntax);
    }
    let moves = args.chunks_exact(3).filter_map(|parts| {
        let parts: &[&str; 3] = parts.try_into().ok()?;
        Some(parts.map(|part| part.as_bytes().to_vec()))
    });
    context.announce(scope, NotificationKind::Smigrated, None, Subject::Moves(moves.collect()));
    done()
}

pub(super) fn push(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    if args.is_empty() {
        return Err(VerbError::Syntax);
    }
    let bytes = unescape(&args.join(" "))?;
    if bytes.len() > PUSH_BYTES_MAX {
        return Err(format!("PUSH: more than {PUSH_BYTES_MAX} bytes").into());
    }
    let now_us = context.now_us;
    context.for_each(scope, |state, session| state.push_raw(session, &bytes, now_us));
    done()
}

/// Shard ids as JSON text, from JSON text or from `1,2`.
fn shard_ids(text: &str) -> Subject {
    if text.starts_with('[') {
        return Subject::Text(text.into());
    }
    let ids: Vec<String> = text.split(',').map(|id| format!("\"{}\"", id.trim())).collect();
    Subject::Text(format!("[{}]", ids.join(",")).into())
}

/// The shards of an announcement without shards.
const SHARDS_DEFAULT: &str = "[\"1\"]";
/// Most bytes of a raw push (16 MiB).
const PUSH_BYTES_MAX: usize = 16 << 20;
