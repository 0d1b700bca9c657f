//! Transactions: `MULTI`, `DISCARD`, and the watches that make `EXEC` conditional. The dispatcher executes `EXEC`.

use std::collections::btree_map::Entry;

use super::command::{Call, Command, CommandContext, CommandResult};
use crate::rehearsal::session::transaction::Transaction;
use crate::rehearsal::session::{Session, WATCHES_MAX};
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("multi", 1, multi),
    Command { name: "exec", arity: 1, call: Call::Exec },
    Command::session("discard", 1, discard),
    Command::session("watch", -2, watch),
    Command::session("unwatch", 1, unwatch),
];

fn multi(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    if context.session.transaction.is_some() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    context.session.transaction = Some(Transaction::default());
    context.session.reply.ok();
    Ok(())
}

fn discard(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    context.session.transaction.take().ok_or("ERR DISCARD without MULTI")?;
    end_watches(context);
    context.session.reply.ok();
    Ok(())
}

fn watch(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    if context.session.transaction.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    let Session { watches, database, .. } = &mut *context.session;
    if watches.len() + args.len() > WATCHES_MAX {
        return Err("ERR too many watched keys".into());
    }
    for key in args.from(1).iter() {
        if let Entry::Vacant(vacant) = watches.entry((*database, key.into())) {
            vacant.insert(context.state.keyspace.database(*database).watch(key));
        }
    }
    context.session.reply.ok();
    Ok(())
}

fn unwatch(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    end_watches(context);
    context.session.reply.ok();
    Ok(())
}

