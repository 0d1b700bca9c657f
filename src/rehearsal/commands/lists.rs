//! Lists.

use super::command::{Command, CommandResult, DataContext, SYNTAX_ERROR, wrong_arity};
use super::options::{count, integer};
use crate::rehearsal::data::keyspace::List;
use crate::rehearsal::data::list_end::ListEnd;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("lpush", -3, |data, args| push(data, args, ListEnd::Left, true)),
    Command::data("rpush", -3, |data, args| push(data, args, ListEnd::Right, true)),
    Command::data("lpushx", -3, |data, args| push(data, args, ListEnd::Left, false)),
    Command::data("rpushx", -3, |data, args| push(data, args, ListEnd::Right, false)),
    Command::data("lpop", -2, |data, args| pop(data, args, ListEnd::Left, "lpop")),
    Command::data("rpop", -2, |data, args| pop(data, args, ListEnd::Right, "rpop")),
    Command::data("llen", 2, llen),
    Command::data("lrange", 4, lrange),
    Command::data("lindex", 3, lindex),
    Command::data("lset", 4, lset),
    Command::data("ltrim", 4, ltrim),
    Command::data("lrem", 4, lrem),
    Command::data("linsert", 5, linsert),
    Command::data("rpoplpush", 3, |data, args| lmove(data, args, ListEnd::Right, ListEnd::Left)),
    Command::data("lmove", 5, |data, args| {
        let (from, to) = (end_named(args.at(3))?, end_named(args.at(4))?);
        lmove(data, args, from, to)
    }),
];

/// The end of a list that an argument names.
pub(super) fn end_named(name: &[u8]) -> Result<ListEnd, ErrorReply> {
    Ok(ListEnd::named(name).ok_or(SYNTAX_ERROR)?)
}

/// Moves an element from `source` to `target`, and replies with it. Returns false, without a reply, if there is no list
/// `source`.
pub(super) fn move_element(
    data: &mut DataContext<'_>,
    [source, target]: [&[u8]; 2],
    from: ListEnd,
    to: ListEnd,
) -> Result<bool, ErrorReply> {
    if data.db.get::<List>(source)?.is_none() {
        return Ok(false);
    }
    data.db.get::<List>(target)?;
    let Some(element) = data.db.get_mut::<List>(source)?.and_then(|list| from.pop(list)) else {
        return Ok(false);
    };
    data.reply.bulk(&element);
    to.push(data.db.get_or_create::<List>(target)?, element);
    data.db.changed(source);
    data.db.changed(target);
    Ok(true)
}

fn push(data: &mut DataContext<'_>, args: Args<'_>, end: ListEnd, may_create: bool) -> CommandResult {
    let key = args.at(1);
    if !may_create && data.db.get::<List>(key)?.is_none() {
        data.reply.count(0);
        return Ok(());
    }
    let list = data.db.get_or_create::<List>(key)?;
    args.from(2).iter().for_each(|element| end.push(list, element.into()));
    data.reply.count(list.len());
    data.db.changed(key);
    Ok(())
}

fn pop(data: &mut DataContext<'_>, args: Args<'_>, end: ListEnd, name: &str) -> CommandResult {
    let key = args.at(1);
    if args.len() > 3 {
        return Err(wrong_arity(name));
    }
    let count = args.get(2).map(count).transpose()?;
    let Some(list) = data.db.get_mut::<List>(key)? else {
        match count {
            None => data.reply.null(),
            Some(_) => data.reply.null_array(),
        }
        return Ok(());
    };
    let taken = count.unwrap_or(1).min(list.len());
    if count.is_some() {
        data.reply.array(taken);
    }
    for _ in 0..taken {
        data.reply.bulk_or_null(end.pop(list).as_deref());
    }
    if taken > 0 {
        data.db.changed(key);
    }
    Ok(())
}

fn llen(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let len = data.db.get::<List>(args.at(1))?.map_or(0, List::len);
    data.reply.count(len);
    Ok(())
}

/// The part of `0..len` from `start` through `stop`. Negative positions count from the end.
fn range(args: Args<'_>, len: usize) -> Result<std::ops::Range<usize>, ErrorReply> {
    let (start, stop) = bounds(args)?;
    let from_end = |index: i64| match index < 0 {
        true => index.saturating_add(len as i64),
        false => index,
    };
    let start = usize::try_from(from_end(start).max(0)).unwrap_or(0);
    let end = usize::try_from(from_end(stop).saturating_add(1).max(0)).unwrap_or(0).min(len);
    Ok(if start < end { start..end } else { 0..0 })
}

fn bounds(args: Args<'_>) -> Result<(i64, i64), ErrorReply> {
    Ok((integer(args.at(2))?, integer(args.at(3))?))
}

fn lrange(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    bounds(args)?;
    let Some(list) = data.db.get::<List>(args.at(1))? else {
        data.reply.array(0);
        return Ok(());
    };
    let range = range(args, list.len())?;
    data.reply.array(range.len());
    list.range(range).for_each(|element| data.reply.bulk(element));
    Ok(())
}

/// The position of element `index` in a list of `len`. A negative index counts from the end.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

fn lindex(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let list = data.db.get::<List>(args.at(1))?;
    let index = integer(args.at(2))?;
    let element = list.and_then(|list| list.get(position(index, list.len())?));
    data.reply.bulk_or_null(element.map(|element| &**element));
    Ok(())
}

