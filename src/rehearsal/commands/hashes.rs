//! Hashes.

use super::command::{Command, CommandResult, DataContext, wrong_arity};
use super::options::{Scan, integer, write_scan};
use crate::rehearsal::data::keyspace::Hash;
use crate::rehearsal::wire::number::{format_f64, parse_f64, parse_i64};
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("hset", -4, |data, args| {
        let added = set_fields(data, args, "hset")?;
        data.reply.count(added);
        Ok(())
    }),
    Command::data("hmset", -4, |data, args| {
        set_fields(data, args, "hmset")?;
        data.reply.ok();
        Ok(())
    }),
    Command::data("hsetnx", 4, hsetnx),
    Command::data("hget", 3, hget),
    Command::data("hmget", -3, hmget),
    Command::data("hgetall", 2, hgetall),
    Command::data("hdel", -3, hdel),
    Command::data("hexists", 3, hexists),
    Command::data("hlen", 2, hlen),
    Command::data("hstrlen", 3, hstrlen),
    Command::data("hkeys", 2, hkeys),
    Command::data("hvals", 2, hvals),
    Command::data("hincrby", 4, hincrby),
    Command::data("hincrbyfloat", 4, hincrbyfloat),
    Command::data("hscan", -3, hscan),
];

/// Sets pairs of fields and values, and returns how many fields are new.
fn set_fields(data: &mut DataContext<'_>, args: Args<'_>, name: &str) -> Result<usize, ErrorReply> {
    let pairs = args.from(2);
    if !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity(name));
    }
    let hash = data.db.get_or_create::<Hash>(args.at(1))?;
    let added = pairs.pairs().filter(|(field, value)| hash.insert(field, value.to_vec())).count();
    data.db.changed(args.at(1));
    Ok(added)
}

fn hsetnx(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, field) = (args.at(1), args.at(2));
    let is_new = data.db.get::<Hash>(key)?.is_none_or(|hash| !hash.contains(field));
    if is_new {
        data.db.get_or_create::<Hash>(key)?.insert(field, args.at(3).to_vec());
        data.db.changed(key);
    }
    data.reply.flag(is_new);
    Ok(())
}

fn hget(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let value = data.db.get::<Hash>(args.at(1))?.and_then(|hash| hash.get(args.at(2)));
    data.reply.bulk_or_null(value.map(Vec::as_slice));
    Ok(())
}

fn hmget(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let hash = data.db.get::<Hash>(args.at(1))?;
    data.reply.array(args.len() - 2);
    for field in args.from(2).iter() {
        let value = hash.and_then(|hash| hash.get(field));
        data.reply.bulk_or_null(value.map(Vec::as_slice));
    }
    Ok(())
}

fn hgetall(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let hash = data.db.get::<Hash>(args.at(1))?;
    data.reply.map(hash.map_or(0, Hash::len));
    for (field, value) in hash.into_iter().flat_map(Hash::iter) {
        data.reply.bulk(field);
        data.reply.bulk(value);
    }
    Ok(())
}

fn hdel(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let mut removed = 0;
    if let Some(hash) = data.db.get_mut::<Hash>(args.at(1))? {
        removed = args.from(2).iter().filter(|field| hash.remove(field).is_some()).count();
    }
    if removed > 0 {
        data.db.changed(args.at(1));
    }
    data.reply.count(removed);
    Ok(())
}

fn hexists(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let exists = data.db.get::<Hash>(args.at(1))?.is_some_and(|hash| hash.contains(args.at(2)));
    data.reply.flag(exists);
    Ok(())
}

fn hlen(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let len = data.db.get::<Hash>(args.at(1))?.map_or(0, Hash::len);
    data.reply.count(len);
    Ok(())
}

fn hstrlen(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let value = data.db.get::<Hash>(args.at(1))?.and_then(|hash| hash.get(args.at(2)));
    data.reply.count(value.map_or(0, Vec::len));
    Ok(())
}

