//! Subscriptions through handoffs: no message is missing, none comes twice, and each publisher's order is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use hitless::Client;
use hitless::pubsub::{PubSubEvent, Subscription, SubscriptionBuffer};
use hitless::rehearsal::UpstreamConfig;

use crate::common::fixture::{ENDLESS, Fixture, eventually, stats};
use crate::common::{Redis, WAIT_MAX};

const PUBLISHERS: usize = 2;
const CHANNELS: usize = 5;

/// Publishers stamp what they publish with their numbers, and the subscribers compare.
fn publish(client: &Client, publisher: usize, is_over: &AtomicBool, sent: &AtomicU64) {
    let mut number = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let channel = format!("channel:{}", number as usize % CHANNELS);
        block_on(client.publish(channel, format!("{publisher} {number}"))).unwrap();
        number += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads a subscription to all channels to its end, and checks that nothing is missing.
fn check(mut subscription: Subscription) -> u64 {
    // The order is promised for each publisher and channel. Channels overlap by themselves in a handoff.
    let (mut last, mut count) = (BTreeMap::<(usize, u64), u64>::new(), 0);
    while let Some(event) = block_on(subscription.next()) {
        let PubSubEvent::Message(message) = event else { panic!("{event:?}") };
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let (publisher, number) = text.split_once(' ').unwrap();
        let (publisher, number): (usize, u64) = (publisher.parse().unwrap(), number.parse().unwrap());
        let channel = number % CHANNELS as u64;
        let before = last.insert((publisher, channel), number);
        let expected = before.map_or(channel, |before| before + CHANNELS as u64);
        assert_eq!(number, expected, "of publisher {publisher}, after {count} messages");
        count += 1;
    }
    count
}

/// How the next move follows a move.
#[derive(Clone, Copy)]
enum Pace {
    /// When all connections have moved.
    Completed,
    /// After so many further messages, whatever has moved by then.
    After(u64),
}

fn run_through_moves(fixture: &Fixture, moves: usize, pace: Pace) {
    // The order of all channels together is promised by one connection: one shard.
    let client = fixture.client_with(|config| config.shards(1).connections_per_shard(2));
    let names: Vec<_> = (0..CHANNELS).map(|number| format!("channel:{number}")).collect();
    let buffer = SubscriptionBuffer::new().messages(10_000_000).bytes(1 << 30);
    let subscriptions: Vec<_> = (0..3)
        .map(|_| {
            let subscription = block_on(client.subscribe(&names)).unwrap();
            subscription.set_buffer(buffer);
            subscription
        })
        .collect();
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let counts: Vec<u64> = thread::scope(|scope| {
        let checks: Vec<_> =
            subscriptions.into_iter().map(|subscription| scope.spawn(|| check(subscription))).collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (client, is_over, sent) = (client.clone(), &is_over, &sent);
                scope.spawn(move || publish(&client, publisher, is_over, sent))
            })
            .collect();
        let begin = Instant::now();
        for number in 0..moves {
            let old = number % 2;
            fixture.moves((old, 1 - old), ENDLESS, "");
            let published = sent.load(Ordering::Relaxed);
            let is_due = || match pace {
                Pace::Completed => fixture.connections(old).is_empty(),
                Pace::After(messages) => sent.load(Ordering::Relaxed) >= published + messages,
            };
            while !is_due() {
                if begin.elapsed() > WAIT_MAX {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("move {number} does not end: {:#?}", stats(&client));
                }
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        eventually("all messages have come", || {
            stats(&client)[0].subscriptions.messages >= sent.load(Ordering::Relaxed)
        });
        block_on(client.shutdown(WAIT_MAX)).unwrap();
        checks.into_iter().map(|check| check.join().unwrap()).collect()
    });
    assert_eq!(counts, [sent.load(Ordering::Relaxed); 3]);
}

#[test]
fn mv_pubsub_no_gap_no_dup_on_sockets() {
    run_through_moves(&Fixture::new(2), 6, Pace::Completed);
    let redis = Redis::start();
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    run_through_moves(&Fixture::before(2, Some(upstream)), 4, Pace::Completed);
}

/// Announcements overtake the handoffs of those before them.
#[test]
fn ps_handoff_storm() {
    run_through_moves(&Fixture::new(2), 60, Pace::After(100));
}
