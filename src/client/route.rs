//! [`Route`]: which shard, and which of its connections, a call on a handle goes to.
//!
//! A handle's commands reach the server in the order of the calls. So a handle that may choose anew does that only
//! while none of its calls is open.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Shared;
use super::held::Held;
use crate::proto::connection::HandleId;
use crate::proto::pool::EntryId;

/// One connection of one shard, and the handle's id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: usize,
    pub(super) entry: EntryId,
    pub(super) handle: HandleId,
}

/// How a handle finds the place for a call.
pub(super) enum Route {
    /// The same one, always.
    Bound(Place),
    /// By the first argument: one key, one place.
    ByKey { handle: HandleId },
    /// Another one whenever no call is open.
    Floating { handle: HandleId, choice: Choice, held: Arc<Held> },
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
            Route::ByKey { handle } => {
                let place = first_argument(bytes).map_or(0, hash);
                let connections = shared.config.connections_per_shard() as u64;
                let shards = shared.threads.len() as u64;
                let (shard, entry) = (place % shards, (place / shards) % connections);
                (at(shard as usize, entry as u32, *handle), None)
            }
            Route::Floating { handle, choice, held } => {
                let (shard, entry) = held.enter(|| choice.choose(shared));
                let load = matches!(choice, Choice::LeastLoaded).then(|| {
                    shared.count_in(shard);
                    (shared.clone(), shard)
                });
                (at(shard, entry, *handle), Some(Stay { held: held.clone(), load }))
            }
        }
    }
}

