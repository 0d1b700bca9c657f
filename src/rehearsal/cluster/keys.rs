//! Where a command has its keys, and whether it writes.

use crate::rehearsal::wire::request::Args;

/// What a command does with its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyUse {
    pub(crate) is_write: bool,
    /// Its keys are shard channels.
    pub(crate) is_shard_channel: bool,
}

/// Adds the positions of the keys in `args` to `positions`.
pub(crate) fn find(args: Args<'_>, positions: &mut Vec<usize>) -> KeyUse {
    let name = args.at(0).to_ascii_lowercase();
    let all = 1..args.len();
    match name.as_slice() {
        b"mget" | b"del" | b"exists" | b"unlink" | b"touch" | b"watch" => positions.extend(all),
        b"ssubscribe" => positions.extend(all),
        b"mset" => positions.extend(all.step_by(2)),
        b"blpop" | b"brpop" => positions.extend(1..args.len() - 1),
        b"get" | b"set" | b"incr" | b"spublish" | b"rpush" | b"lpush" => positions.push(1),
        _ => {}
    }
    KeyUse {
        is_write: [&b"set"[..], b"incr", b"del", b"mset", b"rpush", b"lpush", b"blpop", b"flushall"]
            .contains(&&*name),
        is_shard_channel: matches!(name.as_slice(), b"ssubscribe" | b"spublish" | b"sunsubscribe"),
    }
}
