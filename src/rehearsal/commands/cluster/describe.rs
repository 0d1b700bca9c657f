//! How a node describes the cluster: `CLUSTER SLOTS`, `SHARDS`, `NODES`, `REPLICAS` and `INFO`.
//!
//! The node tells what it knows, not what is true; see `View`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::here;
use crate::rehearsal::cluster::changing::Migration;
use crate::rehearsal::cluster::slots::SlotRanges;
use crate::rehearsal::cluster::state::ClusterState;
use crate::rehearsal::cluster::topology::{EndpointKind, Health, Member, MemberId, Topology};
use crate::rehearsal::commands::command::{CommandContext, CommandResult};
use crate::rehearsal::wire::reply::ReplyBuffer;
use crate::rehearsal::wire::request::Args;

/// `CLUSTER SLOTS`: each range with its primary and its replicas.
pub(super) fn slots(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let me = here(context)?.1;
    let (Some(cluster), reply) = (&context.state.cluster, &mut context.session.reply) else { return Ok(()) };
    let seen = cluster.seen(me);
    let ranges = seen.owned_ranges();
    reply.array(ranges.len());
    for (first, last, owner) in ranges {
        let replicas = seen.replicas(owner).filter(|(_, member)| member.health != Health::Failed);
        let primary = seen.member(owner).map(|member| (owner, member));
        let nodes: Vec<_> = primary.into_iter().chain(replicas).collect();
        reply.array(2 + nodes.len());
        reply.integer(first.into());
        reply.integer(last.into());
        for (id, member) in nodes {
            write_endpoint(cluster, me, id, member, reply);
        }
    }
    Ok(())
}

/// The preferred endpoint of a node, its port and id, and what the endpoint does not say.
fn write_endpoint(
    cluster: &ClusterState,
    me: MemberId,
    id: MemberId,
    member: &Member,
    reply: &mut ReplyBuffer,
) {
    let host = cluster.host(me, id, member.address);
    let kind = cluster.node(me).map_or(EndpointKind::Ip, |node| node.endpoints);
    let ip = (kind != EndpointKind::Ip).then(|| ("ip", member.address.ip().to_string()));
    let hostname = cluster.hostname(id).filter(|_| kind != EndpointKind::Hostname);
    let hostname = hostname.map(|name| ("hostname", name.to_owned()));
    let more: Vec<_> = ip.into_iter().chain(hostname).collect();
    reply.array(4);
    reply.bulk_or_null(host.as_deref().map(str::as_bytes));
    reply.integer(member.address.port().into());
    reply.bulk(member.id.as_bytes());
    reply.map(more.len());
    for (name, value) in more {
        write_field(name, &value, reply);
    }
}

/// `CLUSTER SHARDS`: each primary with its replicas. A failed primary that has lost its slots is a shard of its own.
pub(super) fn shards(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let me = here(context)?.1;
    let (Some(cluster), reply) = (&context.state.cluster, &mut context.session.reply) else { return Ok(()) };
    let seen = cluster.seen(me);
    let primaries: Vec<_> = seen.joined().filter(|(_, member)| member.primary.is_none()).collect();
    reply.array(primaries.len());
    for (id, primary) in primaries {
        reply.map(2);
        reply.bulk(b"slots");
        let slots = seen.slots_of(id);
        reply.array(2 * slots.ranges().len());
        for bound in slots.ranges().iter().flat_map(|&(first, last)| [first, last]) {
            reply.integer(bound.into());
        }
        reply.bulk(b"nodes");
        let nodes: Vec<_> = std::iter::once((id, primary)).chain(seen.replicas(id)).collect();
        reply.array(nodes.len());
        for (id, member) in nodes {
            write_node(cluster, me, id, member, reply);
        }
    }
    Ok(())
}

fn write_node(cluster: &ClusterState, me: MemberId, id: MemberId, member: &Member, reply: &mut ReplyBuffer) {
    let hostname = cluster.hostname(id);
    reply.map(7 + usize::from(hostname.is_some()));
    write_field("id", &member.id, reply);
    reply.bulk(b"port");
    reply.integer(member.address.port().into());
    write_field("ip", &member.address.ip().to_string(), reply);
    write_field("endpoint", &cluster.host(me, id, member.address).unwrap_or_default(), reply);
    if let Some(hostname) = hostname {
        write_field("hostname", hostname, reply);
    }
    write_field("role", if member.primary.is_some() { "replica" } else { "master" }, reply);
    reply.bulk(b"replication-offset");
    reply.integer(super::REPLICATION_OFFSET);
    write_field("health", if member.health == Health::Failed { "fail" } else { "online" }, reply);
}

