//! Requests from other threads: served in turn, answered even if the shard ends, and never in the way of its other tasks.

use std::pin::pin;

use futures_channel::oneshot;

use super::*;
use crate::driver::calls::Answer;
use crate::driver::foreign::{ForeignCall, foreign_call};
use crate::proto::connection::HandleId;
use crate::proto::error::{Failure, Outcome};
use crate::shard::mailbox::{self, Mailbox, Request};

fn call(rig: &Rig) -> (Request, ForeignCall<Answer>) {
    let (caller, call) = foreign_call();
    let bytes = b"*1\r\n$4\r\nPING\r\n".to_vec();
    let (entry, handle) = (rig.id.entry, HandleId(1 << 31));
    (Request::Call { bytes, batch: None, entry, handle, caller }, call)
}

fn send(mailbox: &Mailbox, request: Request) {
    assert!(mailbox.send(request).is_ok());
}

#[test]
fn many_requests_leave_turns_to_other_tasks_and_room_to_senders() {
    const REQUESTS: usize = 1000;
    let rig = Rig::new();
    let mailbox = Mailbox::with_room(REQUESTS, 4);
    let calls: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (request, call) = call(&rig);
            send(&mailbox, request);
            call
        })
        .collect();
    let senders = [(); 2].map(|()| Arc::new(Wakes::default()));
    for sender in &senders {
        let (waiting, mut late) = (sender.waker(), Some(call(&rig).0));
        assert!(mailbox.poll_send(&mut late, &Context::from_waker(&waiting)).is_pending());
    }
    let mut serving = pin!(mailbox::serve(&mailbox, rig.shard.clone()));
    let task = Arc::new(Wakes::default());
    let waker = task.waker();
    let mut turns = 0;
    loop {
        assert!(serving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        turns += 1;
        if turns == 1 {
            assert!((1..REQUESTS).contains(&mailbox.len()), "{} are left", mailbox.len());
            assert_eq!(senders.each_ref().map(|sender| sender.take()), [1, 1], "there is room now");
        }
        if task.take() == 0 {
            break;
        }
    }
    assert_eq!((mailbox.len(), rig.shard.stats().calls, turns), (0, REQUESTS, REQUESTS / 256 + 1));
    drop(calls);
}

#[test]
fn shutdown_request_is_answered_and_later_requests_are_refused() {
    let rig = Rig::new();
    let mailbox = Mailbox::new();
    let (done, mut result) = oneshot::channel();
    send(&mailbox, Request::ShutDown { grace: Duration::from_secs(3600), done });
    let (behind, late) = call(&rig);
    send(&mailbox, behind);
    let mut serving = pin!(mailbox::serve(&mailbox, rig.shard.clone()));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(serving.as_mut().poll(context).is_pending());
    while !matches!(tasks::supervise(&rig.shard.shared), Turn::Done) {}
    tasks::finish(&rig.shard.shared);
    let ended = loop {
        if let Poll::Ready(ended) = serving.as_mut().poll(context) {
            break ended.expect("one asked for it");
        }
    };
    ended.report();
    assert!(matches!(result.try_recv(), Ok(Some(Ok(())))));
    let Poll::Ready(Some(answer)) = late.poll(context) else { panic!("there is no answer") };
    assert!(matches!(answer, Err(Failure::ShutDown(Outcome::Unsent))), "{answer:?}");
    assert!(mailbox.is_closed() && mailbox.send(call(&rig).0).is_err());
}

#[test]
fn shard_without_clients_finishes_its_commands_and_ends() {
    let mut rig = Rig::new();
    let mailbox = Mailbox::new();
    let (request, last) = call(&rig);
    send(&mailbox, request);
    mailbox.close();
    let mut serving = pin!(mailbox::serve(&mailbox, rig.shard.clone()));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(serving.as_mut().poll(context).is_pending());
    assert!(rig.turn().is_pending());
    rig.say("+PONG\r\n");
    assert!(rig.is_woken() && rig.turn().is_ready(), "it closes with the last reply");
    assert!(matches!(last.poll(context), Poll::Ready(Some(Ok(_)))));
    while !matches!(tasks::supervise(&rig.shard.shared), Turn::Done) {}
    tasks::finish(&rig.shard.shared);
    let ended = loop {
        if let Poll::Ready(ended) = serving.as_mut().poll(context) {
            break ended;
        }
    };
    assert!(ended.is_none(), "no caller asked for it");
}
