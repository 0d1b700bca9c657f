//! `CLUSTER SETSLOT` and `MIGRATE`, with which `redis-cli --cluster reshard` moves slots key by key.
//!
//! All nodes share one state here. So a slot is open at both ends with the first of `IMPORTING` and `MIGRATING`, and has its
//! new owner everywhere with the first `NODE`.

use super::{here, slot};
use crate::rehearsal::cluster::slots::SlotRanges;
use crate::rehearsal::cluster::topology::MemberId;
use crate::rehearsal::commands::command::{CommandContext, CommandResult, SYNTAX_ERROR, lossy};
use crate::rehearsal::context::migration::{MigrationKind, MigrationPlan};
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

/// `CLUSTER SETSLOT slot IMPORTING|MIGRATING|NODE id`, or `STABLE`.
pub(super) fn set_slot(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let slot = slot(args.at(2))?;
    let (cluster, me) = here(context)?;
    if cluster.is_replica(me) {
        return Err("ERR You can use SETSLOT only with masters.".into());
    }
    let is_mine = slot.slots().all(|slot| cluster.topology.owner(slot) == Some(me));
    let open = cluster.migrations.iter().find(|migration| migration.slots == slot);
    let open = open.map(|migration| (migration.id, migration.to));
    match (args.at(3).to_ascii_lowercase().as_slice(), args.len()) {
        (b"stable", 4) => {
            if let Some(cluster) = &mut context.state.cluster {
                cluster.migrations.retain(|migration| migration.slots != slot);
            }
        }
        (b"migrating", 5) if !is_mine => {
            return Err(format!("ERR I'm not the owner of hash slot {slot}").into());
        }
        (b"importing", 5) if is_mine => {
            return Err(format!("ERR I'm already the owner of hash slot {slot}").into());
        }
        (b"migrating", 5) => {
            let to = primary(context, args.at(4), "I don't know about")?;
            begin(context, slot, me, to)?;
        }
        (b"importing", 5) => {
            let from = primary(context, args.at(4), "I don't know about")?;
            begin(context, slot, from, me)?;
        }
        (b"node", 5) => {
            let owner = primary(context, args.at(4), "Unknown")?;
            if is_mine && owner != me && !context.server().keys_in(me, &slot).is_empty() {
                let why = "to a different node while I still hold keys for this hash slot.";
                return Err(format!("ERR Can't assign hashslot {slot} {why}").into());
            }
            match open {
                Some((id, to)) if to == owner => context.server().finish_migration(id),
                _ if is_mine || owner == me => context.server().assign(&slot, Some(owner)),
                _ => {}
            }
        }
        _ => {
            return Err("ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP".into());
        }
    }
    context.session.reply.ok();
    Ok(())
}

/// The primary with this id.
fn primary(context: &CommandContext<'_>, id: &[u8], unknown: &str) -> Result<MemberId, ErrorReply> {
    let (cluster, _) = here(context)?;
    let mut joined = cluster.topology.joined();
    let found = joined.find(|(_, member)| member.id.as_bytes() == id);
    let (member, found) = found.ok_or_else(|| format!("ERR {unknown} node {}", lossy(id, 128)))?;
    if found.primary.is_some() {
        return Err("ERR Target node is not a master".into());
    }
    Ok(member)
}

/// Opens a slot, unless it is open already.
fn begin(context: &mut CommandContext<'_>, slots: SlotRanges, from: MemberId, to: MemberId) -> CommandResult {
    let (cluster, _) = here(context)?;
    let mut moving = cluster.migrations.iter();
    match moving.find(|migration| slots.slots().any(|slot| migration.slots.contains(slot))) {
        Some(open) if open.slots == slots && (open.from, open.to) == (from, to) => return Ok(()),
        Some(_) => return Err("ERR this hash slot is moving already".into()),
        None => {}
    }
    let kind = MigrationKind::Classic { over_us: None };
    context.server().migrate(MigrationPlan { slots, from, to, is_announced: false, kind });
    Ok(())
}

/// `MIGRATE host port key|"" 0 timeout [REPLACE] [AUTH password] [AUTH2 user password] [KEYS key ...]`.
pub(super) fn migrate(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (mut keys, mut replaces) = (vec![args.at(3)], false);
    let mut index = 6;
    while let Some(option) = args.get(index) {
        index += match option.to_ascii_lowercase().as_slice() {
            b"replace" => {
                replaces = true;
                1
            }
            b"auth" => 2,
            b"auth2" => 3,
            b"keys" if args.at(3).is_empty() => {
                keys = args.from(index + 1).iter().collect();
                break;
            }
            _ => return Err(SYNTAX_ERROR.into()),
        };
    }
    let wanted = format!("{}:{}", lossy(args.at(1), 64), lossy(args.at(2), 8));
    let (cluster, me) = here(context)?;
    let is_wanted = |id: &MemberId| {
        cluster.topology.member(*id).is_some_and(|member| member.address.to_string() == wanted)
    };
    let target = cluster.topology.ids().find(is_wanted);
    let target = target.ok_or("IOERR error or timeout connecting to the client")?;
    let there = cluster.database(target);
    let there = context.state.keyspace.databases().get(there);
    if !replaces && keys.iter().any(|key| there.is_some_and(|there| there.contains(key))) {
        let why = "BUSYKEY Target key name already exists.";
        return Err(format!("ERR Target instance replied with error: {why}").into());
    }
    let keys: Vec<Box<[u8]>> = keys.into_iter().map(Box::from).collect();
    let moved = context.server().move_keys(me, target, &keys);
    context.session.reply.simple(if moved == 0 { "NOKEY" } else { "OK" });
    Ok(())
}