fn write_field(name: &str, value: &str, reply: &mut ReplyBuffer) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// `CLUSTER NODES`: a line for each node.
pub(super) fn nodes(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let (cluster, me) = here(context)?;
    let seen = cluster.seen(me);
    let lines: String =
        seen.joined().map(|(id, _)| line(cluster, &seen, me, id, context.now_us) + "\n").collect();
    context.session.reply.verbatim(&lines);
    Ok(())
}

/// `CLUSTER REPLICAS id`: the lines of its replicas.
pub(super) fn replicas(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (cluster, me) = here(context)?;
    let seen = cluster.seen(me);
    let wanted = String::from_utf8_lossy(args.at(2));
    let found = seen.joined().find(|(_, member)| member.id == wanted);
    let (id, member) = found.ok_or_else(|| format!("ERR Unknown node {wanted}"))?;
    if member.primary.is_some() {
        return Err("ERR The specified node is not a master".into());
    }
    let lines: Vec<String> =
        seen.replicas(id).map(|(id, _)| line(cluster, &seen, me, id, context.now_us)).collect();
    context.session.reply.array(lines.len());
    lines.iter().for_each(|line| context.session.reply.bulk(line.as_bytes()));
    Ok(())
}

/// The line of a node in `CLUSTER NODES`.
fn line(cluster: &ClusterState, seen: &Arc<Topology>, me: MemberId, id: MemberId, now_us: u64) -> String {
    let Some(member) = seen.member(id) else { return String::new() };
    let (address, is_me) = (member.address, id == me);
    let mut line = format!("{} {}:{}@{}", member.id, address.ip(), address.port(), bus_port(address.port()));
    if let Some(name) = cluster.hostname(id) {
        line.push(',');
        line.push_str(name);
    }
    let primary = member.primary.and_then(|primary| seen.member(primary));
    let flags = [
        if is_me { "myself," } else { "" },
        if primary.is_some() { "slave" } else { "master" },
        if member.health == Health::Failed { ",fail" } else { "" },
    ];
    let (is_linked, now_ms) = (member.health == Health::Online, now_us / 1_000);
    // Writing to a String does not fail.
    let _ = write!(
        line,
        " {} {} {} {now_ms} {} {}",
        flags.concat(),
        primary.map_or("-", |primary| &primary.id),
        if is_linked { 0 } else { now_ms },
        primary.map_or(member.epoch, |primary| primary.epoch),
        if is_linked { "connected" } else { "disconnected" },
    );
    for &(first, last) in seen.slots_of(id).ranges() {
        let _ = if first == last { write!(line, " {first}") } else { write!(line, " {first}-{last}") };
    }
    for migration in cluster.open_migrations().filter(|_| is_me) {
        write_open_slots(seen, migration, me, &mut line);
    }
    line
}

/// The slots that move from or to this node: `[slot->-target]` and `[slot-<-source]`.
fn write_open_slots(seen: &Topology, migration: &Migration, me: MemberId, line: &mut String) {
    let (arrow, other) = match (migration.from == me, migration.to == me) {
        (true, _) => ("->-", migration.to),
        (_, true) => ("-<-", migration.from),
        _ => return,
    };
    let id = seen.member(other).map_or("", |member| &member.id);
    for slot in migration.slots.slots() {
        let _ = write!(line, " [{slot}{arrow}{id}]");
    }
}

/// `CLUSTER INFO`, without the counts of messages.
pub(super) fn info(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let (cluster, me) = here(context)?;
    let seen = cluster.seen(me);
    let all = SlotRanges::filtered(|slot| seen.owner(slot).is_some()).count();
    let has_failed = |id| seen.member(id).is_some_and(|member| member.health == Health::Failed);
    let failed = SlotRanges::filtered(|slot| seen.owner(slot).is_some_and(has_failed)).count();
    let size = seen.joined().filter(|(id, _)| seen.owns_any(*id)).count();
    let is_down = cluster.is_down(me, context.now_us) || all == 0;
    let epoch = seen.member(seen.primary_of(me)).map_or(0, |member| member.epoch);
    let text = format!(
        "cluster_state:{}\r\ncluster_slots_assigned:{all}\r\ncluster_slots_ok:{}\r\ncluster_slots_pfail:0\r\n\
         cluster_slots_fail:{failed}\r\ncluster_known_nodes:{}\r\ncluster_size:{size}\r\n\
         cluster_current_epoch:{}\r\ncluster_my_epoch:{epoch}\r\n",
        if is_down { "fail" } else { "ok" },
        all - failed,
        seen.joined().count(),
        seen.epoch,
    );
    context.session.reply.verbatim(&text);
    Ok(())
}

/// The port on which nodes talk to each other. No node listens there.
fn bus_port(port: u16) -> u16 {
    port.checked_add(BUS_PORT_OFFSET).unwrap_or_else(|| port - BUS_PORT_OFFSET)
}

const BUS_PORT_OFFSET: u16 = 10_000;
