//! Keys that earlier runs left in the key space: finds those that the commands of a run would fail on, and removes the
//! keys of a run.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_lite::future::block_on;

use crate::load::workload::Workload;
use crate::load::workload::keys::KeyText;
use crate::load::workload::mix::Mix;
use crate::{Client, Error, cmd};

/// A key with a value that a command of the run would fail on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// The key's name.
    pub key: String,
    /// The name of the command that would fail.
    pub command: String,
    /// A description of the key's value.
    pub holds: String,
}

/// Checks a sample of the key space, and returns a key that one of the run's commands would fail on. A run that writes
/// the keys first has no such key. If the server answers the checks with errors, the run starts anyway.
///
/// Blocks the calling thread for a few round trips.
pub fn leftover(client: &Client, workload: &Workload) -> Option<Leftover> {
    let Mix::Commands(shares) = &workload.mix else { return None };
    if workload.loads() {
        return None;
    }
    let commands = shares.iter().map(|share| &share.command).filter(|command| command.has_key());
    let needs: Vec<(&str, Need)> =
        commands.filter_map(|command| Some((command.name(), need(command.name())?))).collect();
    if needs.is_empty() {
        return None;
    }
    let mut text = KeyText::new(&workload.key_prefix, workload.key_minimum);
    let keys: Vec<Vec<u8>> = sample(workload.key_space).map(|index| text.write(index).to_vec()).collect();
    // All requests are sent before the first reply is awaited.
    let types: Vec<_> =
        keys.iter().map(|key| client.run::<String>(&cmd("TYPE").arg(key.as_slice()))).collect();
    let heads: Vec<_> = keys.iter().map(|key| head(client, key)).collect();
    for ((key, kind), head) in keys.iter().zip(types).zip(heads) {
        let (Ok(kind), head) = (block_on(kind), block_on(head)) else { continue };
        if kind == "none" {
            continue;
        }
        // Without GETRANGE the value cannot be checked here; the run reports errors then.
        let is_whole =
            |head: Vec<u8>| std::str::from_utf8(&head).is_ok_and(|head| head.parse::<i64>().is_ok());
        let is_number = head.map_or(true, is_whole);
        let unmet = needs.iter().find(|(_, need)| match need {
            Need::Type(wanted) => kind != *wanted,
            Need::Number => kind != "string" || !is_number,
        });
        if let Some((command, need)) = unmet {
            let holds = match need {
                Need::Number if kind == "string" => "a string that is not an integer".to_owned(),
                _ => format!("a value of the type {kind}"),
            };
            let key = String::from_utf8_lossy(key).into_owned();
            return Some(Leftover { key, command: command.to_ascii_uppercase(), holds });
        }
    }
    None
}

/// Removes every key of the key space, and returns how many existed. `observe` receives the number of keys that were
/// processed. Blocks the calling thread until all are processed, or until `stop` becomes true.
///
/// # Errors
/// The first error of the server. Some keys may remain then.
pub fn cleanup(
    client: &Client,
    workload: &Workload,
    stop: &AtomicBool,
    mut observe: impl FnMut(u64),
) -> Result<u64, Error> {
    let mut text = KeyText::new(&workload.key_prefix, workload.key_minimum);
    let (mut removed, mut next) = (0, 0);
    while next < workload.key_space && !stop.load(Ordering::Relaxed) {
        let batches: Vec<_> = (0..BATCHES_TOGETHER)
            .map_while(|_| {
                let end = workload.key_space.min(next + BATCH);
                let keys = (next..end).map(|index| text.write(index).to_vec());
                let command = (next < end).then(|| cmd("UNLINK").args(keys));
                next = end;
                Some(client.run::<u64>(&command?))
            })
            .collect();
        for batch in batches {
            removed += block_on(batch)?;
        }
        observe(next);
    }
    Ok(removed)
}

/// The value that a command needs at its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A value of this type, as `TYPE` names it.
    Type(&'static str),
    /// A string that holds an integer.
    Number,
}

/// The beginning of a value, long enough to see whether it is an integer.
fn head(client: &Client, key: &[u8]) -> crate::ClientReply<Vec<u8>> {
    client.run(&cmd("GETRANGE").arg(key).arg(0).arg(NUMBER_LENGTH_MAX))
}

/// The first keys, which hot sets and small runs use, and as many spread over the rest.
fn sample(keys: u64) -> impl Iterator<Item = u64> {
    let first = keys.min(SAMPLE);
    let step = (keys / SAMPLE).max(1);
    (0..first)
        .chain((0..SAMPLE).map(move |place| place * step).filter(move |key| (first..keys).contains(key)))
}

fn need(command: &str) -> Option<Need> {
    let name = command.to_ascii_uppercase();
    let is_any_of = |names: &[&str]| names.contains(&name.as_str());
    if is_any_of(&["INCR", "DECR", "INCRBY", "DECRBY"]) {
        return Some(Need::Number);
    }
    if is_any_of(&["APPEND", "GET", "GETRANGE", "SETRANGE", "STRLEN", "GETDEL", "GETEX", "GETBIT", "SETBIT"])
    {
        return Some(Need::Type("string"));
    }
    let lists =
        ["LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LLEN", "LRANGE", "LINDEX", "LREM", "LTRIM"];
    if is_any_of(&lists) {
        return Some(Need::Type("list"));
    }
    if is_any_of(&["SADD", "SREM", "SCARD", "SISMEMBER", "SMEMBERS", "SPOP", "SRANDMEMBER"]) {
        return Some(Need::Type("set"));
    }
    match name.as_bytes() {
        [b'H', rest @ ..] if rest != b"ELLO" => Some(Need::Type("hash")),
        [b'Z', ..] => Some(Need::Type("zset")),
        [b'X', ..] => Some(Need::Type("stream")),
        _ => None,
    }
}

/// The largest key space that is cleaned up: removing more keys takes longer than a few minutes.
#[cfg(feature = "cli")]
pub(crate) const CLEANUP_KEYS_MAX: u64 = 100_000_000;
/// The length of the longest signed 64-bit integer.
const NUMBER_LENGTH_MAX: i64 = 20;
/// How many of the first keys are checked, and how many of the rest.
const SAMPLE: u64 = 32;
/// Keys of one `UNLINK`: few enough that the server stays responsive to other clients.
const BATCH: u64 = 500;
const BATCHES_TOGETHER: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_first_keys_and_others() {
        assert_eq!(sample(3).collect::<Vec<_>>(), [0, 1, 2]);
        let keys: Vec<u64> = sample(6400).collect();
        assert_eq!((keys.len(), keys[31], keys[32], keys.last()), (63, 31, 200, Some(&6200)));
        assert!(sample(1_000_000_000_000).all(|key| key < 1_000_000_000_000));
    }

    #[test]
    fn commands_need_values_of_their_type() {
        for (name, needed) in [
            ("incr", Some(Need::Number)),
            ("GET", Some(Need::Type("string"))),
            ("lpush", Some(Need::Type("list"))),
            ("HSET", Some(Need::Type("hash"))),
            ("SADD", Some(Need::Type("set"))),
            ("ZADD", Some(Need::Type("zset"))),
            ("XADD", Some(Need::Type("stream"))),
            ("SET", None),
            ("DEL", None),
            ("HELLO", None),
            ("SCAN", None),
        ] {
            assert_eq!(need(name), needed, "{name}");
        }
    }
}
