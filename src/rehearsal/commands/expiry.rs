//! Expiry of keys.

use super::command::{Command, CommandResult, DataContext};
use super::options::{TimeUnit, integer};
use crate::rehearsal::data::keyspace::Lifetime;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("expire", -3, |data, args| expire(data, args, "expire", TimeUnit::EX)),
    Command::data("pexpire", -3, |data, args| expire(data, args, "pexpire", TimeUnit::PX)),
    Command::data("expireat", -3, |data, args| expire(data, args, "expireat", TimeUnit::EXAT)),
    Command::data("pexpireat", -3, |data, args| expire(data, args, "pexpireat", TimeUnit::PXAT)),
    Command::data("ttl", 2, |data, args| remaining(data, args, TimeUnit::EX)),
    Command::data("pttl", 2, |data, args| remaining(data, args, TimeUnit::PX)),
    Command::data("expiretime", 2, |data, args| remaining(data, args, TimeUnit::EXAT)),
    Command::data("pexpiretime", 2, |data, args| remaining(data, args, TimeUnit::PXAT)),
    Command::data("persist", 2, persist),
];

fn expire(data: &mut DataContext<'_>, args: Args<'_>, name: &str, unit: TimeUnit) -> CommandResult {
    let key = args.at(1);
    let conditions = Conditions::parse(args.from(3))?;
    let at_ms = unit.at_ms(integer(args.at(2))?, data.now_ms(), name)?;
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    if !data.db.contains(key) || !conditions.allow(data.db.expires_ms(key), at_ms) {
        data.reply.flag(false);
        return Ok(());
    }
    if at_ms <= data.now_ms() {
        data.db.remove(key);
    } else {
        data.db.expire(key, Lifetime::Until(at_ms));
    }
    data.reply.flag(true);
    Ok(())
}

/// `NX`, `XX`, `GT` and `LT`.
#[derive(Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_greater: bool,
    if_less: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, ErrorReply> {
        let mut conditions = Self::default();
        for option in args.iter() {
            match option.to_ascii_uppercase().as_slice() {
                b"NX" => conditions.if_none = true,
                b"XX" => conditions.if_some = true,
                b"GT" => conditions.if_greater = true,
                b"LT" => conditions.if_less = true,
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Unsupported option {option}").into());
                }
            }
        }
        if conditions.if_none && (conditions.if_some || conditions.if_greater || conditions.if_less) {
            return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
        }
        if conditions.if_greater && conditions.if_less {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(conditions)
    }

    /// Whether the new expiry is allowed. `former_ms` is zero for a key without expiry, which counts as infinitely late.
    fn allow(&self, former_ms: u64, at_ms: u64) -> bool {
        (!self.if_none || former_ms == 0)
            && (!self.if_some || former_ms != 0)
            && (!self.if_greater || (former_ms != 0 && at_ms > former_ms))
            && (!self.if_less || former_ms == 0 || at_ms < former_ms)
    }
}

fn remaining(data: &mut DataContext<'_>, args: Args<'_>, unit: TimeUnit) -> CommandResult {
    let key = args.at(1);
    let expires_ms = data.db.expires_ms(key);
    let answer = if !data.db.contains(key) {
        -2
    } else if expires_ms == 0 {
        -1
    } else {
        let now_ms = if unit.is_absolute { 0 } else { data.now_ms() };
        let left_ms = i64::try_from(expires_ms.saturating_sub(now_ms)).unwrap_or(i64::MAX);
        // As in Redis, a remaining time is rounded to seconds, and an absolute time is truncated.
        match (unit.in_seconds, unit.is_absolute) {
            (true, true) => left_ms / 1_000,
            (true, false) => left_ms.saturating_add(500) / 1_000,
            (false, _) => left_ms,
        }
    };
    data.reply.integer(answer);
    Ok(())
}

fn persist(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let key = args.at(1);
    let had_one = data.db.expires_ms(key) != 0;
    if had_one {
        data.db.expire(key, Lifetime::Forever);
    }
    data.reply.flag(had_one);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn keys_live_until_their_time_in_virtual_time() {
        let mut client = TestClient::new();
        client.expect_all(&[
            ("SET k v PX 1500", "+OK\r\n"),
            ("TTL k", ":2\r\n"),
            ("PTTL k", ":1500\r\n"),
            ("TTL none", ":-2\r\n"),
            ("SET forever v", "+OK\r\n"),
            ("TTL forever", ":-1\r\n"),
        ]);
        client.advance_ms(1_500);
        client.expect("PTTL k", ":0\r\n");
        client.advance_ms(1);
        client.expect_all(&[
            ("GET k", "$-1\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("EXPIRE forever 10", ":1\r\n"),
            ("PERSIST forever", ":1\r\n"),
            ("PERSIST forever", ":0\r\n"),
        ]);
        client.advance_ms(100_000);
        client.expect_all(&[
            ("GET forever", "$1\r\nv\r\n"),
            ("EXPIRE forever -1", ":1\r\n"),
            ("EXISTS forever", ":0\r\n"),
            ("EXPIRE forever 1", ":0\r\n"),
        ]);
    }

    #[test]
    fn every_way_to_set_a_time() {
        let mut client = TestClient::new();
        // The virtual clock starts at 1,000 s.
        client.expect_all(&[
            ("SETEX k 10 v", "+OK\r\n"),
            ("EXPIRETIME k", ":1010\r\n"),
            ("PSETEX k 10 v", "+OK\r\n"),
            ("PEXPIRETIME k", ":1000010\r\n"),
            ("SET k v EXAT 2000", "+OK\r\n"),
            ("EXPIRETIME k", ":2000\r\n"),
            ("SET k v PXAT 2000001", "+OK\r\n"),
            ("SET k w KEEPTTL", "+OK\r\n"),
            ("PEXPIRETIME k", ":2000001\r\n"),
            ("EXPIREAT k 3000 LT", ":0\r\n"),
            ("EXPIREAT k 3000 GT", ":1\r\n"),
            ("PEXPIREAT k 1 NX", ":0\r\n"),
            ("GETEX k PERSIST", "$1\r\nw\r\n"),
            ("EXPIRE k 1 XX", ":0\r\n"),
            ("EXPIRE k 1 GT", ":0\r\n"),
            ("GETEX k EX 5", "$1\r\nw\r\n"),
            ("EXPIRETIME k", ":1005\r\n"),
            ("GETEX k PXAT 1", "$1\r\nw\r\n"),
            ("EXISTS k", ":0\r\n"),
            ("EXPIRE k 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
            ("EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"),
            ("EXPIRE k 1 foo", "-ERR Unsupported option foo\r\n"),
            ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"),
        ]);
    }
}
