//! Commands that wait: the blocking commands on lists, and the waits for replicas, of which this server has none.
//!
//! A blocking command first tries its keys in their order, as the command without the `B` does. If no key holds a list,
//! the session is blocked. [`super::unblocking`] tells how it continues.

use super::command::{Command, CommandContext, CommandResult, DataContext, SYNTAX_ERROR};
use super::lists::{end_named, move_element};
use super::options::{integer, timeout_ms, timeout_s};
use crate::rehearsal::cluster::topology::{Health, Member};
use crate::rehearsal::data::keyspace::List;
use crate::rehearsal::data::list_end::ListEnd;
use crate::rehearsal::session::blocked::{BlockedRequest, Wanted};
use crate::rehearsal::wire::number::parse_i64;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::blocking("blpop", -3, |context, args| pop(context, args, ListEnd::Left)),
    Command::blocking("brpop", -3, |context, args| pop(context, args, ListEnd::Right)),
    Command::blocking("blmpop", -5, blmpop),
    Command::blocking("brpoplpush", 4, |context, args| {
        let wanted = Wanted::Move { from: ListEnd::Right, to: ListEnd::Left, target: args.at(2).into() };
        let until_us = timeout_s(args.at(3), context.now_us)?;
        take_or_block(context, &[args.at(1)], wanted, until_us)
    }),
    Command::blocking("blmove", 6, |context, args| {
        let (from, to) = (end_named(args.at(3))?, end_named(args.at(4))?);
        let until_us = timeout_s(args.at(5), context.now_us)?;
        take_or_block(context, &[args.at(1)], Wanted::Move { from, to, target: args.at(2).into() }, until_us)
    }),
    Command::session("wait", 3, wait),
    Command::session("waitaof", 4, waitaof),
];

/// Takes what is `wanted` from the list at `key`, and replies with it. Returns false, without a reply, if there is no
/// list.
pub(super) fn take(data: &mut DataContext<'_>, key: &[u8], wanted: &Wanted) -> Result<bool, ErrorReply> {
    let (end, count) = match wanted {
        Wanted::Move { from, to, target } => return move_element(data, [key, target], *from, *to),
        Wanted::Element(end) => (*end, None),
        Wanted::Elements { end, count } => (*end, Some(*count)),
    };
    let Some(list) = data.db.get_mut::<List>(key)? else {
        return Ok(false);
    };
    data.reply.array(2);
    data.reply.bulk(key);
    let taken = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        data.reply.array(taken);
    }
    for _ in 0..taken {
        data.reply.bulk_or_null(end.pop(list).as_deref());
    }
    data.db.changed(key);
    Ok(true)
}

/// `BLPOP key... timeout` and `BRPOP`.
fn pop(context: &mut CommandContext<'_>, args: Args<'_>, end: ListEnd) -> CommandResult {
    let last = args.len().saturating_sub(1);
    let until_us = timeout_s(args.at(last), context.now_us)?;
    let keys: Vec<&[u8]> = args.iter().take(last).skip(1).collect();
    take_or_block(context, &keys, Wanted::Element(end), until_us)
}

/// `BLMPOP timeout numkeys key... LEFT|RIGHT [COUNT n]`.
fn blmpop(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let until_us = timeout_s(args.at(1), context.now_us)?;
    let positive = |text| parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    let keys = positive(args.at(2)).ok_or("ERR numkeys should be greater than 0")?;
    let options = args.from(keys.saturating_add(3));
    let end = end_named(options.at(0))?;
    let count = match (options.len(), options.at(1)) {
        (1, _) => 1,
        (3, name) if name.eq_ignore_ascii_case(b"COUNT") => {
            positive(options.at(2)).ok_or("ERR count should be greater than 0")?
        }
        _ => return Err(SYNTAX_ERROR.into()),
    };
    let keys: Vec<&[u8]> = args.from(3).iter().take(keys).collect();
    take_or_block(context, &keys, Wanted::Elements { end, count }, until_us)
}

/// Takes what is `wanted` from the first of `keys` that holds a list. If there is none, blocks the session until
/// `until_us`.
fn take_or_block(
    context: &mut CommandContext<'_>,
    keys: &[&[u8]],
    wanted: Wanted,
    until_us: Option<u64>,
) -> CommandResult {
    for key in keys {
        if take(&mut context.data(), key, &wanted)? {
            return Ok(());
        }
    }
    if !context.session.denies_blocking {
        return block(context, keys, wanted, until_us);
    }
    match wanted {
        Wanted::Move { .. } => context.session.reply.null(),
        Wanted::Element(_) | Wanted::Elements { .. } => context.session.reply.null_array(),
    }
    Ok(())
}

/// Blocks the session. It gets its reply later, and handles no request before.
fn block(
    context: &mut CommandContext<'_>,
    keys: &[&[u8]],
    wanted: Wanted,
    until_us: Option<u64>,
) -> CommandResult {
    if keys.len() > BLOCKED_KEYS_MAX || keys.iter().map(|key| key.len()).sum::<usize>() > BLOCKED_BYTES_MAX {
        return Err("ERR too many keys to wait for".into());
    }
    let session = &mut *context.session;
    let turn = context.state.blocked.block(session.id, until_us);
    let waiting = &mut context.state.keyspace.database(session.database).waiting;
    keys.iter().for_each(|key| waiting.add(key, turn, session.id));
    let keys = keys.iter().map(|key| Box::from(*key)).collect();
    let request = BlockedRequest { turn, database: session.database, keys, wanted, until_us };
    session.blocked = Some(Box::new(request));
    Ok(())
}

