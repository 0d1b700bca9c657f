//! The mailbox between threads. The tests are small, so that a checker that tries many interleavings (`scripts/miri`) meets every
//! one of them. They are ordinary tests as well. `tests/loom` has models of the channel alone.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

use futures_lite::future::{block_on, poll_once};

use super::*;
use crate::driver::calls::Call;
use crate::driver::foreign::foreign_call;
use crate::driver::testing::in_all_orders;
use crate::proto::resp::Frame;

/// The smallest room in which two requests meet.
const ROOM: usize = 2;

type Receiver = Call;

/// A request with the number of its sender and its count, and the receiver of its answer.
fn request(sender: u8, count: u8) -> (Request, Receiver) {
    let (caller, receiver) = foreign_call();
    let bytes = vec![sender, count];
    (Request::Call { bytes, batch: None, entry: EntryId(0), handle: HandleId(0), caller }, receiver)
}

/// Waits for room. Gives the request back if the shard is gone.
fn send_when_there_is_room(mailbox: &Mailbox, request: Request) -> Result<(), Option<Request>> {
    let mut request = Some(request);
    match block_on(poll_fn(|context| mailbox.poll_send(&mut request, context))) {
        true => Ok(()),
        false => Err(request),
    }
}

/// Answers a request with its own number, and returns that number.
fn answer(request: Request) -> (u8, u8) {
    let Request::Call { bytes, caller, .. } = request else { panic!("only calls are sent") };
    caller.answer(Ok(number(bytes[0], bytes[1])));
    (bytes[0], bytes[1])
}

fn number(sender: u8, count: u8) -> Frame {
    Frame::Integer(i64::from(sender) << 8 | i64::from(count))
}

/// How a request ended.
#[derive(Debug, PartialEq)]
enum End {
    Answered,
    Unsent,
    GivenBack,
}

fn end(receiver: Receiver, sender: u8, count: u8) -> End {
    match block_on(poll_fn(|context| receiver.poll(context))).expect("every caller gets an answer") {
        Ok(frame) => {
            assert_eq!(frame, number(sender, count), "the answer to another request");
            End::Answered
        }
        Err(Failure::ShutDown(Outcome::Unsent)) => End::Unsent,
        Err(other) => panic!("{other:?}"),
    }
}

/// The counts of a sender's requests, in the order in which they were served.
fn of_sender(served: &[(u8, u8)], sender: u8) -> Vec<u8> {
    served.iter().filter(|(from, _)| *from == sender).map(|(_, count)| *count).collect()
}

fn serve_until_closed(mailbox: &Mailbox) -> Vec<(u8, u8)> {
    let mut served = Vec::new();
    while let Some(request) = block_on(mailbox.next()) {
        served.push(answer(request));
    }
    served
}

#[test]
fn no_request_is_lost_or_doubled_and_senders_keep_their_order() {
    const SENDERS: u8 = 3;
    const REQUESTS: u8 = 3;
    in_all_orders(|| {
        // There is not a place for the waker of every sender either.
        let mailbox = &Mailbox::with_room(ROOM, ROOM);
        let served = thread::scope(|scope| {
            let shard = scope.spawn(|| serve_until_closed(mailbox));
            let send_all = |sender| {
                move || {
                    let receivers: Vec<Receiver> = (0..REQUESTS)
                        .map(|count| {
                            let (request, receiver) = request(sender, count);
                            assert!(send_when_there_is_room(mailbox, request).is_ok(), "it is open");
                            receiver
                        })
                        .collect();
                    for (count, receiver) in (0..).zip(receivers) {
                        assert_eq!(end(receiver, sender, count), End::Answered);
                    }
                }
            };
            let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(send_all(sender))).collect();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            mailbox.close();
            shard.join().unwrap()
        });
        for sender in 0..SENDERS {
            assert_eq!(of_sender(&served, sender), Vec::from_iter(0..REQUESTS));
        }
    });
}

/// No other request comes that could wake either of them by chance.
#[test]
fn lone_request_wakes_a_shard_that_waits() {
    in_all_orders(|| {
        let mailbox = &Mailbox::with_room(ROOM, ROOM);
        thread::scope(|scope| {
            let shard = scope.spawn(|| serve_until_closed(mailbox));
            for count in 0..3 {
                let (request, receiver) = request(0, count);
                assert!(mailbox.send(request).is_ok(), "there is room");
                assert_eq!(end(receiver, 0, count), End::Answered);
            }
            mailbox.close();
            assert_eq!(shard.join().unwrap(), [(0, 0), (0, 1), (0, 2)]);
        });
    });
}

