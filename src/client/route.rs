//! [`Route`]: which shard, and which of its connections, a call on a handle goes to.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::state::{ClientState, HandleState};
use super::sticky::StickyRoute;
use crate::proto::connection::HandleId;
use crate::proto::pool::EntryId;

/// One connection of one shard, and the ordering key of the handle there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) shard: usize,
    pub(super) entry: EntryId,
    pub(super) handle: HandleId,
}

/// How a handle finds the destination of a call.
///
/// Commands of one handle reach the server in the order of the calls. So a handle that may choose its destination does that only
/// while none of its calls is open: a [`RouteGuard`] for each open call keeps the [`StickyRoute`] where it is.
pub(super) enum Route {
    /// Always to the same destination.
    Bound(Destination),
    /// By the first argument: one key, one destination.
    ByKey { handle: HandleId },
    /// To a destination that the policy chooses whenever no call is open.
    Floating { handle: HandleId, policy: RoutePolicy, sticky: Arc<StickyRoute> },
}

/// How a floating handle chooses.
#[derive(Clone, Copy)]
pub(super) enum RoutePolicy {
    LeastLoaded,
    CallersCore,
}

/// An open call of a floating handle. Dropping it lets the handle choose again, if it is the last one.
pub(super) struct RouteGuard {
    sticky: Arc<StickyRoute>,
    load: Option<(Arc<ClientState>, usize)>,
}

impl Route {
    /// The destination of a call that is encoded as `bytes`, and what keeps later calls from going elsewhere.
    pub(super) fn destination(
        &self,
        shared: &HandleState,
        bytes: &[u8],
    ) -> (Destination, Option<RouteGuard>) {
        match self {
            Route::Bound(destination) => (*destination, None),
            Route::ByKey { handle } => {
                let hash = first_argument(bytes).map_or(0, hash);
                let connections = shared.config.connections_per_shard() as u64;
                let shards = shared.backend.shards() as u64;
                let (shard, entry) = (hash % shards, (hash / shards) % connections);
                (at(shard as usize, entry as u32, *handle), None)
            }
            Route::Floating { handle, policy, sticky } => {
                let (shard, entry) = sticky.enter(|| policy.choose(shared));
                let load = matches!(policy, RoutePolicy::LeastLoaded).then(|| {
                    shared.count_in(shard);
                    (shared.client(), shard)
                });
                (at(shard, entry, *handle), Some(RouteGuard { sticky: sticky.clone(), load }))
            }
        }
    }
}

#[cfg(feature = "tokio")]
impl Route {
    /// The destination of a call, if that does not depend on its bytes.
    #[inline]
    pub(super) fn destination_of_any(
        &self,
        shared: &HandleState,
    ) -> Option<(Destination, Option<RouteGuard>)> {
        match self {
            Route::Bound(destination) => Some((*destination, None)),
            Route::ByKey { .. } => None,
            Route::Floating { .. } => Some(self.destination(shared, &[])),
        }
    }
}

impl RoutePolicy {
    fn choose(self, shared: &ClientState) -> (usize, u32) {
        let connections = shared.config.connections_per_shard();
        let turn = shared.next_turn();
        let entry = u32::try_from(turn % connections).unwrap_or(0);
        let shard = match self {
            RoutePolicy::LeastLoaded => least_loaded(shared, turn),
            RoutePolicy::CallersCore => stand_in(current_core(), shared.config.shard_cores()),
        };
        (shard, entry)
    }
}

impl Drop for RouteGuard {
    fn drop(&mut self) {
        self.sticky.leave();
        if let Some((shared, shard)) = &self.load {
            shared.count_out(*shard);
        }
    }
}

/// The shard with the fewest calls of handles with this policy, and requests in its mailbox. Equal shards take turns.
fn least_loaded(shared: &ClientState, turn: usize) -> usize {
    let shards = shared.backend.shards();
    let load = |shard: &usize| shared.load(*shard) + shared.backend.depth(*shard);
    (0..shards).map(|index| (turn + index) % shards).min_by_key(load).unwrap_or(0)
}

/// The shard that is pinned to this core. A core without a shard always gets the same one.
fn stand_in(core: usize, pinned_to: &[Option<usize>]) -> usize {
    pinned_to.iter().position(|of| *of == Some(core)).unwrap_or(core % pinned_to.len().max(1))
}

