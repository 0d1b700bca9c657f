//! What the channel guarantees: no item is lost or doubled, each sender keeps its order, and no thread waits forever.

use std::future::poll_fn;
use std::sync::Arc;

use concurrent_queue::PushError;
use loom::thread::{self, JoinHandle};

use super::channel::Channel;
use super::foreign::foreign_call;
use crate::orders::{Parked, block_on, in_every_order};

/// A sender's number, and its count.
type Item = (u8, u8);

/// Waits for room. Returns the item if the channel is closed.
fn send_when_there_is_room(channel: &Channel<Item>, item: Item) -> Result<(), Item> {
    let mut item = Some(item);
    let is_in = block_on(poll_fn(|context| channel.poll_send(&mut item, context)));
    match item {
        None if is_in => Ok(()),
        Some(back) if !is_in => {
            let again = channel.send(back);
            assert!(matches!(again, Err(PushError::Closed(_))), "the channel is closed: {again:?}");
            Err(back)
        }
        _ => panic!("it is either in, or returned"),
    }
}

fn spawn<T: 'static>(
    channel: &Arc<Channel<Item>>,
    run: impl FnOnce(&Channel<Item>) -> T + 'static,
) -> JoinHandle<T> {
    let channel = channel.clone();
    thread::spawn(move || run(&channel))
}

/// A thread that sends so many items, and returns those that the channel rejected.
fn sender(channel: &Arc<Channel<Item>>, number: u8, items: u8) -> JoinHandle<Vec<Item>> {
    spawn(channel, move |channel| {
        (0..items).filter_map(|count| send_when_there_is_room(channel, (number, count)).err()).collect()
    })
}

fn receive_until_closed(channel: &Channel<Item>) -> Vec<Item> {
    std::iter::from_fn(|| block_on(channel.next())).collect()
}

fn assert_all_of(mut items: Vec<Item>, senders: u8, each: u8) {
    let of = |number: u8| items.iter().filter(move |(of, _)| *of == number).map(|(_, count)| *count);
    for number in 0..senders {
        assert!(of(number).is_sorted(), "a sender's order: {items:?}");
    }
    items.sort_unstable();
    let all: Vec<Item> =
        (0..senders).flat_map(|number| (0..each).map(move |count| (number, count))).collect();
    assert_eq!(items, all, "nothing is lost or doubled");
}

/// No other item comes that could wake it by chance.
#[test]
fn lone_item_wakes_a_receiver_that_waits() {
    in_every_order(8, || {
        let channel = Arc::new(Channel::with_room(1, 1));
        let sender = spawn(&channel, |channel| channel.send((0, 0)).is_ok());
        assert_eq!(block_on(channel.next()), Some((0, 0)));
        assert!(sender.join().unwrap());
    });
}

/// The receiver takes items until there are none, and then waits. No other sender comes that could wake either.
#[test]
fn sender_that_waits_is_woken_when_there_is_room() {
    in_every_order(3, || {
        let channel = Arc::new(Channel::with_room(1, 4));
        let sender = sender(&channel, 0, 3);
        let items = (0..3).map(|_| block_on(channel.next()).unwrap()).collect();
        assert_all_of(items, 1, 3);
        assert_eq!(sender.join().unwrap(), []);
    });
}

#[test]
fn no_item_is_lost_or_doubled_and_senders_keep_their_order() {
    in_every_order(1, || {
        let channel = Arc::new(Channel::with_room(1, 4));
        let senders = [0, 1].map(|number| sender(&channel, number, 2));
        let items = (0..4).map(|_| block_on(channel.next()).unwrap()).collect();
        assert_all_of(items, 2, 2);
        assert!(senders.into_iter().all(|sender| sender.join().unwrap().is_empty()));
    });
}

/// Two senders may wait, and only one waker has a place.
#[test]
fn sender_without_a_place_for_its_waker_sends_in_the_end() {
    in_every_order(2, || {
        let channel = Arc::new(Channel::with_room(1, 1));
        assert!(channel.send((0, 0)).is_ok());
        let senders = [1, 2].map(|number| {
            spawn(&channel, move |channel| {
                let mut item = Some((number, 0));
                block_on(poll_fn(|context| {
                    let poll = channel.poll_send(&mut item, context);
                    if poll.is_pending() {
                        // It may have woken itself. Trying again is in vain before another thread had a turn.
                        thread::yield_now();
                    }
                    poll
                }))
            })
        });
        let items = (0..3).map(|_| block_on(channel.next()).unwrap()).collect();
        assert_all_of(items, 3, 1);
        assert!(senders.into_iter().all(|sender| sender.join().unwrap()));
    });
}

/// A receiver that never runs out of items calls [`Channel::wake_senders`] from time to time.
#[test]
fn senders_are_woken_although_the_receiver_never_waits() {
    in_every_order(4, || {
        let channel = Arc::new(Channel::with_room(2, 2));
        assert!(channel.send((0, 0)).is_ok() && channel.send((0, 1)).is_ok());
        let sender = sender(&channel, 1, 1);
        assert_eq!(block_on(channel.next()), Some((0, 0)));
        channel.wake_senders();
        // One item is always left, so that the receiver never waits.
        assert_eq!(sender.join().unwrap(), []);
        assert_eq!(block_on(channel.next()), Some((0, 1)));
        assert_eq!(block_on(channel.next()), Some((1, 0)));
    });
}

