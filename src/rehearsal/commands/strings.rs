//! Strings and counters.

use super::command::{Command, CommandResult, DataContext, SYNTAX_ERROR};
use super::options::{TimeUnit, integer, require_pairs};
use crate::rehearsal::data::keyspace::Lifetime;
use crate::rehearsal::wire::number::{format_f64, parse_f64};
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::{Args, BULK_BYTES_MAX};

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("get", 2, get),
    Command::data("set", -3, set),
    Command::data("setnx", 3, setnx),
    Command::data("setex", 4, setex),
    Command::data("psetex", 4, psetex),
    Command::data("getset", 3, getset),
    Command::data("getdel", 2, getdel),
    Command::data("getex", -2, getex),
    Command::data("mget", -2, mget),
    Command::data("mset", -3, mset),
    Command::data("msetnx", -3, msetnx),
    Command::data("append", 3, append),
    Command::data("strlen", 2, strlen),
    Command::data("getrange", 4, getrange),
    Command::data("setrange", 4, setrange),
    Command::data("incr", 2, |data, args| add(data, args, 1)),
    Command::data("decr", 2, |data, args| add(data, args, -1)),
    Command::data("incrby", 3, |data, args| {
        let delta = integer(args.at(2))?;
        add(data, args, delta)
    }),
    Command::data("decrby", 3, |data, args| {
        let delta = integer(args.at(2))?.checked_neg().ok_or("ERR decrement would overflow")?;
        add(data, args, delta)
    }),
    Command::data("incrbyfloat", 3, incrbyfloat),
];

#[inline]
fn get(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let value = data.db.get::<Vec<u8>>(args.at(1))?;
    data.reply.bulk_or_null(value.map(Vec::as_slice));
    Ok(())
}

fn set(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        data.db.set_string(key, value, Lifetime::Forever);
        data.reply.ok();
        return Ok(());
    }
    let options = SetOptions::parse(args.from(3), data.now_ms())?;
    let exists = data.db.contains(key);
    if options.wants_former {
        let former = data.db.get::<Vec<u8>>(key)?;
        data.reply.bulk_or_null(former.map(Vec::as_slice));
    }
    let is_set = options.if_exists.is_none_or(|wanted| wanted == exists);
    if is_set {
        data.db.set_string(key, value, options.lifetime);
    }
    match (options.wants_former, is_set) {
        (true, _) => {}
        (false, true) => data.reply.ok(),
        (false, false) => data.reply.null(),
    }
    Ok(())
}

struct SetOptions {
    /// `XX`: true, `NX`: false.
    if_exists: Option<bool>,
    wants_former: bool,
    lifetime: Lifetime,
}

impl SetOptions {
    fn parse(args: Args<'_>, now_ms: u64) -> Result<Self, ErrorReply> {
        let mut options = Self { if_exists: None, wants_former: false, lifetime: Lifetime::Forever };
        let mut index = 0;
        while let Some(option) = args.get(index) {
            index += 1;
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("NX") && options.if_exists != Some(true) {
                options.if_exists = Some(false);
            } else if is("XX") && options.if_exists != Some(false) {
                options.if_exists = Some(true);
            } else if is("GET") {
                options.wants_former = true;
            } else if is("KEEPTTL") && options.lifetime == Lifetime::Forever {
                options.lifetime = Lifetime::Keep;
            } else if let (Some(unit), Lifetime::Forever, Some(value)) =
                (TimeUnit::named(option), options.lifetime, args.get(index))
            {
                options.lifetime = unit.lifetime(value, now_ms, "set")?;
                index += 1;
            } else {
                return Err(SYNTAX_ERROR.into());
            }
        }
        Ok(options)
    }
}

fn setnx(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let is_new = !data.db.contains(args.at(1));
    if is_new {
        data.db.set_string(args.at(1), args.at(2), Lifetime::Forever);
    }
    data.reply.flag(is_new);
    Ok(())
}

fn setex(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let lifetime = TimeUnit::EX.lifetime(args.at(2), data.now_ms(), "setex")?;
    data.db.set_string(args.at(1), args.at(3), lifetime);
    data.reply.ok();
    Ok(())
}

