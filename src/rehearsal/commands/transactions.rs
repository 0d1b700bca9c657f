//! Transactions: `MULTI`, `EXEC`, `DISCARD`, and the watches that make `EXEC` conditional.

use std::collections::btree_map::Entry;

use super::{Command, Context, Outcome, call};
use crate::rehearsal::session::{Session, Transaction, WATCHES_MAX};
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("multi", 1, multi),
    Command::session("exec", 1, exec),
    Command::session("discard", 1, discard),
    Command::session("watch", -2, watch),
    Command::session("unwatch", 1, unwatch),
];

fn multi(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    if context.session.transaction.is_some() {
        return Err("ERR MULTI calls can not be nested".into());
    }
    context.session.transaction = Some(Transaction::default());
    context.session.reply.ok();
    Ok(())
}

fn exec(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let transaction = context.session.transaction.take().ok_or("ERR EXEC without MULTI")?;
    let is_unchanged = end_watches(context);
    if transaction.is_aborted {
        return Err("EXECABORT Transaction discarded because of previous errors.".into());
    }
    if !is_unchanged {
        context.session.reply.null_array();
        return Ok(());
    }
    context.session.reply.array(transaction.queue.len());
    for queued in &transaction.queue {
        call(context, queued.command, queued.args());
    }
    context.session.last_command = "exec";
    Ok(())
}

fn discard(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.session.transaction.take().ok_or("ERR DISCARD without MULTI")?;
    end_watches(context);
    context.session.reply.ok();
    Ok(())
}

fn watch(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if context.session.transaction.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed".into());
    }
    let Session { watches, database, .. } = &mut *context.session;
    if watches.len() + args.len() > WATCHES_MAX {
        return Err("ERR too many watched keys".into());
    }
    for key in args.from(1).iter() {
        if let Entry::Vacant(place) = watches.entry((*database, key.into())) {
            place.insert(context.world.keyspace.database(*database).watch(key));
        }
    }
    context.session.reply.ok();
    Ok(())
}

fn unwatch(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    end_watches(context);
    context.session.reply.ok();
    Ok(())
}

/// Ends all watches, and returns whether none of the keys has changed.
fn end_watches(context: &mut Context<'_>) -> bool {
    let mut is_unchanged = true;
    for ((database, key), version) in std::mem::take(&mut context.session.watches) {
        is_unchanged &= context.world.keyspace.database(database).unwatch(&key) == Some(version);
    }
    is_unchanged
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::Client;
    use crate::rehearsal::commands::{Call, all};
    use crate::rehearsal::{TRANSACTION_COMMANDS_MAX, WATCHES_MAX};

    #[test]
    fn a_transaction_is_queued_and_executed() {
        Client::new().expect_all(&[
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
    fn an_error_while_queueing_aborts() {
        for wrong in ["GET", "NOSUCH"] {
            let mut client = Client::new();
            client.expect("MULTI", "+OK\r\n");
            client.expect("SET k v", "+QUEUED\r\n");
            assert!(client.ask(wrong).starts_with("-ERR "));
            client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
            client.expect("GET k", "$-1\r\n");
        }
    }

    #[test]
    fn a_watched_key_that_changed_aborts_also_when_it_expired() {
        let mut client = Client::new();
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

    /// Changes the key `k`, of the type that `prepare` makes, with each command that writes.
    #[test]
    fn every_write_is_seen_by_a_watch() {
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
            ("SADD k a b", "srem k a;spop k;smove k j a;sinterstore k k;sunionstore k k"),
            ("SADD k a b", "sdiffstore k k"),
        ];
        let mut covered = std::collections::BTreeSet::new();
        for (prepare, lines) in changes {
            for line in lines.split(';') {
                let mut client = Client::new();
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
            .filter(|command| matches!(command.call, Call::Data(_)))
            .map(|command| command.name)
            .filter(|name| !covered.contains(*name) && !READS.split(' ').any(|read| read == *name))
            .collect();
        assert!(missing.is_empty(), "neither known to read nor shown to be seen: {missing:?}");
    }

    #[test]
    fn watches_are_bounded() {
        let mut client = Client::new();
        client.expect(&format!("WATCH{}", " k".repeat(WATCHES_MAX)), "-ERR too many watched keys\r\n");
        client.expect("WATCH k k", "+OK\r\n");
    }

    #[test]
    fn a_transaction_is_bounded() {
        let mut client = Client::new();
        client.ask("MULTI");
        for _ in 0..TRANSACTION_COMMANDS_MAX {
            client.send(&["PING"]);
        }
        client.take();
        client.expect("PING", "-ERR transaction is too large\r\n");
        assert!(client.ask("EXEC").starts_with("-EXECABORT"));
    }
}
