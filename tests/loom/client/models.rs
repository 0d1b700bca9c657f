//! What a handle guarantees: its calls keep their order and their place, on however many threads they are awaited.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread::{self, JoinHandle};

use super::sticky::StickyRoute;
use super::overflow::{Overflow, Sent, WaitingRoom};
use super::threads::Threads;
use crate::orders::{block_on, in_every_order};
use crate::shard::mailbox::{Mailbox, Numbers, Request};

/// One handle, and the only shard there is, with room for one request.
struct World {
    overflow: Overflow,
    threads: Threads,
    refused: Numbers,
    /// How many threads have yet to send all that waits.
    flushing: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        let threads = Threads(vec![Mailbox::with_room(1, 8)]);
        let room = std::sync::Arc::new(WaitingRoom::new(8));
        let (overflow, refused) = (Overflow::new(room), Numbers::default());
        Arc::new(World { overflow, threads, refused, flushing: AtomicUsize::new(2) })
    }

    fn mailbox(&self) -> &Mailbox {
        self.threads.mailbox(0).unwrap()
    }

    fn send(&self, number: u8, is_unwanted: bool) -> Sent {
        let request = Request { number, is_unwanted, refused: self.refused.clone() };
        self.overflow.send(&self.threads, 0, request)
    }

    /// Does what the caller that awaits a reply does.
    fn flush(&self) {
        block_on(poll_fn(|context| self.overflow.poll_flush(&self.threads, context)));
    }

    /// The same; the second of two closes the mailbox.
    fn flush_and_close(&self) {
        self.flush();
        if self.flushing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.mailbox().close();
        }
    }

    fn spawn(self: &Arc<Self>, run: impl FnOnce(&World) + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || run(&world))
    }
}

/// The first reply is awaited on another thread, which sends what waits while its caller goes on to call.
#[test]
fn calls_of_a_handle_keep_their_order_on_any_thread() {
    in_every_order(2, || {
        let world = World::new();
        assert_eq!((world.send(0, false), world.send(1, false)), (Sent::InTheMailbox, Sent::Waiting));
        let awaiter = world.spawn(World::flush_and_close);
        let caller = world.spawn(|world| {
            assert_ne!(world.send(2, false), Sent::Gone);
            world.flush_and_close();
        });
        let requests = std::iter::from_fn(|| block_on(world.mailbox().next()));
        let numbers: Vec<u8> = requests.map(|request| request.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        awaiter.join().unwrap();
        caller.join().unwrap();
    });
}

#[test]
fn unwanted_requests_are_not_sent() {
    in_every_order(4, || {
        let world = World::new();
        let sent = [(0, false), (1, true), (2, false)].map(|(number, left)| world.send(number, left));
        assert_eq!(sent, [Sent::InTheMailbox, Sent::Waiting, Sent::Waiting]);
        let awaiter = world.spawn(World::flush);
        let numbers = [(); 2].map(|()| block_on(world.mailbox().next()).unwrap().number);
        assert_eq!(numbers, [0, 2]);
        awaiter.join().unwrap();
    });
}

/// The caller of a request that waits leaves while another call is made.
#[test]
fn dropped_calls_make_room_for_later_ones() {
    in_every_order(4, || {
        let world = World::new();
        assert_eq!((world.send(0, false), world.send(1, true)), (Sent::InTheMailbox, Sent::Waiting));
        let leaver = world.spawn(|world| world.overflow.trim());
        assert_ne!(world.send(2, false), Sent::Refused);
        assert_eq!(block_on(world.mailbox().next()).unwrap().number, 0);
        world.flush();
        assert_eq!(block_on(world.mailbox().next()).unwrap().number, 2);
        leaver.join().unwrap();
    });
}

/// The shard ends while two threads wait for room in its mailbox.
#[test]
fn every_call_fails_when_its_shard_is_gone() {
    in_every_order(2, || {
        let world = World::new();
        assert_eq!((world.send(0, false), world.send(1, false)), (Sent::InTheMailbox, Sent::Waiting));
        let awaiter = world.spawn(World::flush);
        let caller = world.spawn(|world| match world.send(2, false) {
            Sent::Gone => world.refused.lock().unwrap().push(2),
            _ => world.flush(),
        });
        let first = block_on(world.mailbox().next()).unwrap().number;
        world.mailbox().abandon_with(Request::refuse);
        awaiter.join().unwrap();
        caller.join().unwrap();
        let mut refused = world.refused.lock().unwrap().clone();
        refused.sort_unstable();
        assert_eq!((first, refused), (0, vec![1, 2]));
    });
}

/// Calls that are open at the same time are at one place, and the next one after all of them chooses again.
#[test]
fn open_calls_are_at_one_place() {
    const THREADS: u8 = 2;
    const CALLS: u8 = 2;
    in_every_order(8, || {
        let route = Arc::new(StickyRoute::default());
        // The places of the calls that have entered, and not begun to leave.
        let open = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..THREADS)
            .map(|caller| {
                let (route, open) = (route.clone(), open.clone());
                thread::spawn(move || {
                    for call in 0..CALLS {
                        let wish = (usize::from(caller), u32::from(call));
                        let place = route.enter(|| wish);
                        let mut calls = open.lock().unwrap();
                        calls.push(place);
                        assert!(calls.iter().all(|other| *other == place), "{calls:?}");
                        drop(calls);
                        // Other threads have a turn while it is open.
                        thread::yield_now();
                        open.lock().unwrap().pop();
                        route.leave();
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(route.enter(|| (1023, 4095)), (1023, 4095), "none is open");
    });
}