/// Ends all watches of the session. Returns whether none of the watched keys has changed.
pub(crate) fn end_watches(context: &mut CommandContext<'_>) -> bool {
    let mut is_unchanged = true;
    for ((database, key), version) in std::mem::take(&mut context.session.watches) {
        is_unchanged &= context.state.keyspace.database(database).unwatch(&key) == Some(version);
    }
    is_unchanged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::commands::registry::all;
    use crate::rehearsal::commands::testing::TestClient;
    use crate::rehearsal::session::transaction::TRANSACTION_COMMANDS_MAX;

    #[test]
    fn a_transaction_is_queued_and_executed() {
        TestClient::new().expect_all(&[
            ("MULTI", "+OK\r\n"),
            ("SET k v", "+QUEUED\r\n"),
            ("INCR k", "+QUEUED\r\n"),
            ("GET k", "+QUEUED\r\n"),
            ("EXEC", "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nv\r\n"),
            ("EXEC", "-ERR EXEC without MULTI\r\n"),
            ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SET k w", "+QUEUED\r\n"),
            ("DISCARD", "+OK\r\n"),
            ("GET k", "$1\r\nv\r\n"),
            ("MULTI", "+OK\r\n"),
            ("EXEC", "*0\r\n"),
        ]);
    }

    #[test]
    fn an_error_while_queueing_aborts_the_transaction() {
        for wrong in ["GET", "NOSUCH"] {
            let mut client = TestClient::new();
            client.expect("MULTI", "+OK\r\n");
            client.expect("SET k v", "+QUEUED\r\n");
            assert!(client.ask(wrong).starts_with("-ERR "));
            client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
            client.expect("GET k", "$-1\r\n");
        }
    }

    #[test]
    fn a_changed_or_expired_watched_key_aborts() {
        let mut client = TestClient::new();
        let first = client.id;
        let second = client.open();
        client.expect_all(&[("WATCH k", "+OK\r\n"), ("MULTI", "+OK\r\n")]);
        client.expect("SET k mine", "+QUEUED\r\n");
        client.id = second;
        client.expect("SET k theirs PX 10", "+OK\r\n");
        client.id = first;
        client.expect_all(&[("EXEC", "*-1\r\n"), ("GET k", "$6\r\ntheirs\r\n")]);
        client.expect_all(&[("WATCH k", "+OK\r\n"), ("HELLO 3", ""), ("MULTI", "+OK\r\n")]);
        client.advance_ms(11);
        client.expect_all(&[("EXEC", "_\r\n"), ("WATCH k", "+OK\r\n"), ("UNWATCH", "+OK\r\n")]);
        client.expect_all(&[("SET k 1", "+OK\r\n"), ("MULTI", "+OK\r\n"), ("EXEC", "*0\r\n")]);
    }

    const READS: &str = "get mget strlen getrange exists touch type keys scan randomkey dbsize ttl pttl \
        expiretime pexpiretime hget hmget hgetall hexists hlen hstrlen hkeys hvals hscan llen lrange lindex \
        sismember smismember smembers scard srandmember sinter sunion sdiff sscan";

    /// Each command that writes changes key `k`, whose type `prepare` sets.
    #[test]
    fn every_write_invalidates_a_watch() {
        let changes = [
            ("SET k 1", "set k 2;setex k 9 v;psetex k 9 v;getset k 2;getdel k;getex k ex 9;mset k 2"),
            ("SET k 1", "append k x;setrange k 0 x;incr k;decr k;incrby k 2;decrby k 2"),
            ("SET k 1", "incrbyfloat k 2;del k;unlink k;rename k j;renamenx k j;flushdb;flushall"),
            ("SET k 1", "expire k 9;pexpire k 9;expireat k 9999;pexpireat k 9999999;expire k 0"),
            ("SETEX k 9 v", "persist k"),
            ("DEL k", "setnx k 1;msetnx k 1;hset k a b;hmset k a b;hsetnx k a b;lpush k a"),
            ("DEL k", "rpush k a;sadd k a;hincrby k a 1;hincrbyfloat k a 1"),
            ("HSET k a 1", "hdel k a;hset k a 2;hincrby k a 1;hincrbyfloat k a 1"),
            ("RPUSH k a b", "lpushx k a;rpushx k a;lpop k;rpop k;lset k 0 x;ltrim k 0 0;lrem k 0 a"),
            ("RPUSH k a b", "linsert k before a x;rpoplpush k j;lmove k k left right"),
            ("RPUSH k a b", "blpop k 0;brpop k 0;blmpop 0 1 k left;brpoplpush k j 0;blmove k k left left 0"),
            ("SADD k a b", "srem k a;spop k;smove k j a;sinterstore k k;sunionstore k k"),
            ("SADD k a b", "sdiffstore k k"),
        ];
        let mut covered = std::collections::BTreeSet::new();
        for (prepare, lines) in changes {
            for line in lines.split(';') {
                let mut client = TestClient::new();
                client.ask(prepare);
                client.expect("WATCH k", "+OK\r\n");
                let reply = client.ask(line);
                assert!(!reply.starts_with('-'), "{line}: {reply}");
                client.expect("MULTI", "+OK\r\n");
                assert_eq!(client.ask("EXEC"), "*-1\r\n", "{line}");
                covered.insert(line.split(' ').next().unwrap().to_owned());
            }
        }
        let missing: Vec<_> = all()
            .filter(|command| matches!(command.call, Call::Data(_) | Call::Blocking(_)))
            .map(|command| command.name)
            .filter(|name| !covered.contains(*name) && !READS.split(' ').any(|read| read == *name))
            .collect();
        assert!(missing.is_empty(), "neither listed as reads nor tested as writes: {missing:?}");
    }

    #[test]
    fn watches_are_bounded() {
        let mut client = TestClient::new();
        client.expect(&format!("WATCH{}", " k".repeat(WATCHES_MAX)), "-ERR too many watched keys\r\n");
        client.expect("WATCH k k", "+OK\r\n");
    }

    #[test]
    fn a_transaction_is_bounded() {
        let mut client = TestClient::new();
        client.ask("MULTI");
        for _ in 0..TRANSACTION_COMMANDS_MAX {
            client.send(&["PING"]);
        }
        client.take();
        client.expect("PING", "-ERR transaction is too large\r\n");
        assert!(client.ask("EXEC").starts_with("-EXECABORT"));
    }
}
