//! Clients between threads, in front of mailboxes that the test serves; see `scripts/miri`.

use std::collections::BTreeSet;
use std::thread;

use futures_lite::future::block_on;

use super::*;
use crate::client::backend::Backend;
use crate::client::threads::Threads;
use crate::driver::testing::in_all_orders;
use crate::proto::resp::Frame;
use crate::shard::mailbox::{Mailbox, Request};

const SHARDS: usize = 2;

fn mailboxes() -> Vec<Arc<Mailbox>> {
    (0..SHARDS).map(|_| Arc::new(Mailbox::with_room(2, 4))).collect()
}

fn client(mailboxes: &[Arc<Mailbox>]) -> Client {
    let config = Config::from_url("redis://127.0.0.1:1").unwrap();
    let config = config.shards(SHARDS).connections_per_shard(2).validate().unwrap();
    let threads = Backend::Threads(Threads::of(mailboxes.to_vec()));
    Client::bound(Arc::new(ClientState::new(threads, config)))
}

fn destination(client: &Client) -> Destination {
    client.route.destination(&client.shared, b"").0
}

/// Answers every call with the number of the shard, until the shard is shut down or every client is gone. Returns the number of
/// calls.
fn serve(shard: usize, mailbox: &Mailbox) -> usize {
    let mut calls = 0;
    while let Some(request) = block_on(mailbox.next()) {
        match request {
            Request::Call { caller, .. } => {
                calls += 1;
                caller.answer(Ok(Frame::Integer(shard as i64)));
            }
            Request::ShutDown { done, .. } => {
                mailbox.abandon();
                let _ = done.send(Ok(()));
            }
            Request::Cancel(_) => {}
            Request::Run(_) => panic!("no test sends it"),
        }
    }
    calls
}

/// The last clone may be dropped on any thread: the shards serve the accepted calls, and end.
#[test]
fn clones_are_spread_over_the_shards_and_the_last_one_ends_them() {
    const THREADS: usize = 2;
    in_all_orders(|| {
        let mailboxes = mailboxes();
        let client = client(&mailboxes);
        thread::scope(|scope| {
            let shards = mailboxes.iter().enumerate();
            let shards: Vec<_> =
                shards.map(|(shard, mailbox)| scope.spawn(move || serve(shard, mailbox))).collect();
            let call = |client: Client| {
                move || {
                    let clone = client.clone();
                    drop(client);
                    // Its caller leaves at once.
                    drop(clone.incr("left"));
                    assert_eq!(block_on(clone.incr("kept")).unwrap(), destination(&clone).shard as i64);
                    (destination(&clone).shard, destination(&clone).handle)
                }
            };
            let clients: Vec<Client> = (0..THREADS).map(|_| client.clone()).collect();
            drop(client);
            let callers: Vec<_> = clients.into_iter().map(|client| scope.spawn(call(client))).collect();
            let bound: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
            // They are the last two clones, in some order.
            assert_eq!(bound.iter().map(|(shard, _)| *shard).collect::<BTreeSet<_>>().len(), SHARDS);
            assert_eq!(bound.iter().map(|(_, handle)| handle.0).collect::<BTreeSet<_>>().len(), THREADS);
            let calls: usize = shards.into_iter().map(|shard| shard.join().unwrap()).sum();
            assert_eq!(calls, 2 * THREADS);
        });
    });
}

#[test]
fn call_during_a_shutdown_is_answered_or_unsent() {
    in_all_orders(|| {
        let mailboxes = mailboxes();
        let client = client(&mailboxes);
        thread::scope(|scope| {
            for (shard, mailbox) in mailboxes.iter().enumerate() {
                scope.spawn(move || serve(shard, mailbox));
            }
            let (one, other) = (client.clone(), client.clone());
            for client in [client.clone(), client] {
                scope.spawn(move || assert!(block_on(client.shutdown(Duration::ZERO)).is_ok()));
            }
            for client in [one, other] {
                scope.spawn(move || match block_on(client.incr("a")) {
                    Ok(shard) => assert_eq!(shard, destination(&client).shard as i64),
                    Err(error) => assert_eq!(error.outcome(), Outcome::Unsent),
                });
            }
        });
    });
}

/// Calls that find no room are sent in their order, in whatever order they are awaited. Calls whose callers have left are not sent
/// at all.
#[test]
fn calls_keep_their_order_when_the_mailbox_is_full() {
    const CALLS: i64 = 7;
    in_all_orders(|| {
        let mailboxes = mailboxes();
        let client = client(&mailboxes);
        let calls: Vec<_> = (0..CALLS).map(|n| client.set("key", n)).collect();
        thread::scope(|scope| {
            let shards: Vec<_> =
                mailboxes.iter().map(|mailbox| scope.spawn(move || written(mailbox))).collect();
            for (n, call) in calls.into_iter().enumerate().rev() {
                match n {
                    3 => drop(call),
                    _ => assert!(block_on(call).is_ok()),
                }
            }
            drop(client);
            let written: Vec<_> = shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect();
            let expected: Vec<_> = (0..CALLS).filter(|n| *n != 3 || written.contains(n)).collect();
            assert_eq!(written, expected);
        });
    });
}

/// Answers every call, and returns the values that were to be set.
fn written(mailbox: &Mailbox) -> Vec<i64> {
    let mut values = Vec::new();
    while let Some(request) = block_on(mailbox.next()) {
        if request.is_unwanted() {
            continue;
        }
        if let Request::Call { bytes, caller, .. } = request {
            let digit = bytes.iter().rev().find(|byte| byte.is_ascii_digit()).unwrap();
            values.push(i64::from(digit - b'0'));
            caller.answer(Ok(Frame::Simple(bytes::Bytes::from_static(b"OK"))));
        }
    }
    values
}
