//! A handle's promises: its calls keep their order and their place, however many threads they are awaited on.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::thread::{self, JoinHandle};

use super::held::Held;
use super::overflow::{Overflow, Sent, WaitingRoom};
use super::threads::Threads;
use crate::orders::{block_on, in_every_order};
use crate::shard::mailbox::{Letter, Mailbox, Numbers};

/// One handle, and the only shard there is, with room for one letter.
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
        let letter = Letter { number, is_unwanted, refused: self.refused.clone() };
        self.overflow.send(&self.threads, 0, letter)
    }

    /// As whoever awaits a reply does.
    fn flush(&self) {
        block_on(poll_fn(|context| self.overflow.poll_flush(&self.threads, context)));
    }

    /// The same; the last of two closes the mailbox.
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
fn a_handles_calls_keep_their_order_whoever_sends_what_waits() {
    in_every_order(2, || {
        let world = World::new();
        assert_eq!((world.send(0, false), world.send(1, false)), (Sent::InTheMailbox, Sent::Waiting));
        let awaiter = world.spawn(World::flush_and_close);
        let caller = world.spawn(|world| {
            assert_ne!(world.send(2, false), Sent::Gone);
            world.flush_and_close();
        });
        let letters = std::iter::from_fn(|| block_on(world.mailbox().next()));
        let numbers: Vec<u8> = letters.map(|letter| letter.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        awaiter.join().unwrap();
        caller.join().unwrap();
    });
}

#[test]
fn what_nobody_wants_any_more_is_not_sent() {
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

/// The caller of what waits leaves while another call is made.
#[test]
fn what_was_left_makes_room_for_later_calls() {
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

/// The shard ends while two threads wait for it to take what waits.
#[test]
fn every_call_is_told_of_a_shard_that_is_gone() {
    in_every_order(2, || {
        let world = World::new();
        assert_eq!((world.send(0, false), world.send(1, false)), (Sent::InTheMailbox, Sent::Waiting));
        let awaiter = world.spawn(World::flush);
        let caller = world.spawn(|world| match world.send(2, false) {
            Sent::Gone => world.refused.lock().unwrap().push(2),
            _ => world.flush(),
        });
        let first = block_on(world.mailbox().next()).unwrap().number;
        world.mailbox().abandon_with(Letter::refuse);
        awaiter.join().unwrap();
        caller.join().unwrap();
        let mut told = world.refused.lock().unwrap().clone();
        told.sort_unstable();
        assert_eq!((first, told), (0, vec![1, 2]));
    });
}

/// Calls that are open at the same time are at one place, and the next one after all of them is wherever it likes.
#[test]
fn open_calls_are_at_one_place() {
    const THREADS: u8 = 2;
    const CALLS: u8 = 2;
    in_every_order(8, || {
        let held = Arc::new(Held::default());
        // Of the calls that have entered, and not begun to leave.
        let open = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..THREADS)
            .map(|caller| {
                let (held, open) = (held.clone(), open.clone());
                thread::spawn(move || {
                    for call in 0..CALLS {
                        let wish = (usize::from(caller), u32::from(call));
                        let place = held.enter(|| wish);
                        let mut calls = open.lock().unwrap();
                        calls.push(place);
                        assert!(calls.iter().all(|other| *other == place), "{calls:?}");
                        drop(calls);
                        // Others have a turn while it is open.
                        thread::yield_now();
                        open.lock().unwrap().pop();
                        held.leave();
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(held.enter(|| (1023, 4095)), (1023, 4095), "none is open");
    });
}
