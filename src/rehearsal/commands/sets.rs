//! Sets.

use super::command::{Command, CommandResult, DataContext, SYNTAX_ERROR, wrong_arity};
use super::options::{Scan, count, integer, write_scan};
use crate::rehearsal::data::keyspace::{Lifetime, Set, Value};
use crate::rehearsal::wire::reply::{ErrorReply, ReplyBuffer};
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::data("sadd", -3, sadd),
    Command::data("srem", -3, srem),
    Command::data("sismember", 3, sismember),
    Command::data("smismember", -3, smismember),
    Command::data("smembers", 2, smembers),
    Command::data("scard", 2, scard),
    Command::data("spop", -2, spop),
    Command::data("srandmember", -2, srandmember),
    Command::data("smove", 4, smove),
    Command::data("sinter", -2, |data, args| combine(data, args, Operation::Inter)),
    Command::data("sunion", -2, |data, args| combine(data, args, Operation::Union)),
    Command::data("sdiff", -2, |data, args| combine(data, args, Operation::Diff)),
    Command::data("sinterstore", -3, |data, args| store(data, args, Operation::Inter)),
    Command::data("sunionstore", -3, |data, args| store(data, args, Operation::Union)),
    Command::data("sdiffstore", -3, |data, args| store(data, args, Operation::Diff)),
    Command::data("sscan", -3, sscan),
];

fn sadd(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let set = data.db.get_or_create::<Set>(args.at(1))?;
    let added = args.from(2).iter().filter(|member| set.insert(member, ())).count();
    if added > 0 {
        data.db.changed(args.at(1));
    }
    data.reply.count(added);
    Ok(())
}

fn srem(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let mut removed = 0;
    if let Some(set) = data.db.get_mut::<Set>(args.at(1))? {
        removed = args.from(2).iter().filter(|member| set.remove(member).is_some()).count();
    }
    if removed > 0 {
        data.db.changed(args.at(1));
    }
    data.reply.count(removed);
    Ok(())
}

fn sismember(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let is_member = data.db.get::<Set>(args.at(1))?.is_some_and(|set| set.contains(args.at(2)));
    data.reply.flag(is_member);
    Ok(())
}

fn smismember(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let set = data.db.get::<Set>(args.at(1))?;
    data.reply.array(args.len() - 2);
    for member in args.from(2).iter() {
        data.reply.flag(set.is_some_and(|set| set.contains(member)));
    }
    Ok(())
}

fn smembers(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let set = data.db.get::<Set>(args.at(1))?;
    data.reply.set(set.map_or(0, Set::len));
    set.into_iter().flat_map(Set::iter).for_each(|(member, ())| data.reply.bulk(member));
    Ok(())
}

fn scard(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let len = data.db.get::<Set>(args.at(1))?.map_or(0, Set::len);
    data.reply.count(len);
    Ok(())
}

fn spop(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let key = args.at(1);
    if args.len() > 3 {
        return Err(SYNTAX_ERROR.into());
    }
    let count = args.get(2).map(count).transpose()?;
    let Some(set) = data.db.get_mut::<Set>(key)? else {
        match count {
            None => data.reply.null(),
            Some(_) => data.reply.set(0),
        }
        return Ok(());
    };
    let taken = count.unwrap_or(1).min(set.len());
    if count.is_some() {
        data.reply.set(taken);
    }
    for _ in 0..taken {
        let member = set.take(data.random).map(|(member, ())| member);
        data.reply.bulk_or_null(member.as_deref());
    }
    if taken > 0 {
        data.db.changed(key);
    }
    Ok(())
}

fn srandmember(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    if args.len() > 3 {
        return Err(SYNTAX_ERROR.into());
    }
    let count = args.get(2).map(integer).transpose()?;
    let set = data.db.get::<Set>(args.at(1))?;
    let random = &mut *data.random;
    let (Some(count), Some(set)) = (count, set) else {
        let member = set.and_then(|set| set.pick(random));
        match count {
            Some(_) => data.reply.array(0),
            None => data.reply.bulk_or_null(member.map(|(member, ())| member)),
        }
        return Ok(());
    };
    if count < 0 {
        return repeated_members(data.reply, set, random, count);
    }
    let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
    data.reply.array(wanted);
    for (member, ()) in random.choose_multiple(set.iter(), wanted) {
        data.reply.bulk(member);
    }
    Ok(())
}

/// `SRANDMEMBER` with a negative count: members can repeat.
fn repeated_members(
    reply: &mut ReplyBuffer,
    set: &Set,
    random: &mut fastrand::Rng,
    count: i64,
) -> CommandResult {
    let count = count.unsigned_abs();
    if count > REPEATED_MAX {
        return Err("ERR value is out of range".into());
    }
    reply.array(count as usize);
    for _ in 0..count {
        reply.bulk_or_null(set.pick(random).map(|(member, ())| member));
    }
    Ok(())
}

