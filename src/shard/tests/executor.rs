//! An executor that dies: what it held is given back, and its mailbox does not keep callers waiting.

use std::future::poll_fn;
use std::net::TcpListener;

use futures_channel::oneshot;
use futures_lite::future::block_on;

use super::*;
use crate::proto::connection::HandleId;
use crate::proto::pool::EntryId;
use crate::shard::ShardGroup;
use crate::shard::calls::Answer;
use crate::shard::executor::{self, Executor};
use crate::shard::foreign::foreign_call;
use crate::shard::lobby::{Lobby, Tenant};
use crate::shard::mailbox::{Letter, Mailbox};
use crate::shard::testing::or_fails_in_time;
use crate::shard::thread::HostId;

fn start(url: &str) -> (ShardGroup, Arc<Mailbox>, Executor) {
    let config = config(url).validate().unwrap();
    let (group, mailbox) = (ShardGroup::new(1), Arc::new(Mailbox::new()));
    let member = group.join().unwrap();
    let tenant = Tenant { config, group: group.clone(), member, mailbox: mailbox.clone() };
    let (config, lobby) = (tenant.config.clone(), Arc::new(Lobby::new(tenant)));
    let starting = executor::start(HostId::unique(), 0, &config, lobby).unwrap();
    (group, mailbox, starting.wait().unwrap())
}

/// Kills the executor; false if no shard takes letters any more.
fn kill(mailbox: &Mailbox) -> bool {
    let (held, dropped) = oneshot::channel::<()>();
    // In a task beside the one that takes letters: what that one holds is never dropped then.
    let fatal = move |shard: Shard| {
        shard.clone().spawn(async move {
            // A task begins within the one that spawns it, and would end that one.
            futures_lite::future::yield_now().await;
            let _held = held;
            panic!("as planned")
        });
    };
    let sent = mailbox.send(Letter::Run(Box::new(fatal))).is_ok();
    // The shard that gets the letter drops what it holds.
    assert!(block_on(dropped).is_err());
    sent
}

#[test]
fn shard_that_stays_dead_refuses_what_is_sent_to_it() {
    or_fails_in_time(|| {
        let (group, mailbox, executor) = start("redis://127.0.0.1:1");
        while kill(&mailbox) {}
        executor.join();
        assert!(mailbox.is_closed());
        assert!(group.join().is_ok(), "its seat is free");
    });
}

#[test]
fn executor_that_dies_tells_callers_on_other_threads() {
    or_fails_in_time(|| {
        let (_, mailbox, executor) = start("redis://127.0.0.1:1");
        let (caller, call) = foreign_call::<Answer>();
        let bytes = b"*1\r\n$4\r\nPING\r\n".to_vec();
        let letter =
            Letter::Call { bytes, batch: None, entry: EntryId(0), handle: HandleId(1 << 31), caller };
        assert!(mailbox.send(letter).is_ok());
        assert!(kill(&mailbox));
        let answer = block_on(poll_fn(|context| call.poll(context)));
        assert!(answer.is_none(), "{answer:?}");
        mailbox.close();
        executor.join();
    });
}

#[test]
fn executor_that_dies_leaves_no_socket_open() {
    or_fails_in_time(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_, mailbox, executor) = start(&format!("redis://{}", listener.local_addr().unwrap()));
        let (mut first, _) = listener.accept().unwrap();
        // Its task waits for the answer.
        assert!(first.read(&mut [0; 64]).unwrap() > 0);
        assert!(kill(&mailbox));
        let mut rest = Vec::new();
        // However it ends: the executor that comes next has no use for it.
        let _ = first.read_to_end(&mut rest);
        let (mut second, _) = listener.accept().unwrap();
        assert!(second.read(&mut [0; 64]).unwrap() > 0, "the next executor connects");
        mailbox.close();
        drop((second, listener));
        executor.join();
    });
}
