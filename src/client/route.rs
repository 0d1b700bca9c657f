//! [`Route`]: which shard, and which of its connections, a call on a handle goes to.
//!
//! A handle's commands reach the server in the order of the calls. So a handle that may choose anew does that only
//! while none of its calls is open.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Shared;
use super::held::Held;
use crate::proto::connection::Lane;
use crate::proto::pool::EntryId;

/// One connection of one shard, and the handle's lane there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: usize,
    pub(super) entry: EntryId,
    pub(super) lane: Lane,
}

/// How a handle finds the place for a call.
pub(super) enum Route {
    /// The same one, always.
    Bound(Place),
    /// By the first argument: one key, one place.
    ByKey { lane: Lane },
    /// Another one whenever no call is open.
    Floating { lane: Lane, choice: Choice, held: Arc<Held> },
}

/// What a floating handle goes by.
#[derive(Clone, Copy)]
pub(super) enum Choice {
    LeastLoaded,
    CallersCore,
}

/// A call of a floating handle, for as long as it is open.
pub(super) struct Stay {
    held: Arc<Held>,
    load: Option<(Arc<Shared>, usize)>,
}

impl Route {
    /// The place for a call that is encoded as `bytes`, and what keeps later ones from going elsewhere.
    pub(super) fn place(&self, shared: &Arc<Shared>, bytes: &[u8]) -> (Place, Option<Stay>) {
        match self {
            Route::Bound(place) => (*place, None),
            Route::ByKey { lane } => {
                let place = first_argument(bytes).map_or(0, hash);
                let connections = shared.effective.connections_per_shard() as u64;
                let shards = shared.threads.len() as u64;
                let (shard, entry) = (place % shards, (place / shards) % connections);
                (at(shard as usize, entry as u32, *lane), None)
            }
            Route::Floating { lane, choice, held } => {
                let (shard, entry) = held.enter(|| choice.choose(shared));
                let load = matches!(choice, Choice::LeastLoaded).then(|| {
                    shared.count_in(shard);
                    (shared.clone(), shard)
                });
                (at(shard, entry, *lane), Some(Stay { held: held.clone(), load }))
            }
        }
    }
}

impl Choice {
    fn choose(self, shared: &Shared) -> (usize, u32) {
        let connections = shared.effective.connections_per_shard();
        let turn = shared.turns.fetch_add(1, Ordering::Relaxed);
        let entry = u32::try_from(turn % connections).unwrap_or(0);
        (if let Choice::LeastLoaded = self { shared.least_loaded(turn) } else { shared.near_caller() }, entry)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.held.leave();
        if let Some((shared, shard)) = &self.load {
            shared.count_out(*shard);
        }
    }
}

impl Shared {
    /// The shard with the fewest calls of handles that go by it, and letters in its mailbox; of several, each in turn.
    fn least_loaded(&self, turn: usize) -> usize {
        let shards = self.threads.len();
        let load = |shard: &usize| {
            let counted = self.loads.get(*shard).map_or(0, |load| load.load(Ordering::Relaxed));
            counted + self.threads.mailbox(*shard).map_or(0, |mailbox| mailbox.len())
        };
        (0..shards).map(|index| (turn + index) % shards).min_by_key(load).unwrap_or(0)
    }

    /// The shard on the core that this runs on, or else the one that stands in for that core.
    fn near_caller(&self) -> usize {
        let core = current_core();
        let cores = self.effective.shard_cores();
        cores.iter().position(|of| *of == Some(core)).unwrap_or(core % cores.len().max(1))
    }

    fn count_in(&self, shard: usize) {
        if let Some(load) = self.loads.get(shard) {
            load.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_out(&self, shard: usize) {
        if let Some(load) = self.loads.get(shard) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Counters of open calls, one for each shard.
pub(super) fn loads(shards: usize) -> Box<[AtomicUsize]> {
    (0..shards).map(|_| AtomicUsize::new(0)).collect()
}

fn at(shard: usize, entry: u32, lane: Lane) -> Place {
    Place { shard, entry: EntryId(entry), lane }
}

#[expect(unsafe_code, reason = "a call of the C library that no crate here wraps")]
fn current_core() -> usize {
    // SAFETY: it takes no arguments and touches no memory of ours. Where it is not supported it returns -1.
    let core = unsafe { libc::sched_getcpu() };
    usize::try_from(core).unwrap_or(0)
}

/// The first argument of the first command that has one, of one or more that we have encoded ourselves.
fn first_argument(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (count, rest) = number(bytes, b'*')?;
        let (_name, rest) = bulk(rest)?;
        if count > 1 {
            return Some(bulk(rest)?.0);
        }
        bytes = rest;
    }
}

fn bulk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(bytes, b'$')?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some((content, rest.get(2..)?))
}

/// The number behind this mark, and what follows its line.
fn number(bytes: &[u8], mark: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[mark])?;
    let end = memchr::memchr(b'\r', rest)?;
    let (digits, rest) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest.get(2..)?))
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::cmd;

    #[test]
    fn the_first_argument_is_found_in_what_is_sent() {
        let encoded = |commands: &[crate::Cmd]| {
            let mut bytes = Vec::new();
            commands.iter().for_each(|command| command.encode(&mut bytes));
            bytes
        };
        let get = cmd("GET").arg("a\r\nb");
        assert_eq!(first_argument(&encoded(std::slice::from_ref(&get))), Some(b"a\r\nb".as_slice()));
        assert_eq!(first_argument(&encoded(&[cmd("MULTI"), get, cmd("EXEC")])), Some(b"a\r\nb".as_slice()));
        assert_eq!(first_argument(&encoded(&[cmd("PING")])), None);
        assert_eq!(first_argument(b"*2\r\n$3\r\nGET\r\n$9\r\nshort"), None);
    }

    #[test]
    fn a_floating_handle_stays_where_its_calls_are() {
        let held = Arc::new(Held::default());
        let enter = |place| {
            let found = held.enter(|| place);
            (found, Stay { held: held.clone(), load: None })
        };
        let (first, one) = enter((1023, 4095));
        let (second, two) = enter((1, 2));
        assert_eq!((first, second), ((1023, 4095), (1023, 4095)));
        drop(one);
        assert_eq!(enter((1, 2)).0, (1023, 4095));
        drop(two);
        assert_eq!(enter((1, 2)).0, (1, 2));
    }
}