fn at(shard: usize, entry: u32, handle: HandleId) -> Destination {
    Destination { shard, entry: EntryId(entry), handle }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a call of the C library that no crate here wraps")]
fn current_core() -> usize {
    // SAFETY: it takes no arguments and touches no memory of ours. It returns -1 where it is not supported.
    let core = unsafe { libc::sched_getcpu() };
    usize::try_from(core).unwrap_or(0)
}

/// Other systems do not say.
#[cfg(not(target_os = "linux"))]
fn current_core() -> usize {
    0
}

/// The first argument of the first command that has one. The bytes are those of commands that this crate has encoded.
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

/// The number behind this mark, and the bytes behind its line.
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

// The tests serve the mailboxes of shards that have threads.
#[cfg(all(test, feature = "glommio"))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use futures_lite::future::{block_on, poll_once};

    use super::super::Client;
    use super::super::backend::Backend;
    use super::super::threads::Threads;
    use super::*;
    use crate::command::cmd;
    use crate::config::Config;
    use crate::proto::error::Failure;
    use crate::proto::resp::Frame;
    use crate::shard::mailbox::{Mailbox, Request};

    #[test]
    fn first_argument_is_found_in_encoded_commands() {
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
    fn floating_handle_stays_where_its_calls_are() {
        let sticky = Arc::new(StickyRoute::default());
        let enter = |place| {
            let found = sticky.enter(|| place);
            (found, RouteGuard { sticky: sticky.clone(), load: None })
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
        let threads = Backend::Threads(Threads::of(mailboxes.clone()));
        let shared = Arc::new(ClientState::new(threads, config.validate().unwrap()));
        (Client::bound(shared), mailboxes)
    }

    /// The calls that wait in all mailboxes, each with where it was sent.
    fn received(mailboxes: &[Arc<Mailbox>]) -> Vec<(usize, EntryId, Request)> {
        let mut received = Vec::new();
        for (shard, mailbox) in mailboxes.iter().enumerate() {
            while let Some(Some(request)) = block_on(poll_once(mailbox.next())) {
                if let Request::Call { entry, .. } = request {
                    received.push((shard, entry, request));
                }
            }
        }
        received
    }

    fn answer((_, _, request): (usize, EntryId, Request), answer: std::result::Result<Frame, Failure>) {
        if let Request::Call { caller, .. } = request {
            caller.answer(answer);
        }
    }

    fn place(client: &Client, key: &str) -> (usize, u32) {
        let mut bytes = Vec::new();
        cmd("GET").arg(key).encode(&mut bytes);
        let Destination { shard, entry, .. } = client.route.destination(&client.shared, &bytes).0;
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
            assert_eq!(place(&other, &key), found, "one key, one destination, with any such handle");
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
        let handles = clones.iter().map(|clone| clone.route.destination(&clone.shared, b"").0.handle.0);
        assert_eq!(handles.collect::<BTreeSet<_>>().len(), clones.len());
    }

    #[test]
    fn floating_handle_is_held_until_its_last_reply() {
        let (client, mailboxes) = client();
        for handle in [client.least_loaded(), client.on_callers_core()] {
            let mut first = handle.incr("a");
            let mut second = handle.incr("b");
            let mut calls = received(&mailboxes);
            let places: Vec<_> = calls.iter().map(|(shard, entry, _)| (*shard, *entry)).collect();
            assert_eq!(places[0], places[1], "its calls keep their order");
            answer(calls.remove(0), Ok(Frame::Integer(1)));
            assert_eq!(block_on(&mut first).unwrap(), 1);
            let third = handle.incr("c");
            let mut later = received(&mailboxes);
            assert_eq!((later[0].0, later[0].1), places[0], "one of them is still open");
            drop(third);
            answer(later.remove(0), Ok(Frame::Integer(3)));
            answer(calls.remove(0), Ok(Frame::Integer(2)));
            assert_eq!(block_on(&mut second).unwrap(), 2);
            let _fourth = handle.incr("d");
            let free = received(&mailboxes);
            assert_ne!(free[0].1, places[0].1, "it chooses again, although the replies are kept");
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

    /// Every end of a call lowers the load of its shard.
    #[test]
    fn loads_are_given_back_however_calls_end() {
        let (client, mailboxes) = client();
        let loads = || (0..SHARDS).map(|shard| client.shared.load(shard)).collect::<Vec<_>>();
        let handles: Vec<_> = (0..SHARDS).map(|_| client.least_loaded()).collect();
        let mut replies: Vec<_> = handles.iter().map(|handle| handle.incr("a")).collect();
        assert_eq!(loads(), [1; SHARDS], "each chooses another shard");
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

    /// Calls wait behind a mark that the last of them takes away.
    #[test]
    fn handle_that_had_to_wait_sends_directly_again() {
        let mailboxes = [Arc::new(Mailbox::with_room(1, 4))];
        let config = Config::from_url("redis://127.0.0.1:1").unwrap().shards(1);
        let threads = Backend::Threads(Threads::of(mailboxes.to_vec()));
        let client = Client::bound(Arc::new(ClientState::new(threads, config.validate().unwrap())));
        let mut waiting: Vec<_> = (0..3).map(|_| client.incr("a")).collect();
        let mut taken = received(&mailboxes);
        // There is room, but two calls wait before it.
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
        // No caller polls this call, and it is in the mailbox all the same.
        let _direct = client.incr("b");
        assert_eq!(received(&mailboxes).len(), 1);
    }
}
