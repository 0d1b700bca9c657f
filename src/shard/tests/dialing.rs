//! A connection that is being made: what its driver sees to meanwhile, and what is left of it.

use std::pin::pin;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// The driver that dials is told of commands in the pilot's place: their time runs all the same.
#[test]
fn command_that_waits_for_a_dial_has_its_time_noted() {
    let config = config("redis://127.0.0.1").command_timeout(HOUR / 2).connect_timeout(HOUR);
    let (shard, id) = bare::dialing(config);
    let (driver, never) = (Arc::new(Wakes::default()), std::future::pending::<()>());
    let waker = Waker::from(driver.clone());
    let mut dial = pin!(turns::unless_closed(&shard.inner, id, never));
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while shard.inner.core.borrow().pilot.is_notified() {
        pilots::turn(&shard.inner);
    }
    let _reply = shard.incr("n");
    assert_eq!(driver.take(), 1);
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(shard.inner.core.borrow().pilot.is_notified(), "it would sleep for an hour");
    let Turn::Sleep(Some(time)) = pilots::turn(&shard.inner) else { panic!("a deadline") };
    assert!(time <= HOUR / 2, "{time:?}");
}

#[test]
fn dial_ends_with_the_connection_that_it_is_for() {
    let (shard, id) = bare::dialing(config("redis://127.0.0.1").connect_timeout(HOUR));
    let (driver, never) = (Arc::new(Wakes::default()), std::future::pending::<()>());
    let waker = Waker::from(driver.clone());
    let mut dial = pin!(turns::unless_closed(&shard.inner, id, never));
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    pilots::begin_shutdown(&shard.inner, HOUR);
    while !matches!(pilots::turn(&shard.inner), Turn::Done) {}
    assert_eq!(driver.take(), 1);
    assert_eq!(dial.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(None));
}

#[test]
fn connection_that_ends_is_not_counted_any_more() {
    let (shard, id) = bare::dialing(config("redis://127.0.0.1"));
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = Stream::plain(shard.inner.poller.register(near.into()).unwrap());
    let endpoint = "redis.example:6379".parse().unwrap();
    let mut driving = pin!(turns::drive(&shard.inner, id, near, &endpoint, None));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(driving.as_mut().poll(context).is_pending());
    let peers = shard.stats().connections;
    assert_eq!(peers.get("redis.example:6379"), Some(&1), "{peers:?}");
    drop(far);
    shard.inner.poller.ask();
    assert!(driving.as_mut().poll(context).is_ready());
    assert!(shard.stats().connections.is_empty());
}
