//! The verbs of clusters.

use std::sync::Arc;

use super::arguments::{VerbError, VerbResult, done, duration_us, exactly, find_node, no_arguments};
use super::verb::{Verb, verb};
use crate::rehearsal::cluster::slots::SlotRanges;
use crate::rehearsal::cluster::topology::{EndpointKind, Health, MemberId, View};
use crate::rehearsal::context::migration::{MigrationKind, MigrationPlan};
use crate::rehearsal::context::{Scope, ServerContext};

pub(super) const CLUSTER_VERBS: &[Verb] = &[
    verb("NODES", "the nodes of the cluster: index, address, role, slots, id", nodes),
    verb(
        "FAILOVER node [PAUSE time] [READONLY time]",
        "promote this replica, or the first replica of this primary; its writes wait for PAUSE before it (0), and for \
         READONLY after it the demoted node answers READONLY to them (0)",
        failover,
    ),
    verb(
        "KILL node [ELECTION time|never] [DETECT time]",
        "reset its connections and stop listening; after DETECT (half of ELECTION) all nodes answer CLUSTERDOWN, after \
         ELECTION (1s) a replica is promoted",
        kill,
    ),
    verb("REVIVE node", "a killed node returns, as a replica if another node has its slots", revive),
    verb(
        "MIGRATE slots from to [ATOMIC|CLASSIC] [PAUSE time] [OVER time|HOLD] [ANNOUNCE]",
        "move slots, e.g. 0-99,200: ATOMIC (default) all at once, after their writes have waited for PAUSE (10ms); CLASSIC \
         key by key OVER a time (1s), or as KEY and FINISH say; ANNOUNCE sends SMIGRATING and SMIGRATED",
        migrate,
    ),
    verb("KEY key [key ...]", "move these keys of a classic migration now", move_keys),
    verb("FINISH", "end all migrations now", finish),
    verb("ASSIGN slots node|none", "give slots with their keys to a node at once, or to none", assign),
    verb(
        "VIEW node LIVE|STALE|EMPTY|LAG time",
        "what this node knows: each change at once, nothing from now on, no slots, or each change late",
        view,
    ),
    verb(
        "ENDPOINTS ip|hostname|unknown",
        "how this node names nodes: by address, by NAME (? without one), or by a null host",
        endpoints,
    ),
    verb("CLUSTERDOWN time [node]", "all nodes, or one, answer CLUSTERDOWN for this time", cluster_down),
    verb(
        "COVERAGE full|partial",
        "whether a slot without a node takes the whole cluster down (full)",
        coverage,
    ),
    verb("JOIN node [primary]", "a spare node joins, without slots or as a replica of that primary", join),
    verb("FORGET node", "the cluster forgets a node without slots, which becomes a spare", forget),
];

/// The node of the cluster that `wanted` names: by index, address or port of a listener, or by the start of its id.
fn member(context: &mut ServerContext<'_>, wanted: &str) -> Result<MemberId, VerbError> {
    let listener = find_node(&context.state.nodes, wanted);
    let cluster = context.cluster()?;
    let has_id = |id: &MemberId| {
        let id = cluster.topology.member(*id).map_or("", |member| &member.id);
        wanted.len() >= ID_DIGITS_MIN && id.starts_with(wanted)
    };
    match listener {
        Ok(listener) => Ok(cluster.at(listener)),
        Err(error) => cluster.topology.ids().find(has_id).ok_or(VerbError::Text(error)),
    }
}

/// As [`member`], for a node that belongs to the cluster and lives.
fn online(context: &mut ServerContext<'_>, wanted: &str) -> Result<MemberId, VerbError> {
    let id = member(context, wanted)?;
    let cluster = context.cluster()?;
    match cluster.topology.member(id).filter(|member| member.is_joined).map(|member| member.health) {
        Some(Health::Online) => Ok(id),
        Some(_) => Err(format!("node '{wanted}' is dead; REVIVE it first").into()),
        None => Err(format!("node '{wanted}' does not belong to the cluster; JOIN it first").into()),
    }
}

/// As [`online`], for a primary.
fn primary(context: &mut ServerContext<'_>, wanted: &str) -> Result<MemberId, VerbError> {
    let id = online(context, wanted)?;
    match context.cluster()?.is_replica(id) {
        true => Err(format!("node '{wanted}' is a replica, and a primary is needed").into()),
        false => Ok(id),
    }
}

fn slot_ranges(text: &str) -> Result<SlotRanges, VerbError> {
    SlotRanges::parse(text)
        .ok_or_else(|| format!("'{text}' are not slots, such as 0-99,200, up to 16383").into())
}