fn smove(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let (source, target, member) = (args.at(1), args.at(2), args.at(3));
    let Some(set) = data.db.get::<Set>(source)? else {
        data.reply.flag(false);
        return Ok(());
    };
    let is_member = set.contains(member);
    data.db.get::<Set>(target)?;
    if is_member && source != target {
        if let Some(set) = data.db.get_mut::<Set>(source)? {
            set.remove(member);
        }
        data.db.changed(source);
        data.db.get_or_create::<Set>(target)?.insert(member, ());
        data.db.changed(target);
    }
    data.reply.flag(is_member);
    Ok(())
}

#[derive(Clone, Copy)]
enum Operation {
    Inter,
    Union,
    Diff,
}

fn combine(data: &mut DataContext<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let result = result_of(data, args.from(1), operation)?;
    data.reply.set(result.len());
    result.iter().for_each(|(member, ())| data.reply.bulk(member));
    Ok(())
}

fn store(data: &mut DataContext<'_>, args: Args<'_>, operation: Operation) -> CommandResult {
    let result = result_of(data, args.from(2), operation)?;
    data.reply.count(result.len());
    if result.is_empty() {
        data.db.remove(args.at(1));
    } else {
        data.db.put(args.at(1), Value::Set(Box::new(result)), Lifetime::Forever);
    }
    Ok(())
}

fn result_of(data: &DataContext<'_>, keys: Args<'_>, operation: Operation) -> Result<Set, ErrorReply> {
    let sets: Vec<Option<&Set>> = keys.iter().map(|key| data.db.get::<Set>(key)).collect::<Result<_, _>>()?;
    let (first, others) = match sets.split_first() {
        Some((first, others)) => (*first, others),
        None => return Err(wrong_arity("sinter")),
    };
    let mut result = Set::default();
    let mut add = |set: Option<&Set>, keep: &dyn Fn(&[u8]) -> bool| {
        let members = set.into_iter().flat_map(Set::iter).map(|(member, ())| member);
        for member in members.filter(|member| keep(member)) {
            result.insert(member, ());
        }
    };
    let has = |set: &Option<&Set>, member: &[u8]| set.is_some_and(|set| set.contains(member));
    match operation {
        Operation::Union => sets.iter().for_each(|set| add(*set, &|_| true)),
        Operation::Inter => add(first, &|member| others.iter().all(|set| has(set, member))),
        Operation::Diff => add(first, &|member| !others.iter().any(|set| has(set, member))),
    }
    Ok(result)
}

fn sscan(data: &mut DataContext<'_>, args: Args<'_>) -> CommandResult {
    let options = Scan::parse(args.from(2), false)?;
    let mut found: Vec<&[u8]> = Vec::new();
    let mut next = 0;
    if let Some(set) = data.db.get::<Set>(args.at(1))? {
        let (elements, cursor) = set.scan(options.cursor, options.count_for(set.len()));
        next = cursor;
        found.extend(elements.map(|(member, ())| member).filter(|member| options.matches(member)));
    }
    write_scan(data.reply, next, &found);
    Ok(())
}

/// Most repeated members of one reply. Redis has no limit; here a mistyped count must not fill the memory.
const REPEATED_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn members_of_a_set() {
        TestClient::new().expect_all(&[
            ("SADD s a b a", ":2\r\n"),
            ("SADD s b", ":0\r\n"),
            ("SISMEMBER s a", ":1\r\n"),
            ("SMISMEMBER s a x", "*2\r\n:1\r\n:0\r\n"),
            ("SMEMBERS s", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("SCARD s", ":2\r\n"),
            ("SMOVE s t a", ":1\r\n"),
            ("SMOVE s t a", ":0\r\n"),
            ("SSCAN s 0", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"),
            ("SPOP s", "$1\r\nb\r\n"),
            ("SPOP s", "$-1\r\n"),
            ("SPOP s 2", "*0\r\n"),
            ("EXISTS s", ":0\r\n"),
            ("SRANDMEMBER t", "$1\r\na\r\n"),
            ("SRANDMEMBER t -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n"),
            ("SRANDMEMBER t 2", "*1\r\n$1\r\na\r\n"),
            ("SRANDMEMBER none 2", "*0\r\n"),
            ("HELLO 3", ""),
            ("SMEMBERS t", "~1\r\n$1\r\na\r\n"),
            ("SREM t a x", ":1\r\n"),
            ("SMEMBERS t", "~0\r\n"),
            ("SET k v", "+OK\r\n"),
            ("SADD k a", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ]);
    }

    #[test]
    fn combinations() {
        TestClient::new().expect_all(&[
            ("SADD a 1 2 3", ":3\r\n"),
            ("SADD b 2 3 4", ":3\r\n"),
            ("SINTER a b", "*2\r\n$1\r\n2\r\n$1\r\n3\r\n"),
            ("SINTER a none", "*0\r\n"),
            ("SUNION none a b", "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n"),
            ("SDIFF a b", "*1\r\n$1\r\n1\r\n"),
            ("SDIFFSTORE c a b", ":1\r\n"),
            ("SMEMBERS c", "*1\r\n$1\r\n1\r\n"),
            ("SINTERSTORE c a none", ":0\r\n"),
            ("EXISTS c", ":0\r\n"),
            ("SUNIONSTORE a a b", ":4\r\n"),
        ]);
    }
}
