//! The commands of a cluster's node: `CLUSTER`, `ASKING`, `READONLY`, `READWRITE`, `MIGRATE`, and `ROLE`.

pub(crate) mod route;

mod describe;
mod reshard;

use super::command::{Command, CommandContext, CommandResult, fits, unknown_subcommand, wrong_arity};
use super::options::integer;
use crate::rehearsal::cluster::slots::{SLOTS, SlotRanges, slot_of};
use crate::rehearsal::cluster::state::ClusterState;
use crate::rehearsal::cluster::topology::MemberId;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("cluster", -2, cluster),
    Command::session("asking", 1, |context, _| {
        here(context)?;
        context.session.cluster.is_asking = true;
        context.session.reply.ok();
        Ok(())
    }),
    Command::session("readonly", 1, |context, _| reads_replica(context, true)),
    Command::session("readwrite", 1, |context, _| reads_replica(context, false)),
    Command::session("role", 1, role),
    Command::session("migrate", -6, reshard::migrate),
];

/// The cluster, and the node that this session is connected to.
fn here<'a>(context: &'a CommandContext<'_>) -> Result<(&'a ClusterState, MemberId), ErrorReply> {
    let cluster = context.state.cluster.as_deref().ok_or(DISABLED)?;
    Ok((cluster, cluster.at(context.session.node)))
}

fn cluster(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    here(context)?;
    let wanted = args.at(1);
    let found = SUBCOMMANDS.iter().find(|(name, ..)| wanted.eq_ignore_ascii_case(name.as_bytes()));
    let &(name, arity, call) = found.ok_or_else(|| unknown_subcommand("CLUSTER", args))?;
    if !fits(arity, args.len()) {
        return Err(wrong_arity(&format!("cluster|{name}")));
    }
    call(context, args)
}

fn reads_replica(context: &mut CommandContext<'_>, is_on: bool) -> CommandResult {
    here(context)?;
    context.session.cluster.reads_replica = is_on;
    context.session.reply.ok();
    Ok(())
}

/// `ROLE`. A server without a cluster is a primary without replicas.
fn role(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let Ok((cluster, me)) = here(context) else {
        context.session.reply.raw(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        return Ok(());
    };
    let topology = std::sync::Arc::clone(&cluster.topology);
    let reply = &mut context.session.reply;
    let primary = topology.member(me).and_then(|member| topology.member(member.primary?));
    if let Some(primary) = primary {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(primary.address.ip().to_string().as_bytes());
        reply.integer(primary.address.port().into());
        reply.bulk(b"connected");
        reply.integer(REPLICATION_OFFSET);
        return Ok(());
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(REPLICATION_OFFSET);
    let replicas: Vec<_> = topology.replicas(me).map(|(_, replica)| replica.address).collect();
    reply.array(replicas.len());
    for address in replicas {
        reply.array(3);
        reply.bulk(address.ip().to_string().as_bytes());
        reply.bulk(address.port().to_string().as_bytes());
        reply.bulk(REPLICATION_OFFSET.to_string().as_bytes());
    }
    Ok(())
}

fn my_id(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let (cluster, me) = here(context)?;
    let id = cluster.topology.member(me).map(|member| member.id.clone()).unwrap_or_default();
    context.session.reply.bulk(id.as_bytes());
    Ok(())
}

fn my_shard_id(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let (cluster, me) = here(context)?;
    let id = format!("{:040x}", cluster.database(me) + 1);
    context.session.reply.bulk(id.as_bytes());
    Ok(())
}

fn key_slot(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    context.session.reply.integer(slot_of(args.at(2)).into());
    Ok(())
}

fn slot(text: &[u8]) -> Result<SlotRanges, ErrorReply> {
    let slot = u16::try_from(integer(text)?).ok().filter(|&slot| slot < SLOTS).ok_or("ERR Invalid slot")?;
    Ok(SlotRanges::single(slot))
}

fn count_keys_in_slot(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let slot = slot(args.at(2))?;
    let (_, me) = here(context)?;
    let keys = context.server().keys_in(me, &slot);
    context.session.reply.count(keys.len());
    Ok(())
}

fn keys_in_slot(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (slot, count) = (slot(args.at(2))?, usize::try_from(integer(args.at(3))?));
    let count = count.map_err(|_| "ERR Invalid number of keys")?;
    let (_, me) = here(context)?;
    let mut keys = context.server().keys_in(me, &slot);
    keys.truncate(count);
    context.session.reply.array(keys.len());
    keys.iter().for_each(|key| context.session.reply.bulk(key));
    Ok(())
}

/// `CLUSTER FAILOVER [FORCE|TAKEOVER]`: the replica is promoted at once.
fn failover(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let option = args.at(2).to_ascii_lowercase();
    if args.len() > 3 || !matches!(option.as_slice(), b"" | b"force" | b"takeover") {
        return Err("ERR syntax error".into());
    }
    let (cluster, me) = here(context)?;
    if !cluster.is_replica(me) {
        return Err("ERR You should send CLUSTER FAILOVER to a replica".into());
    }
    context.session.reply.ok();
    context.server().fail_over(me, 0, 0);
    Ok(())
}

/// A subcommand: its name, its arity with the command's name, and its function.
type Subcommand = (&'static str, i32, fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult);

const SUBCOMMANDS: [Subcommand; 14] = [
    ("slots", 2, describe::slots),
    ("shards", 2, describe::shards),
    ("nodes", 2, describe::nodes),
    ("replicas", 3, describe::replicas),
    ("slaves", 3, describe::replicas),
    ("info", 2, describe::info),
    ("myid", 2, my_id),
    ("myshardid", 2, my_shard_id),
    ("keyslot", 3, key_slot),
    ("countkeysinslot", 3, count_keys_in_slot),
    ("getkeysinslot", 4, keys_in_slot),
    ("failover", -2, failover),
    ("setslot", -4, reshard::set_slot),
    ("help", 2, |context, _| {
        let reply = &mut context.session.reply;
        reply.array(1 + SUBCOMMANDS.len());
        reply.simple("CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        SUBCOMMANDS.iter().for_each(|(name, ..)| reply.simple(&name.to_ascii_uppercase()));
        Ok(())
    }),
];

const DISABLED: &str = "ERR This instance has cluster support disabled";
/// The offset up to which all replicas have replicated. Replicas share the keys of their primary, so it is always the same.
const REPLICATION_OFFSET: i64 = 1;