fn lset(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let list = data.db.get_mut::<List>(args.at(1))?.ok_or("ERR no such key")?;
    let position = position(integer(args.at(2))?, list.len());
    let element = position.and_then(|position| list.get_mut(position)).ok_or("ERR index out of range")?;
    *element = args.at(3).into();
    data.db.changed(args.at(1));
    data.reply.ok();
    Ok(())
}

fn ltrim(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    bounds(args)?;
    if let Some(list) = data.db.get_mut::<List>(args.at(1))? {
        let kept = range(args, list.len())?;
        list.truncate(kept.end);
        list.drain(..kept.start);
        data.db.changed(args.at(1));
    }
    data.reply.ok();
    Ok(())
}

fn lrem(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, count, element) = (args.at(1), integer(args.at(2))?, args.at(3));
    let mut removed = 0;
    if let Some(list) = data.db.get_mut::<List>(key)? {
        let equal = list.iter().filter(|other| ***other == *element).count();
        let wanted = match usize::try_from(count.unsigned_abs()) {
            Ok(0) | Err(_) => equal,
            Ok(wanted) => wanted.min(equal),
        };
        // A negative count removes from the right, so the first equal elements are kept.
        let skipped = if count < 0 { equal - wanted } else { 0 };
        let mut seen = 0;
        list.retain(|other| {
            let is_equal = **other == *element;
            seen += usize::from(is_equal);
            !(is_equal && seen > skipped && seen <= skipped + wanted)
        });
        removed = wanted;
    }
    if removed > 0 {
        data.db.changed(key);
    }
    data.reply.count(removed);
    Ok(())
}

fn linsert(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (key, side, pivot) = (args.at(1), args.at(2), args.at(3));
    let offset = if side.eq_ignore_ascii_case(b"BEFORE") {
        0
    } else if side.eq_ignore_ascii_case(b"AFTER") {
        1
    } else {
        return Err(SYNTAX_ERROR.into());
    };
    let Some(list) = data.db.get_mut::<List>(key)? else {
        data.reply.count(0);
        return Ok(());
    };
    match list.iter().position(|element| **element == *pivot) {
        None => data.reply.integer(-1),
        Some(found) => {
            list.insert(found + offset, args.at(4).into());
            data.reply.count(list.len());
            data.db.changed(key);
        }
    }
    Ok(())
}

fn lmove(data: &mut DataContext<'_>, args: Args<'_>, from: ListEnd, to: ListEnd) -> CommandResult {
    if !move_element(data, [args.at(1), args.at(2)], from, to)? {
        data.reply.null();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    #[test]
    fn pushes_and_pops() {
        TestClient::new().expect_all(&[
            ("LPUSHX l a", ":0\r\n"),
            ("RPUSH l a b", ":2\r\n"),
            ("LPUSH l c d", ":4\r\n"),
            ("RPUSHX l e", ":5\r\n"),
            ("LRANGE l 0 -1", "*5\r\n$1\r\nd\r\n$1\r\nc\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\ne\r\n"),
            ("LPOP l", "$1\r\nd\r\n"),
            ("RPOP l 2", "*2\r\n$1\r\ne\r\n$1\r\nb\r\n"),
            ("LPOP l -1", "-ERR value is out of range, must be positive\r\n"),
            ("LPOP l 0", "*0\r\n"),
            ("LLEN l", ":2\r\n"),
            ("LPOP l 9", "*2\r\n$1\r\nc\r\n$1\r\na\r\n"),
            ("EXISTS l", ":0\r\n"),
            ("LPOP l", "$-1\r\n"),
            ("LPOP l 1", "*-1\r\n"),
            ("SET s v", "+OK\r\n"),
            ("LPUSH s a", WRONG_TYPE),
            ("LLEN s", WRONG_TYPE),
        ]);
    }

    #[test]
    fn inner_elements() {
        TestClient::new().expect_all(&[
            ("RPUSH l a b a c a", ":5\r\n"),
            ("LINDEX l -1", "$1\r\na\r\n"),
            ("LINDEX l 5", "$-1\r\n"),
            ("LSET l 1 B", "+OK\r\n"),
            ("LSET l 9 B", "-ERR index out of range\r\n"),
            ("LSET none 0 B", "-ERR no such key\r\n"),
            ("LREM l -2 a", ":2\r\n"),
            ("LRANGE l 0 -1", "*3\r\n$1\r\na\r\n$1\r\nB\r\n$1\r\nc\r\n"),
            ("LINSERT l BEFORE c x", ":4\r\n"),
            ("LINSERT l AFTER none x", ":-1\r\n"),
            ("LTRIM l 1 -2", "+OK\r\n"),
            ("LRANGE l -100 100", "*2\r\n$1\r\nB\r\n$1\r\nx\r\n"),
            ("LRANGE l 1 0", "*0\r\n"),
            ("LTRIM l 5 9", "+OK\r\n"),
            ("EXISTS l", ":0\r\n"),
        ]);
    }

    #[test]
    fn moves_between_lists() {
        TestClient::new().expect_all(&[
            ("RPUSH l a b", ":2\r\n"),
            ("RPOPLPUSH l m", "$1\r\nb\r\n"),
            ("LMOVE l m LEFT RIGHT", "$1\r\na\r\n"),
            ("LMOVE l m LEFT RIGHT", "$-1\r\n"),
            ("LMOVE l m LEFT x", "-ERR syntax error\r\n"),
            ("RPOPLPUSH m m", "$1\r\na\r\n"),
            ("LRANGE m 0 -1", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("LPOP m 1", "*1\r\n$1\r\na\r\n"),
            ("RPOPLPUSH m m", "$1\r\nb\r\n"),
            ("LLEN m", ":1\r\n"),
        ]);
    }
}
