//! Commands on keys of any type.

use super::command::{Command, CommandResult, DataContext, SYNTAX_ERROR};
use super::options::{Scan, write_scan};
use crate::rehearsal::data::glob;
use crate::rehearsal::data::keyspace::Value;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("del", -2, del),
    Command::data("unlink", -2, del),
    Command::data("exists", -2, exists),
    Command::data("touch", -2, exists),
    Command::data("type", 2, type_of),
    Command::data("keys", 2, keys),
    Command::data("scan", -2, scan),
    Command::data("rename", 3, rename),
    Command::data("renamenx", 3, renamenx),
    Command::data("randomkey", 1, randomkey),
    Command::data("dbsize", 1, dbsize),
    Command::data("flushdb", -1, flushdb),
];

/// Fails unless the arguments of `FLUSHDB` or `FLUSHALL` are `SYNC`, `ASYNC` or nothing.
pub(crate) fn check_flush_mode(args: Args<'_>) -> CommandResult {
    let mode = args.at(1);
    let is_mode = mode.eq_ignore_ascii_case(b"SYNC") || mode.eq_ignore_ascii_case(b"ASYNC");
    match args.len() {
        1 => Ok(()),
        2 if is_mode => Ok(()),
        _ => Err(SYNTAX_ERROR.into()),
    }
}

fn del(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let removed = args.from(1).iter().filter(|key| data.db.remove(key).is_some()).count();
    data.reply.count(removed);
    Ok(())
}

fn exists(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let found = args.from(1).iter().filter(|key| data.db.contains(key)).count();
    data.reply.count(found);
    Ok(())
}

fn type_of(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let value = data.db.value(args.at(1));
    data.reply.simple(value.map_or("none", |value| value.type_name()));
    Ok(())
}

fn keys(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let matching = || data.db.keys().map(|(key, _)| key).filter(|key| glob::matches(args.at(1), key));
    data.reply.array(matching().count());
    matching().for_each(|key| data.reply.bulk(key));
    Ok(())
}

fn scan(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let options = Scan::parse(args.from(1), true)?;
    let (entries, next) = data.db.scan(options.cursor, options.count);
    let wanted_type = options.type_name.map(<[u8]>::to_ascii_lowercase);
    let is_wanted =
        |value: &Value| wanted_type.as_ref().is_none_or(|name| *name == *value.type_name().as_bytes());
    let found: Vec<&[u8]> =
        entries.filter(|(key, value)| is_wanted(value) && options.matches(key)).map(|(key, _)| key).collect();
    write_scan(data.reply, next, &found);
    Ok(())
}

fn rename(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    move_key(data, args)?;
    data.reply.ok();
    Ok(())
}

fn renamenx(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let is_free = !data.db.contains(args.at(2));
    if is_free || !data.db.contains(args.at(1)) {
        move_key(data, args)?;
    }
    data.reply.flag(is_free);
    Ok(())
}

fn move_key(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (from, to) = (args.at(1), args.at(2));
    let (value, lifetime) = data.db.remove(from).ok_or("ERR no such key")?;
    data.db.put(to, value, lifetime);
    Ok(())
}

fn randomkey(data: &mut DataContext<'_>, _: Args<'_>) -> CommandResult {
    data.reply.bulk_or_null(data.db.pick(data.random));
    Ok(())
}

fn dbsize(data: &mut DataContext<'_>, _: Args<'_>) -> CommandResult {
    data.reply.count(data.db.len());
    Ok(())
}

fn flushdb(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    check_flush_mode(args)?;
    data.db.clear();
    data.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn keys_of_any_type() {
        TestClient::new().expect_all(&[
            ("MSET a 1 b 2 c 3", "+OK\r\n"),
            ("RPUSH l x", ":1\r\n"),
            ("EXISTS a a none", ":2\r\n"),
            ("TOUCH a none", ":1\r\n"),
            ("TYPE a", "+string\r\n"),
            ("TYPE l", "+list\r\n"),
            ("TYPE none", "+none\r\n"),
            ("KEYS [ab]", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("DEL a none", ":1\r\n"),
            ("UNLINK b", ":1\r\n"),
            ("RENAME c d", "+OK\r\n"),
            ("RENAME c d", "-ERR no such key\r\n"),
            ("RENAMENX d l", ":0\r\n"),
            ("RENAMENX d e", ":1\r\n"),
            ("RENAMENX d e", "-ERR no such key\r\n"),
            ("RENAME e e", "+OK\r\n"),
            ("DBSIZE", ":2\r\n"),
            ("SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nl\r\n"),
            ("SCAN x", "-ERR invalid cursor\r\n"),
            ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
            ("FLUSHDB foo", "-ERR syntax error\r\n"),
            ("FLUSHDB ASYNC", "+OK\r\n"),
            ("RANDOMKEY", "$-1\r\n"),
        ]);
    }

    #[test]
    fn a_scan_returns_every_key_while_they_are_deleted() {
        let mut client = TestClient::new();
        for number in 0..300 {
            client.expect(&format!("SET key:{number} v"), "+OK\r\n");
        }
        let mut cursor = "0".to_owned();
        loop {
            let reply = client.ask(&format!("SCAN {cursor} COUNT 7"));
            for key in reply.split("\r\n").filter(|line| line.starts_with("key:")) {
                client.expect(&format!("DEL {key}"), ":1\r\n");
            }
            cursor = reply.split("\r\n").nth(2).unwrap().to_owned();
            if cursor == "0" {
                break;
            }
        }
        client.expect("DBSIZE", ":0\r\n");
    }

    #[test]
    fn a_renamed_key_keeps_its_lifetime() {
        let mut client = TestClient::new();
        client.expect_all(&[("SETEX a 5 v", "+OK\r\n"), ("RENAME a b", "+OK\r\n")]);
        client.expect("TTL b", ":5\r\n");
        client.advance_ms(5_001);
        client.expect("EXISTS b", ":0\r\n");
    }
}