/// Options with a value, such as `PAUSE 10`, and flags. The caller's function takes an option with the words behind it, and
/// returns how many of these it has used.
fn options(
    args: &[&str],
    mut take: impl FnMut(&str, &[&str]) -> Result<usize, VerbError>,
) -> Result<(), VerbError> {
    let mut rest = args;
    while let Some((option, behind)) = rest.split_first() {
        let used = take(&option.to_ascii_uppercase(), behind)?;
        rest = behind.get(used..).ok_or(VerbError::Syntax)?;
    }
    Ok(())
}

fn time(option: &str, behind: &[&str]) -> Result<u64, VerbError> {
    duration_us(option, behind.first().ok_or(VerbError::Syntax)?)
}

fn nodes(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    no_arguments(args)?;
    let cluster = context.cluster()?;
    let topology = Arc::clone(&cluster.topology);
    let line = |id: MemberId| {
        let member = topology.member(id)?;
        let role = match member.primary {
            _ if !member.is_joined => "spare".to_owned(),
            Some(primary) => format!("replica of {}", primary.0),
            None => format!("primary {}", topology.slots_of(id)).trim_end().to_owned(),
        };
        let health = if member.health == Health::Online { "" } else { " (dead)" };
        let view = cluster.node(id).map_or("live", |node| node.view.name());
        Some(format!("{} {} {role}{health} {view} {}\n", id.0, member.address, member.id))
    };
    Ok(topology.ids().filter_map(line).collect())
}

fn failover(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [wanted, more @ ..] = args else { return Err(VerbError::Syntax) };
    let (mut pause_us, mut readonly_us) = (0, 0);
    options(more, |option, behind| {
        match option {
            "PAUSE" => pause_us = time(option, behind)?,
            "READONLY" => readonly_us = time(option, behind)?,
            _ => return Err(VerbError::Syntax),
        }
        Ok(1)
    })?;
    let id = member(context, wanted)?;
    let cluster = context.cluster()?;
    let replica = match cluster.is_replica(id) {
        true => online(context, wanted)?,
        false => cluster.electable(id).ok_or_else(|| format!("node '{wanted}' has no replica that lives"))?,
    };
    context.fail_over(replica, pause_us, readonly_us);
    done()
}

fn kill(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [wanted, more @ ..] = args else { return Err(VerbError::Syntax) };
    let (mut election_us, mut detect_us) = (Some(ELECTION_US), None);
    options(more, |option, behind| {
        match (option, behind) {
            ("ELECTION", [never, ..]) if never.eq_ignore_ascii_case("never") => election_us = None,
            ("ELECTION", _) => election_us = Some(time(option, behind)?),
            ("DETECT", _) => detect_us = Some(time(option, behind)?),
            _ => return Err(VerbError::Syntax),
        }
        Ok(1)
    })?;
    let id = online(context, wanted)?;
    let detect_us = detect_us.unwrap_or(election_us.unwrap_or(ELECTION_US) / 2);
    context.kill(id, detect_us, election_us);
    done()
}

fn revive(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [wanted] = exactly(args)?;
    let id = member(context, wanted)?;
    context.cluster()?.node(id).and_then(|node| node.death).ok_or("the node was not killed")?;
    context.revive(id);
    done()
}

fn migrate(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [slots, from, to, more @ ..] = args else { return Err(VerbError::Syntax) };
    let (mut is_classic, mut is_announced) = (false, false);
    let (mut pause_us, mut over_us) = (PAUSE_US, Some(OVER_US));
    options(more, |option, behind| {
        match option {
            "ATOMIC" => is_classic = false,
            "CLASSIC" => is_classic = true,
            "ANNOUNCE" => is_announced = true,
            "HOLD" => over_us = None,
            "PAUSE" => pause_us = time(option, behind)?,
            "OVER" => over_us = Some(time(option, behind)?),
            _ => return Err(VerbError::Syntax),
        }
        Ok(usize::from(matches!(option, "PAUSE" | "OVER")))
    })?;
    let (slots, from, to) = (slot_ranges(slots)?, primary(context, from)?, primary(context, to)?);
    let cluster = context.cluster()?;
    if let Some(slot) = slots.slots().find(|&slot| cluster.topology.owner(slot) != Some(from)) {
        return Err(format!("slot {slot} is not owned by node {}", from.0).into());
    }
    let is_moving = |slot: &u16| cluster.migrations.iter().any(|migration| migration.slots.contains(*slot));
    if let Some(slot) = slots.slots().find(is_moving) {
        return Err(format!("slot {slot} is moving already").into());
    }
    if from == to {
        return Err("the source is the target".into());
    }
    let kind = match is_classic {
        true => MigrationKind::Classic { over_us },
        false => MigrationKind::Atomic { pause_us },
    };
    context.migrate(MigrationPlan { slots, from, to, is_announced, kind });
    done()
}