fn psetex(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let lifetime = TimeUnit::PX.lifetime(args.at(2), data.now_ms(), "psetex")?;
    data.db.set_string(args.at(1), args.at(3), lifetime);
    data.reply.ok();
    Ok(())
}

fn getset(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    get(data, args)?;
    data.db.set_string(args.at(1), args.at(2), Lifetime::Forever);
    Ok(())
}

fn getdel(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    get(data, args)?;
    data.db.remove(args.at(1));
    Ok(())
}

fn getex(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let option = args.at(2);
    let lifetime = match args.len() {
        2 => Lifetime::Keep,
        3 if option.eq_ignore_ascii_case(b"PERSIST") => Lifetime::Forever,
        4 => {
            let unit = TimeUnit::named(option).ok_or(SYNTAX_ERROR)?;
            unit.lifetime(args.at(3), data.now_ms(), "getex")?
        }
        _ => return Err(SYNTAX_ERROR.into()),
    };
    get(data, args)?;
    let key = args.at(1);
    if lifetime != Lifetime::Keep && data.db.contains(key) {
        match lifetime {
            Lifetime::Until(at_ms) if at_ms <= data.now_ms() => drop(data.db.remove(key)),
            lifetime => data.db.expire(key, lifetime),
        }
    }
    Ok(())
}

fn mget(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    data.reply.array(args.len() - 1);
    for key in args.from(1).iter() {
        // As in Redis, a key of another type counts as missing.
        let value = data.db.get::<Vec<u8>>(key).ok().flatten();
        data.reply.bulk_or_null(value.map(Vec::as_slice));
    }
    Ok(())
}

fn mset(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    require_pairs(args.from(1), "mset")?;
    for (key, value) in args.from(1).pairs() {
        data.db.set_string(key, value, Lifetime::Forever);
    }
    data.reply.ok();
    Ok(())
}

fn msetnx(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    require_pairs(args.from(1), "msetnx")?;
    let are_new = !args.from(1).pairs().any(|(key, _)| data.db.contains(key));
    if are_new {
        for (key, value) in args.from(1).pairs() {
            data.db.set_string(key, value, Lifetime::Forever);
        }
    }
    data.reply.flag(are_new);
    Ok(())
}

fn append(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, tail) = (args.at(1), args.at(2));
    let len = data.db.get::<Vec<u8>>(key)?.map_or(0, Vec::len);
    check_size(len.saturating_add(tail.len()))?;
    let value = data.db.get_or_create::<Vec<u8>>(key)?;
    value.extend_from_slice(tail);
    data.reply.count(value.len());
    data.db.changed(key);
    Ok(())
}

fn strlen(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let len = data.db.get::<Vec<u8>>(args.at(1))?.map_or(0, Vec::len);
    data.reply.count(len);
    Ok(())
}

fn getrange(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (start, end) = (integer(args.at(2))?, integer(args.at(3))?);
    let value = data.db.get::<Vec<u8>>(args.at(1))?.map(Vec::as_slice).unwrap_or_default();
    let len = value.len() as i64;
    // As in Redis, two negative positions in the wrong order are an empty range, although clamping would give one byte.
    if start < 0 && end < 0 && start > end {
        data.reply.bulk(b"");
        return Ok(());
    }
    let from_end = |index: i64| {
        if index < 0 { index.saturating_add(len).max(0) } else { index }
    };
    let (start, end) = (from_end(start), from_end(end).saturating_add(1).min(len));
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    data.reply.bulk(value.get(range).unwrap_or_default());
    Ok(())
}

fn setrange(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, patch) = (args.at(1), args.at(3));
    let offset = usize::try_from(integer(args.at(2))?).map_err(|_| "ERR offset is out of range")?;
    let len = data.db.get::<Vec<u8>>(key)?.map_or(0, Vec::len);
    if patch.is_empty() {
        data.reply.count(len);
        return Ok(());
    }
    let end = offset.saturating_add(patch.len());
    check_size(end)?;
    let value = data.db.get_or_create::<Vec<u8>>(key)?;
    if value.len() < end {
        value.resize(end, 0);
    }
    if let Some(patched) = value.get_mut(offset..end) {
        patched.copy_from_slice(patch);
    }
    data.reply.count(value.len());
    data.db.changed(key);
    Ok(())
}