/// The shard takes requests until there are none, and then waits. No other sender comes that could wake either.
#[test]
fn sender_that_waits_is_woken_when_there_is_room() {
    const REQUESTS: u8 = 6;
    in_all_orders(|| {
        let mailbox = &Mailbox::with_room(ROOM, 2 * ROOM);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for count in 0..REQUESTS {
                    assert!(send_when_there_is_room(mailbox, request(0, count).0).is_ok(), "it is open");
                }
            });
            let shard = scope.spawn(|| serve_until_closed(mailbox));
            sender.join().unwrap();
            mailbox.close();
            assert_eq!(shard.join().unwrap(), Vec::from_iter((0..REQUESTS).map(|count| (0, count))));
        });
    });
}

#[test]
fn requests_before_the_close_are_served_and_later_ones_returned() {
    in_all_orders(|| {
        let mailbox = &Mailbox::with_room(8, ROOM);
        thread::scope(|scope| {
            let shard = scope.spawn(|| serve_until_closed(mailbox));
            let sender = scope.spawn(|| {
                (0..4).filter(|count| mailbox.send(request(0, *count).0).is_ok()).collect::<Vec<u8>>()
            });
            mailbox.close();
            assert_eq!(of_sender(&shard.join().unwrap(), 0), sender.join().unwrap());
        });
    });
}

#[test]
fn abandoned_requests_are_refused_and_no_sender_waits() {
    const SENDERS: u8 = 3;
    in_all_orders(|| {
        let mailbox = &Mailbox::with_room(ROOM, ROOM);
        let (served, ends) = thread::scope(|scope| {
            let shard = scope.spawn(|| {
                let first = block_on(mailbox.next()).map(answer);
                mailbox.abandon();
                assert!(block_on(mailbox.next()).is_none(), "there is nothing left");
                // The thread that serves it ends.
                mailbox.abandon();
                first
            });
            let send_both = |sender| {
                move || {
                    [0, 1].map(|count| {
                        let (request, receiver) = request(sender, count);
                        let (entered, back) = match send_when_there_is_room(mailbox, request) {
                            Ok(()) => (true, None),
                            Err(back) => (false, back),
                        };
                        assert_ne!(entered, back.is_some(), "it is either in, or returned");
                        if entered { end(receiver, sender, count) } else { End::GivenBack }
                    })
                }
            };
            let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(send_both(sender))).collect();
            let ends: Vec<End> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
            (shard.join().unwrap(), ends)
        });
        let answered = ends.iter().filter(|end| **end == End::Answered).count();
        assert_eq!((answered, served.is_some()), (1, true), "{ends:?}");
    });
}

/// A caller may leave while its answer comes. Either may be first, and no other answer is affected.
#[test]
fn callers_that_leave_affect_no_other_caller() {
    in_all_orders(|| {
        let mailbox = &Mailbox::with_room(ROOM, ROOM);
        thread::scope(|scope| {
            let shard = scope.spawn(|| serve_until_closed(mailbox));
            let (leaves, left) = request(0, 0);
            let (stays, stayed) = request(0, 1);
            assert!(mailbox.send(leaves).is_ok() && mailbox.send(stays).is_ok());
            let _ = block_on(poll_once(poll_fn(|context| left.poll(context))));
            drop(left);
            assert_eq!(end(stayed, 0, 1), End::Answered);
            mailbox.close();
            assert_eq!(shard.join().unwrap(), [(0, 0), (0, 1)]);
        });
    });
}

/// Asks for room again as soon as it is woken, as a sender on another core may while the shard still wakes others.
struct Insistent {
    mailbox: Arc<Mailbox>,
    woken: AtomicUsize,
}

impl Wake for Insistent {
    fn wake(self: Arc<Self>) {
        if self.woken.fetch_add(1, Ordering::Relaxed) > 100 {
            // Stop, so that the test fails instead of running forever.
            return;
        }
        let waker = Waker::from(self.clone());
        let _ = self.mailbox.poll_send(&mut Some(request(1, 0).0), &Context::from_waker(&waker));
    }
}

#[test]
fn waking_senders_ends_although_they_wait_again_at_once() {
    let mailbox = Arc::new(Mailbox::with_room(ROOM, ROOM));
    for count in 0..ROOM as u8 {
        assert!(mailbox.send(request(0, count).0).is_ok());
    }
    let insistent = Arc::new(Insistent { mailbox: mailbox.clone(), woken: AtomicUsize::new(0) });
    let waker = Waker::from(insistent.clone());
    let mut waiting = Some(request(1, 0).0);
    assert!(mailbox.poll_send(&mut waiting, &Context::from_waker(&waker)).is_pending());
    mailbox.wake_senders();
    assert_eq!(insistent.woken.load(Ordering::Relaxed), 1);
    // The waker holds the mailbox, which holds the waker.
    mailbox.abandon();
}
