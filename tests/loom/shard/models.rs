//! The channel's promises: nothing is lost or doubled, each sender keeps its order, and nobody waits for ever.

use std::future::poll_fn;
use std::sync::Arc;

use concurrent_queue::PushError;
use loom::thread::{self, JoinHandle};

use super::channel::Channel;
use super::foreign::foreign_call;
use crate::orders::{Parked, block_on, in_every_order};

/// A sender's number, and its count.
type Item = (u8, u8);

/// Waits for room. Gives the item back if there is none to come.
fn send_when_there_is_room(channel: &Channel<Item>, item: Item) -> Result<(), Item> {
    let mut item = Some(item);
    let is_in = block_on(poll_fn(|context| channel.poll_send(&mut item, context)));
    match item {
        None if is_in => Ok(()),
        Some(back) if !is_in => {
            let again = channel.send(back);
            assert!(matches!(again, Err(PushError::Closed(_))), "it was told that it is closed: {again:?}");
            Err(back)
        }
        _ => panic!("it is either in, or given back"),
    }
}

fn spawn<T: 'static>(
    channel: &Arc<Channel<Item>>,
    run: impl FnOnce(&Channel<Item>) -> T + 'static,
) -> JoinHandle<T> {
    let channel = channel.clone();
    thread::spawn(move || run(&channel))
}

/// A thread that sends so many items, and says which were given back.
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

/// Nothing else comes that could wake it by chance.
#[test]
fn a_lone_item_wakes_a_receiver_that_waits() {
    in_every_order(8, || {
        let channel = Arc::new(Channel::with_room(1, 1));
        let sender = spawn(&channel, |channel| channel.send((0, 0)).is_ok());
        assert_eq!(block_on(channel.next()), Some((0, 0)));
        assert!(sender.join().unwrap());
    });
}

/// The receiver takes items until there are none, and then waits for one; nobody else comes that could wake either.
#[test]
fn a_sender_that_waits_is_woken_when_room_is_made() {
    in_every_order(3, || {
        let channel = Arc::new(Channel::with_room(1, 4));
        let sender = sender(&channel, 0, 3);
        let items = (0..3).map(|_| block_on(channel.next()).unwrap()).collect();
        assert_all_of(items, 1, 3);
        assert_eq!(sender.join().unwrap(), []);
    });
}

#[test]
fn nothing_is_lost_or_doubled_and_each_sender_keeps_its_order() {
    in_every_order(1, || {
        let channel = Arc::new(Channel::with_room(1, 4));
        let senders = [0, 1].map(|number| sender(&channel, number, 2));
        let items = (0..4).map(|_| block_on(channel.next()).unwrap()).collect();
        assert_all_of(items, 2, 2);
        assert!(senders.into_iter().all(|sender| sender.join().unwrap().is_empty()));
    });
}

/// Two of them may wait, and only one waker has a place.
#[test]
fn a_sender_with_nowhere_to_wait_sends_all_the_same() {
    in_every_order(2, || {
        let channel = Arc::new(Channel::with_room(1, 1));
        assert!(channel.send((0, 0)).is_ok());
        let senders = [1, 2].map(|number| {
            spawn(&channel, move |channel| {
                let mut item = Some((number, 0));
                block_on(poll_fn(|context| {
                    let poll = channel.poll_send(&mut item, context);
                    if poll.is_pending() {
                        // It may have woken itself, and trying again is in vain before somebody else had a turn.
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

/// A receiver that is never without items wakes those who wait now and then, as [`Channel::wake_senders`] is for.
#[test]
fn senders_are_woken_although_the_receiver_never_waits() {
    in_every_order(4, || {
        let channel = Arc::new(Channel::with_room(2, 2));
        assert!(channel.send((0, 0)).is_ok() && channel.send((0, 1)).is_ok());
        let sender = sender(&channel, 1, 1);
        assert_eq!(block_on(channel.next()), Some((0, 0)));
        channel.wake_senders();
        // One item is left in it all the time, so that the receiver finds no reason to.
        assert_eq!(sender.join().unwrap(), []);
        assert_eq!(block_on(channel.next()), Some((0, 1)));
        assert_eq!(block_on(channel.next()), Some((1, 0)));
    });
}

/// Nobody takes anything out, so that it is the closing alone that wakes it, and no waker is left behind: it would keep
/// what waits, and that may keep the channel.
#[test]
fn whoever_waits_for_room_when_it_is_closed_gets_the_item_back() {
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
fn a_receiver_that_waits_when_it_is_closed_is_told() {
    in_every_order(8, || {
        let channel = Arc::new(Channel::<Item>::with_room(1, 1));
        let receiver = spawn(&channel, |channel| block_on(channel.next()));
        channel.close();
        assert_eq!(receiver.join().unwrap(), None);
    });
}

/// Somebody else closes it while one sends and one takes.
#[test]
fn what_came_in_before_it_was_closed_is_received_and_the_rest_is_given_back() {
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

/// The receiver takes one item and then no more; it may be in the middle of closing when others wait for room.
#[test]
fn whoever_is_abandoned_is_told_so_and_nobody_waits() {
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

/// Both may be: by the last client, and by the shard.
#[test]
fn abandoning_what_is_being_closed_loses_nothing() {
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

/// The thread leaves while the shard takes its command up: one of them is first, and both know which.
#[test]
fn a_call_is_left_or_taken_up_and_both_ends_agree() {
    in_every_order(8, || {
        let (caller, call) = foreign_call::<u8>();
        let shard = thread::spawn(move || {
            let taken = caller.take_up(7);
            assert_eq!(caller.has_left(), !taken);
            if taken {
                caller.answer(1);
            }
            taken
        });
        let left = call.leave();
        assert_eq!(left, if shard.join().unwrap() { Err(7) } else { Ok(()) });
    });
}

#[test]
fn a_call_that_waits_gets_its_answer_or_the_end() {
    for answers in [true, false] {
        in_every_order(8, move || {
            let (caller, call) = foreign_call::<u8>();
            let shard = thread::spawn(move || {
                assert!(caller.take_up(7));
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