fn check_size(bytes: usize) -> CommandResult {
    if bytes > BULK_BYTES_MAX {
        return Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)".into());
    }
    Ok(())
}

fn add(data: &mut DataContext<'_>, args: Args<'_>, delta: i64) -> CommandResult {
    let key = args.at(1);
    let value = match data.db.get::<Vec<u8>>(key)? {
        Some(text) => integer(text)?,
        None => 0,
    };
    let sum = value.checked_add(delta).ok_or("ERR increment or decrement would overflow")?;
    data.db.set_string(key, itoa::Buffer::new().format(sum).as_bytes(), Lifetime::Keep);
    data.reply.integer(sum);
    Ok(())
}

fn incrbyfloat(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let key = args.at(1);
    let value = match data.db.get::<Vec<u8>>(key)? {
        Some(text) => parse_f64(text).ok_or(NOT_A_FLOAT)?,
        None => 0.0,
    };
    let sum = value + parse_f64(args.at(2)).ok_or(NOT_A_FLOAT)?;
    if !sum.is_finite() {
        return Err("ERR increment would produce NaN or Infinity".into());
    }
    let text = format_f64(sum);
    data.db.set_string(key, text.as_bytes(), Lifetime::Keep);
    data.reply.bulk(text.as_bytes());
    Ok(())
}

const NOT_A_FLOAT: &str = "ERR value is not a valid float";

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn set_and_get() {
        TestClient::new().expect_all(&[
            ("SET k v", "+OK\r\n"),
            ("GET k", "$1\r\nv\r\n"),
            ("SET k w NX", "$-1\r\n"),
            ("SET k w XX GET", "$1\r\nv\r\n"),
            ("SET n w XX", "$-1\r\n"),
            ("SET n w NX XX", "-ERR syntax error\r\n"),
            ("SET n w EX 1 PX 1", "-ERR syntax error\r\n"),
            ("SET n w EX", "-ERR syntax error\r\n"),
            ("SET n w EX 0", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET n w EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
            ("SET n w EX x", "-ERR value is not an integer or out of range\r\n"),
            ("GETSET k x", "$1\r\nw\r\n"),
            ("GETDEL k", "$1\r\nx\r\n"),
            ("GET k", "$-1\r\n"),
            ("MSET a 1 b 2", "+OK\r\n"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
            ("MSETNX b 1 c 2", ":0\r\n"),
            ("MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n"),
            ("HELLO 3", ""),
            ("GET c", "_\r\n"),
        ]);
    }

    #[test]
    fn ranges_of_a_string() {
        TestClient::new().expect_all(&[
            ("SETRANGE k 2 ab", ":4\r\n"),
            ("APPEND k cd", ":6\r\n"),
            ("STRLEN k", ":6\r\n"),
            ("GETRANGE k 2 -2", "$3\r\nabc\r\n"),
            ("GETRANGE k -1 -5", "$0\r\n\r\n"),
            ("GETRANGE k 4 100", "$2\r\ncd\r\n"),
            ("GETRANGE k 9 100", "$0\r\n\r\n"),
            ("SETRANGE k -1 a", "-ERR offset is out of range\r\n"),
            ("SETRANGE none 9 ''", ":0\r\n"),
            ("EXISTS none", ":0\r\n"),
            ("SETRANGE k 536870912 a", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"),
        ]);
    }

    #[test]
    fn counters() {
        TestClient::new().expect_all(&[
            ("INCR n", ":1\r\n"),
            ("INCRBY n 9", ":10\r\n"),
            ("DECRBY n 20", ":-10\r\n"),
            ("DECR n", ":-11\r\n"),
            ("GET n", "$3\r\n-11\r\n"),
            ("INCRBYFLOAT n 0.5", "$5\r\n-10.5\r\n"),
            ("INCR n", "-ERR value is not an integer or out of range\r\n"),
            ("SET n 9223372036854775807", "+OK\r\n"),
            ("INCR n", "-ERR increment or decrement would overflow\r\n"),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n"),
            ("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity\r\n"),
            ("INCRBYFLOAT f x", "-ERR value is not a valid float\r\n"),
            ("RPUSH l a", ":1\r\n"),
            ("INCR l", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ]);
    }
}