impl Choice {
    fn choose(self, shared: &Shared) -> (usize, u32) {
        let connections = shared.config.connections_per_shard();
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
        stand_in(current_core(), self.config.shard_cores())
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

/// The shard that is pinned to this core, or one for it that is always the same.
fn stand_in(core: usize, pinned_to: &[Option<usize>]) -> usize {
    pinned_to.iter().position(|of| *of == Some(core)).unwrap_or(core % pinned_to.len().max(1))
}

fn at(shard: usize, entry: u32, handle: HandleId) -> Place {
    Place { shard, entry: EntryId(entry), handle }
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
    use std::collections::{BTreeMap, BTreeSet};

    use futures_lite::future::{block_on, poll_once};

    use super::super::Client;
    use super::super::threads::Threads;
    use super::*;
    use crate::command::cmd;
    use crate::config::Config;
    use crate::proto::error::Failure;
    use crate::proto::resp::Frame;
    use crate::shard::mailbox::{Letter, Mailbox};

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

    const SHARDS: usize = 4;
    const CONNECTIONS: usize = 4;

    /// A client without shard threads, and the mailboxes that they would serve.
    fn client() -> (Client, Vec<Arc<Mailbox>>) {
        let mailboxes: Vec<_> = (0..SHARDS).map(|_| Arc::new(Mailbox::new())).collect();
        let config = Config::from_url("redis://127.0.0.1:1").unwrap();
        let config = config.shards(SHARDS).connections_per_shard(CONNECTIONS);
        let threads = Threads::of(mailboxes.clone());
        let shared = Arc::new(Shared::new(threads, config.validate().unwrap()));
        (Client::bound(shared), mailboxes)
    }

    /// The calls that wait in all mailboxes, each with where it was sent.
    fn received(mailboxes: &[Arc<Mailbox>]) -> Vec<(usize, EntryId, Letter)> {
        let mut received = Vec::new();
        for (shard, mailbox) in mailboxes.iter().enumerate() {
            while let Some(Some(letter)) = block_on(poll_once(mailbox.next())) {
                if let Letter::Call { entry, .. } = letter {
                    received.push((shard, entry, letter));
                }
            }
        }
        received
    }

    fn answer((_, _, letter): (usize, EntryId, Letter), answer: std::result::Result<Frame, Failure>) {
        if let Letter::Call { caller, .. } = letter {
            caller.answer(answer);
        }
    }

    fn place(client: &Client, key: &str) -> (usize, u32) {
        let mut bytes = Vec::new();
        cmd("GET").arg(key).encode(&mut bytes);
        let Place { shard, entry, .. } = client.route.place(&client.shared, &bytes).0;
        (shard, entry.0)
    }

    #[test]
    fn keys_are_spread_over_shards_and_their_connections() {
        let (client, _) = client();
        let (one, other) = (client.by_key(), client.by_key());
        let mut counts = BTreeMap::new();
        for number in 0..16_000 {
            let key = format!("key:{number}");
            let found = place(&one, &key);
            assert_eq!(place(&other, &key), found, "one key, one place, whoever asks");
            *counts.entry(found).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), SHARDS * CONNECTIONS, "{counts:?}");
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn clones_take_all_connections_of_all_shards_in_turn() {
        let (client, _) = client();
        let clones: Vec<_> = (0..SHARDS * CONNECTIONS).map(|_| client.clone()).collect();
        let places: BTreeSet<_> = clones.iter().map(|clone| place(clone, "any")).collect();
        assert_eq!(places.len(), SHARDS * CONNECTIONS);
        let handles = clones.iter().map(|clone| clone.route.place(&clone.shared, b"").0.handle.0);
        assert_eq!(handles.collect::<BTreeSet<_>>().len(), clones.len());
    }

    #[test]
    fn floating_handle_is_held_until_its_last_reply() {
        let (client, mailboxes) = client();
        for handle in [client.least_loaded(), client.on_callers_core()] {
            let mut first = handle.incr("a");
            let mut second = handle.incr("b");
            let mut calls = received(&mailboxes);
            let held: Vec<_> = calls.iter().map(|(shard, entry, _)| (*shard, *entry)).collect();
            assert_eq!(held[0], held[1], "its calls keep their order");
            answer(calls.remove(0), Ok(Frame::Integer(1)));
            assert_eq!(block_on(&mut first).unwrap(), 1);
            let third = handle.incr("c");
            let mut later = received(&mailboxes);
            assert_eq!((later[0].0, later[0].1), held[0], "one of them is still open");
            drop(third);
            answer(later.remove(0), Ok(Frame::Integer(3)));
            answer(calls.remove(0), Ok(Frame::Integer(2)));
            assert_eq!(block_on(&mut second).unwrap(), 2);
            let _fourth = handle.incr("d");
            let free = received(&mailboxes);
            assert_ne!(free[0].1, held[0].1, "it takes its turn again, though they are kept");
        }
    }

    #[test]
    fn clone_of_a_floating_handle_floats_by_itself() {
        let (client, mailboxes) = client();
        let handle = client.least_loaded();
        let clone = handle.clone();
        let _calls = [handle.incr("a"), clone.incr("b")];
        let calls = received(&mailboxes);
        assert_ne!((calls[0].0, calls[0].1), (calls[1].0, calls[1].1));
    }

    /// Whatever becomes of a call, its shard is not taken for busy because of it.
    #[test]
    fn loads_are_given_back_however_calls_end() {
        let (client, mailboxes) = client();
        let loads =
            || client.shared.loads.iter().map(|load| load.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let handles: Vec<_> = (0..SHARDS).map(|_| client.least_loaded()).collect();
        let mut replies: Vec<_> = handles.iter().map(|handle| handle.incr("a")).collect();
        assert_eq!(loads(), [1; SHARDS], "each takes another one");
        let mut calls = received(&mailboxes);
        // One is answered, one fails, the shard of one ends, and the caller of one leaves.
        answer(calls.remove(0), Ok(Frame::Integer(1)));
        answer(calls.remove(0), Err(Failure::Overloaded));
        drop(calls);
        drop(replies.pop());
        for reply in replies {
            let _ = block_on(reply);
        }
        assert_eq!(loads(), [0; SHARDS]);
        let closed = client.least_loaded();
        mailboxes.iter().for_each(|mailbox| mailbox.close());
        assert!(block_on(closed.incr("a")).is_err());
        assert_eq!(loads(), [0; SHARDS]);
    }

    #[test]
    fn least_loaded_counts_what_waits_in_mailboxes() {
        let (client, mailboxes) = client();
        let bound: Vec<_> = (0..SHARDS).map(|_| client.clone()).collect();
        let busy: Vec<_> = bound.iter().filter(|clone| place(clone, "").0 != 2).collect();
        let _calls: Vec<_> = busy.iter().map(|clone| clone.incr("a")).collect();
        for _ in 0..3 {
            assert_eq!(place(&client.least_loaded(), "a").0, 2);
        }
        received(&mailboxes);
        let chosen: BTreeSet<_> = (0..SHARDS).map(|_| place(&client.least_loaded(), "a").0).collect();
        assert_eq!(chosen.len(), SHARDS, "of several each in turn");
    }

    #[test]
    fn callers_core_has_its_shard_or_always_the_same_stand_in() {
        let pinned = [Some(6), None, Some(4)];
        assert_eq!([6, 4].map(|core| stand_in(core, &pinned)), [0, 2]);
        assert_eq!([0, 1, 2, 7].map(|core| stand_in(core, &pinned)), [0, 1, 2, 1]);
        assert_eq!(stand_in(3, &[]), 0);
    }

    /// Letters wait behind a mark that the last of them takes away.
    #[test]
    fn handle_that_had_to_wait_goes_the_short_way_again() {
        let mailboxes = [Arc::new(Mailbox::with_room(1, 4))];
        let config = Config::from_url("redis://127.0.0.1:1").unwrap().shards(1);
        let threads = Threads::of(mailboxes.to_vec());
        let client = Client::bound(Arc::new(Shared::new(threads, config.validate().unwrap())));
        let mut waiting: Vec<_> = (0..3).map(|_| client.incr("a")).collect();
        let mut taken = received(&mailboxes);
        // There is room, but two stand before it.
        waiting.push(client.incr("a"));
        assert!(received(&mailboxes).is_empty());
        for count in 2..=4 {
            for reply in &mut waiting {
                assert!(block_on(poll_once(reply)).is_none());
            }
            taken.extend(received(&mailboxes));
            assert_eq!(taken.len(), count);
        }
        for reply in &mut waiting {
            let _ = block_on(poll_once(reply));
        }
        // No caller polls this one: it is in the mailbox all the same.
        let _direct = client.incr("b");
        assert_eq!(received(&mailboxes).len(), 1);
    }
}
