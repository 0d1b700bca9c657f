//! An executor that dies: what it held is released, and its mailbox keeps no caller waiting.

use std::future::poll_fn;
use std::net::TcpListener;

use futures_channel::oneshot;
use futures_lite::future::block_on;

use super::*;
use crate::driver::broadcast::ShardGroup;
use crate::driver::calls::Answer;
use crate::driver::foreign::foreign_call;
use crate::driver::subscriptions::SubscriptionHub;
use crate::driver::testing::or_fails_in_time;
use crate::proto::connection::HandleId;
use crate::proto::pool::EntryId;
use crate::shard::executor::{self, Executor};
use crate::shard::mailbox::{Mailbox, Request};
use crate::shard::tenant_queue::{Tenant, TenantQueue};
use crate::shard::thread::HostId;

fn start(url: &str) -> (ShardGroup, Arc<Mailbox>, Executor) {
    let config = config(url).validate().unwrap();
    let (group, mailbox) = (ShardGroup::new(1), Arc::new(Mailbox::new()));
    let member = group.join().unwrap();
    let tenant = Tenant {
        config,
        group: group.clone(),
        member,
        mailbox: mailbox.clone(),
        hub: SubscriptionHub::new(),
    };
    let (config, tenants) = (tenant.config.clone(), Arc::new(TenantQueue::new(tenant)));
    let starting = executor::start(HostId::unique(), 0, &config, tenants).unwrap();
    (group, mailbox, starting.wait().unwrap())
}

/// Kills the executor; false if no shard accepts requests any more.
fn kill(mailbox: &Mailbox) -> bool {
    let (held, dropped) = oneshot::channel::<()>();
    // In a task beside the one that serves requests: what that task holds is never dropped.
    let fatal = move |_: Shard| {
        let task = async move {
            // A task begins within the task that spawns it, and its panic would end that one.
            futures_lite::future::yield_now().await;
            let _held = held;
            panic!("as planned")
        };
        glommio::spawn_local(task).detach();
    };
    let sent = mailbox.send(Request::Run(Box::new(fatal))).is_ok();
    // A shard that does not accept the request drops it.
    assert!(block_on(dropped).is_err());
    sent
}

#[test]
fn shard_that_is_not_restarted_refuses_requests() {
    or_fails_in_time(|| {
        let (group, mailbox, executor) = start("redis://127.0.0.1:1");
        while kill(&mailbox) {}
        executor.join();
        assert!(mailbox.is_closed());
        assert!(group.join().is_ok(), "its place is free");
    });
}

#[test]
fn executor_that_dies_tells_callers_on_other_threads() {
    or_fails_in_time(|| {
        let (_, mailbox, executor) = start("redis://127.0.0.1:1");
        let (caller, call) = foreign_call::<Answer>();
        let bytes = b"*1\r\n$4\r\nPING\r\n".to_vec();
        let request =
            Request::Call { bytes, batch: None, entry: EntryId(0), handle: HandleId(1 << 31), caller };
        assert!(mailbox.send(request).is_ok());
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
        // Its driver waits for the answer.
        assert!(first.read(&mut [0; 64]).unwrap() > 0);
        assert!(kill(&mailbox));
        let mut rest = Vec::new();
        // It may end either way: the next executor does not use it.
        let _ = first.read_to_end(&mut rest);
        let (mut second, _) = listener.accept().unwrap();
        assert!(second.read(&mut [0; 64]).unwrap() > 0, "the next executor connects");
        mailbox.close();
        drop((second, listener));
        executor.join();
    });
}