/// `WAIT numreplicas timeout`. Replicas share the keys of their primary, and none can arrive, so the answer does not wait
/// for the timeout.
fn wait(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    integer(args.at(1))?;
    timeout_ms(args.at(2), context.now_us)?;
    let mut replicas = 0;
    if let Some(cluster) = &context.state.cluster {
        let me = cluster.at(context.session.node);
        if cluster.is_replica(me) {
            return Err(WAIT_AT_REPLICA.into());
        }
        let is_online = |member: &Member| member.health == Health::Online;
        replicas = cluster.topology.replicas(me).filter(|(_, member)| is_online(member)).count();
    }
    context.session.reply.count(replicas);
    Ok(())
}

/// `WAITAOF numlocal numreplicas timeout`. This server has no append-only file either.
fn waitaof(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let local = integer(args.at(1))?;
    if !(0..=1).contains(&local) {
        return Err("ERR value is out of range, value must between 0 and 1".into());
    }
    if integer(args.at(2))? < 0 {
        return Err("ERR value is out of range, must be positive".into());
    }
    timeout_ms(args.at(3), context.now_us)?;
    if local > 0 {
        return Err("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.".into());
    }
    context.session.reply.array(2);
    context.session.reply.count(0);
    context.session.reply.count(0);
    Ok(())
}

/// Most keys for which a session waits.
const BLOCKED_KEYS_MAX: usize = 1 << 16;
/// Most bytes of these keys (64 MiB).
const BLOCKED_BYTES_MAX: usize = 64 << 20;

const WAIT_AT_REPLICA: &str = "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a \
    replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn a_list_is_answered_at_once() {
        let mut client = TestClient::new();
        client.expect_all(&[
            ("RPUSH l a b c d e f", ":6\r\n"),
            ("BLPOP none l 0", "*2\r\n$1\r\nl\r\n$1\r\na\r\n"),
            ("BRPOP l none 0", "*2\r\n$1\r\nl\r\n$1\r\nf\r\n"),
            ("BLMOVE l m LEFT RIGHT 0", "$1\r\nb\r\n"),
            ("BRPOPLPUSH l m 0.5", "$1\r\ne\r\n"),
            ("LRANGE m 0 -1", "*2\r\n$1\r\ne\r\n$1\r\nb\r\n"),
            ("BLMPOP 0 2 none l RIGHT", "*2\r\n$1\r\nl\r\n*1\r\n$1\r\nd\r\n"),
            ("BLMPOP 0 1 m LEFT count 9", "*2\r\n$1\r\nm\r\n*2\r\n$1\r\ne\r\n$1\r\nb\r\n"),
            ("EXISTS m", ":0\r\n"),
            ("SET s v", "+OK\r\n"),
            ("BLPOP none s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
            (
                "BLMOVE l s LEFT LEFT 0",
                "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            ),
            ("LRANGE l 0 -1", "*1\r\n$1\r\nc\r\n"),
        ]);
        assert_eq!(client.server.next_deadline_us(), None);
    }

    #[test]
    fn wrong_arguments_do_not_block() {
        TestClient::new().expect_all(&[
            ("BLPOP k x", "-ERR timeout is not a float or out of range\r\n"),
            ("BRPOP k nan", "-ERR timeout is not a float or out of range\r\n"),
            ("BLPOP k -1", "-ERR timeout is negative\r\n"),
            ("BLPOP k inf", "-ERR timeout is out of range\r\n"),
            ("BLPOP k 9223372036854775", "-ERR timeout is out of range\r\n"),
            ("BLMOVE k j LEFT up x", "-ERR syntax error\r\n"),
            ("BLMPOP 0 x k LEFT", "-ERR numkeys should be greater than 0\r\n"),
            ("BLMPOP 0 9223372036854775807 k LEFT", "-ERR syntax error\r\n"),
            ("BLMPOP 0 1 k LEFT COUNT 0", "-ERR count should be greater than 0\r\n"),
            ("BLMPOP 0 1 k LEFT COUNT 1 COUNT 1", "-ERR syntax error\r\n"),
            (&format!("BLPOP{} 0", " k".repeat(BLOCKED_KEYS_MAX + 1)), "-ERR too many keys to wait for\r\n"),
            ("PING", "+PONG\r\n"),
        ]);
    }

    #[test]
    fn a_transaction_does_not_block() {
        let mut client = TestClient::new();
        client.ask("MULTI");
        for line in ["BLPOP k 0", "BLMOVE k j LEFT LEFT 0", "BRPOPLPUSH k j 0", "BLMPOP 0 1 k LEFT"] {
            client.expect(line, "+QUEUED\r\n");
        }
        client.expect("EXEC", "*4\r\n*-1\r\n$-1\r\n$-1\r\n*-1\r\n");
        client.expect("PING", "+PONG\r\n");
    }

    #[test]
    fn waits_for_replicas_are_over_at_once() {
        TestClient::new().expect_all(&[
            ("WAIT 1 0", ":0\r\n"),
            ("WAIT x 0", "-ERR value is not an integer or out of range\r\n"),
            ("WAIT 0 0.5", "-ERR timeout is not an integer or out of range\r\n"),
            ("WAIT 0 -1", "-ERR timeout is negative\r\n"),
            ("WAITAOF 0 1 0", "*2\r\n:0\r\n:0\r\n"),
            (
                "WAITAOF 1 0 0",
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
            ),
        ]);
    }
}