fn hkeys(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let hash = data.db.get::<Hash>(args.at(1))?;
    data.reply.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(field, _)| data.reply.bulk(field));
    Ok(())
}

fn hvals(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let hash = data.db.get::<Hash>(args.at(1))?;
    data.reply.array(hash.map_or(0, Hash::len));
    hash.into_iter().flat_map(Hash::iter).for_each(|(_, value)| data.reply.bulk(value));
    Ok(())
}

fn hincrby(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, field, delta) = (args.at(1), args.at(2), integer(args.at(3))?);
    let value = match data.db.get::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        Some(text) => parse_i64(text).ok_or("ERR hash value is not an integer")?,
        None => 0,
    };
    let sum = value.checked_add(delta).ok_or("ERR increment or decrement would overflow")?;
    data.db.get_or_create::<Hash>(key)?.insert(field, sum.to_string().into_bytes());
    data.db.changed(key);
    data.reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, field) = (args.at(1), args.at(2));
    let delta = parse_f64(args.at(3)).ok_or("ERR value is not a valid float")?;
    let value = match data.db.get::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        Some(text) => parse_f64(text).ok_or("ERR hash value is not a float")?,
        None => 0.0,
    };
    let sum = value + delta;
    if !sum.is_finite() {
        return Err("ERR increment would produce NaN or Infinity".into());
    }
    let text = format_f64(sum);
    data.db.get_or_create::<Hash>(key)?.insert(field, text.clone().into_bytes());
    data.db.changed(key);
    data.reply.bulk(text.as_bytes());
    Ok(())
}

fn hscan(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let options = Scan::parse(args.from(2), false)?;
    let mut found: Vec<&[u8]> = Vec::new();
    let mut next = 0;
    if let Some(hash) = data.db.get::<Hash>(args.at(1))? {
        let (elements, cursor) = hash.scan(options.cursor, options.count_for(hash.len()));
        next = cursor;
        let wanted = elements.filter(|(field, _)| options.matches(field));
        found.extend(wanted.flat_map(|(field, value)| [field, value]));
    }
    write_scan(data.reply, next, &found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn fields_of_a_hash() {
        TestClient::new().expect_all(&[
            ("HSET h a 1 b 2", ":2\r\n"),
            ("HSET h a 3 c 4", ":1\r\n"),
            ("HSET h a", "-ERR wrong number of arguments for 'hset' command\r\n"),
            ("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n"),
            ("HMSET h d 5", "+OK\r\n"),
            ("HSETNX h d 6", ":0\r\n"),
            ("HSETNX h e 6", ":1\r\n"),
            ("HGET h a", "$1\r\n3\r\n"),
            ("HGET h none", "$-1\r\n"),
            ("HMGET h a none", "*2\r\n$1\r\n3\r\n$-1\r\n"),
            ("HDEL h c d e none", ":3\r\n"),
            ("HGETALL h", "*4\r\n$1\r\na\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n"),
            ("HKEYS h", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("HVALS h", "*2\r\n$1\r\n3\r\n$1\r\n2\r\n"),
            ("HLEN h", ":2\r\n"),
            ("HSTRLEN h a", ":1\r\n"),
            ("HEXISTS h a", ":1\r\n"),
            ("HSCAN h 0 MATCH b", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n"),
            ("HSCAN none 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
            ("HINCRBY h a 4", ":7\r\n"),
            ("HINCRBYFLOAT h a 0.5", "$3\r\n7.5\r\n"),
            ("HINCRBY h a 1", "-ERR hash value is not an integer\r\n"),
            ("HELLO 3", ""),
            ("HGETALL h", "%2\r\n$1\r\na\r\n$3\r\n7.5\r\n$1\r\nb\r\n$1\r\n2\r\n"),
            ("HGETALL none", "%0\r\n"),
            ("HDEL h a b", ":2\r\n"),
            ("EXISTS h", ":0\r\n"),
            ("SET s v", "+OK\r\n"),
            ("HGET s a", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ]);
    }
}
