//! A connection that is being dialed: what its driver does meanwhile, and what remains of it.

use std::pin::pin;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A driver that dials is notified of commands instead of the supervisor. It notes their time.
#[test]
fn command_that_waits_for_a_dial_has_its_time_noted() {
    let config = config("redis://127.0.0.1").command_timeout(HOUR / 2).connect_timeout(HOUR);
    let (shard, id) = bare::dialing(config);
    let (driver, never) = (Arc::new(Wakes::default()), std::future::pending::<()>());
    let waker = driver.waker();
    let mut dial = pin!(turns::unless_closed(&shard.shared, id, never));
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while shard.shared.state.lock().supervisor.is_notified() {
        tasks::supervise(&shard.shared);
    }
    let _reply = shard.incr("n");
    assert_eq!(driver.take(), 1);
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(shard.shared.state.lock().supervisor.is_notified(), "it would sleep for an hour");
    let Turn::Sleep(Some(time)) = tasks::supervise(&shard.shared) else { panic!("a deadline") };
    assert!(time <= HOUR / 2, "{time:?}");
}

#[test]
fn dial_ends_with_the_connection_that_it_is_for() {
    let (shard, id) = bare::dialing(config("redis://127.0.0.1").connect_timeout(HOUR));
    let (driver, never) = (Arc::new(Wakes::default()), std::future::pending::<()>());
    let waker = driver.waker();
    let mut dial = pin!(turns::unless_closed(&shard.shared, id, never));
    assert!(dial.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tasks::begin_shutdown(&shard.shared, HOUR);
    while !matches!(tasks::supervise(&shard.shared), Turn::Done) {}
    assert_eq!(driver.take(), 1);
    assert_eq!(dial.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(None));
}

#[test]
fn connection_that_ends_is_not_counted_any_more() {
    let (shard, id) = bare::dialing(config("redis://127.0.0.1"));
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = Stream::plain(Socket::register(&shard.shared.runtime.reactor, near.into()).unwrap());
    let endpoint = "redis.example:6379".parse().unwrap();
    let mut driving = pin!(turns::drive(&shard.shared, id, near, &endpoint, None));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(driving.as_mut().poll(context).is_pending());
    let peers = shard.stats().connections;
    assert_eq!(peers.get("redis.example:6379"), Some(&1), "{peers:?}");
    drop(far);
    shard.shared.runtime.reactor.poll_now();
    assert!(driving.as_mut().poll(context).is_ready());
    assert!(shard.stats().connections.is_empty());
}