/// No receiver takes an item out, so only the close wakes the sender. No waker may stay: it would keep its task, and that task may
/// keep the channel.
#[test]
fn sender_that_waits_gets_its_item_back_from_a_close() {
    in_every_order(8, || {
        let channel = Arc::new(Channel::with_room(1, 2));
        assert!(channel.send((0, 0)).is_ok());
        let parked = Parked::new();
        let sender = spawn(&channel, {
            let parked = parked.clone();
            move |channel| {
                let mut item = Some((1, 0));
                let is_in = parked.block_on(poll_fn(|context| channel.poll_send(&mut item, context)));
                (is_in, item)
            }
        });
        channel.close();
        assert_eq!(sender.join().unwrap(), (false, Some((1, 0))));
        assert_eq!(Arc::strong_count(&parked), 1, "wakers were left behind");
        assert_eq!(receive_until_closed(&channel), [(0, 0)]);
    });
}

#[test]
fn close_wakes_a_receiver_that_waits() {
    in_every_order(8, || {
        let channel = Arc::new(Channel::<Item>::with_room(1, 1));
        let receiver = spawn(&channel, |channel| block_on(channel.next()));
        channel.close();
        assert_eq!(receiver.join().unwrap(), None);
    });
}

/// A third thread closes it while one sends and one receives.
#[test]
fn items_before_the_close_are_received_and_later_ones_returned() {
    in_every_order(3, || {
        let channel = Arc::new(Channel::with_room(1, 2));
        let sender = sender(&channel, 0, 2);
        let receiver = spawn(&channel, receive_until_closed);
        channel.close();
        let mut items = receiver.join().unwrap();
        items.extend(sender.join().unwrap());
        assert_all_of(items, 1, 2);
    });
}

/// The receiver takes one item and then abandons the channel, while others may begin to wait for room.
#[test]
fn abandoned_senders_get_their_items_back_and_none_waits() {
    in_every_order(3, || {
        let channel = Arc::new(Channel::with_room(1, 2));
        let senders = [0, 1].map(|number| sender(&channel, number, 1));
        let mut items: Vec<Item> = block_on(channel.next()).into_iter().collect();
        assert_eq!(items.len(), 1, "one was sent");
        channel.abandon_with(|item| items.push(item));
        assert_eq!(block_on(channel.next()), None);
        items.extend(senders.into_iter().flat_map(|sender| sender.join().unwrap()));
        assert_all_of(items, 2, 1);
    });
}

/// Both happen: the last client closes, and the shard abandons.
#[test]
fn abandoning_during_a_close_loses_no_item() {
    in_every_order(3, || {
        let channel = Arc::new(Channel::with_room(1, 2));
        let sender = sender(&channel, 0, 2);
        let closer = spawn(&channel, Channel::close);
        let mut items = Vec::new();
        channel.abandon_with(|item| items.push(item));
        items.extend(sender.join().unwrap());
        closer.join().unwrap();
        assert_all_of(items, 1, 2);
    });
}

/// The thread leaves while the shard accepts its command. One of them is first, and both know which.
#[test]
fn call_is_left_or_accepted_and_both_ends_agree() {
    in_every_order(8, || {
        let (caller, call) = foreign_call::<u8>();
        let shard = thread::spawn(move || {
            let accepted = caller.accept(7);
            assert_eq!(caller.has_left(), !accepted);
            if accepted {
                caller.answer(1);
            }
            accepted
        });
        let left = call.leave();
        assert_eq!(left, if shard.join().unwrap() { Err(7) } else { Ok(()) });
    });
}

#[test]
fn call_that_waits_gets_its_answer_or_the_end() {
    for answers in [true, false] {
        in_every_order(8, move || {
            let (caller, call) = foreign_call::<u8>();
            let shard = thread::spawn(move || {
                assert!(caller.accept(7));
                if answers {
                    caller.answer(1);
                }
            });
            let answer = block_on(poll_fn(|context| call.poll(context)));
            assert_eq!(answer, answers.then_some(1));
            shard.join().unwrap();
        });
    }
}

/// The thread begins its next call in the memory of the last one as soon as it has the answer. If the shard has not let go of the
/// last one yet, it cannot.
#[test]
fn next_call_in_the_same_memory_gets_its_own_answer() {
    in_every_order(4, || {
        let (caller, mut call) = foreign_call::<u8>();
        let shard = thread::spawn(move || {
            assert!(caller.accept(7));
            caller.answer(1);
        });
        assert_eq!(block_on(poll_fn(|context| call.poll(context))), Some(1));
        let again = call.begin_again();
        shard.join().unwrap();
        if let Some(caller) = again {
            let shard = thread::spawn(move || {
                assert!(!caller.has_left() && caller.accept(8));
                caller.answer(2);
            });
            assert_eq!(block_on(poll_fn(|context| call.poll(context))), Some(2));
            shard.join().unwrap();
        }
    });
}
