//! `MOVING`: a node announces that it goes away.

use super::{Done, at, micros, syntax};
use crate::rehearsal::maintenance::node::ClosePolicy;
use crate::rehearsal::maintenance::notification::{Kind, Subject};
use crate::rehearsal::maintenance::stage::{Scope, Stage};

/// Announces it, and answers how many of the connections in scope were told.
pub(super) fn moving(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let [grace, target, options @ ..] = args else {
        return syntax("MOVING");
    };
    let grace_us = micros("MOVING grace_s", grace)?;
    let target = (!target.eq_ignore_ascii_case("null")).then(|| target.as_bytes().to_vec());
    let mut plans = Vec::new();
    for node in &scope.nodes {
        let policy = stage.world.nodes.get(node.0).map_or(ClosePolicy::DEFAULT, |node| node.policy);
        plans.push((*node, policy.change(options)?));
    }
    let until_us = at(stage.now_us, grace_us);
    stage.announce(scope, Kind::Moving, Some(until_us), Subject::Target(target));
    for (node, policy) in plans {
        stage.plan_close(node, policy, u64::try_from(grace_us).unwrap_or(0));
    }
    Ok(told(stage, scope))
}

/// Connections that only gave orders, as redis-cli's, are not clients under test.
fn told(stage: &mut Stage<'_>, scope: &Scope) -> String {
    let (mut told, mut all) = (0u64, 0u64);
    stage.for_each(scope, |_, session| {
        let is_told = session.opt_in.is_some() && session.is_told();
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