fn move_keys(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    if args.is_empty() {
        return Err(VerbError::Syntax);
    }
    context.cluster()?;
    for key in args {
        match context.move_key(key.as_bytes()) {
            Some(true) => {}
            Some(false) => return Err(format!("the source does not have key '{key}'").into()),
            None => return Err(format!("the slot of key '{key}' is in no classic migration").into()),
        }
    }
    done()
}

fn finish(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    no_arguments(args)?;
    let open: Vec<u64> = context.cluster()?.migrations.iter().map(|migration| migration.id).collect();
    open.into_iter().for_each(|id| context.finish_migration(id));
    done()
}

fn assign(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [slots, owner] = exactly(args)?;
    let slots = slot_ranges(slots)?;
    let owner = match owner.eq_ignore_ascii_case("none") {
        true => None,
        false => Some(primary(context, owner)?),
    };
    context.cluster()?;
    context.assign(&slots, owner);
    done()
}

fn view(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [wanted, kind, more @ ..] = args else { return Err(VerbError::Syntax) };
    let id = member(context, wanted)?;
    let known = Arc::clone(context.cluster()?.known(id));
    let view = match (kind.to_ascii_uppercase().as_str(), more) {
        ("LIVE", []) => View::Live,
        ("STALE", []) => View::Stale(known),
        ("EMPTY", []) => View::Empty,
        ("LAG", [lag]) => View::Lagging { lag_us: duration_us("LAG", lag)?, known },
        _ => return Err(VerbError::Syntax),
    };
    context.set_view(id, view);
    done()
}

fn endpoints(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [kind] = exactly(args)?;
    let kind = match kind.to_ascii_lowercase().as_str() {
        "ip" => EndpointKind::Ip,
        "hostname" => EndpointKind::Hostname,
        "unknown" => EndpointKind::Unknown,
        _ => return Err(VerbError::Syntax),
    };
    let cluster = context.cluster()?;
    for listener in &scope.nodes {
        if let Some(node) = cluster.node_mut(cluster.at(*listener)) {
            node.endpoints = kind;
        }
    }
    done()
}

fn cluster_down(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let (time, only) = match args {
        [time] => (time, None),
        [time, node] => (time, Some(member(context, node)?)),
        _ => return Err(VerbError::Syntax),
    };
    let until_us = context.now_us.saturating_add(duration_us("CLUSTERDOWN", time)?);
    let cluster = context.cluster()?;
    match only {
        None => cluster.down_until_us = until_us,
        Some(id) => cluster.nodes_mut().filter(|(node, _)| *node == id).for_each(|(_, node)| {
            node.down_until_us = until_us;
        }),
    }
    done()
}

fn coverage(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [kind] = exactly(args)?;
    context.cluster()?.needs_full_coverage = match kind.to_ascii_lowercase().as_str() {
        "full" => true,
        "partial" => false,
        _ => return Err(VerbError::Syntax),
    };
    done()
}

fn join(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let (wanted, primary) = match args {
        [wanted] => (wanted, None),
        [wanted, of] => (wanted, Some(primary(context, of)?)),
        _ => return Err(VerbError::Syntax),
    };
    let id = member(context, wanted)?;
    if context.cluster()?.is_joined(id) {
        return Err(format!("node '{wanted}' belongs to the cluster already").into());
    }
    context.join(id, primary);
    done()
}

fn forget(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [wanted] = exactly(args)?;
    let id = member(context, wanted)?;
    let cluster = context.cluster()?;
    if cluster.topology.owns_any(id) || cluster.topology.replicas(id).next().is_some() {
        return Err(format!("node '{wanted}' has slots or replicas; MIGRATE or ASSIGN them first").into());
    }
    context.forget(id);
    done()
}

/// The time from a death to the election of a replica, unless the verb names it.
const ELECTION_US: u64 = 1_000_000;
/// How long an atomic migration holds writes, unless the verb names it.
const PAUSE_US: u64 = 10_000;
/// How long a classic migration takes, unless the verb names it.
const OVER_US: u64 = 1_000_000;
/// The shortest start of an id that names a node. Shorter ones could be ports.
const ID_DIGITS_MIN: usize = 8;
