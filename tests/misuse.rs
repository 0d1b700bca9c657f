//! Calls that cannot work in their context: each returns an error that names the fix, and none hangs or panics.

mod common;

use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::Redis;
use futures_lite::future::block_on;
use hitless::{Client, Config, Error, ErrorKind, Outcome, Shard};

const GRACE: Duration = Duration::from_secs(5);

/// Runs a test on its own thread, so that a hang fails the test instead of the whole test run.
fn in_time<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(sender.send(test())));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the call hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a test that ends sends its result"),
        },
    }
}

fn client(redis: &Redis) -> Client {
    Client::start(Config::from_url(&redis.url()).unwrap().shards(1).connections_per_shard(1)).unwrap()
}

fn assert_misuse(error: &Error, remedy: &str) {
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    assert!(error.to_string().contains(remedy), "{error}");
}

#[test]
fn wait_on_any_shards_thread_is_an_error() {
    let redis = Redis::start();
    let (client, other) = (client(&redis), client(&redis));
    in_time(move || {
        for called in [client.clone(), other] {
            let wait = client.run_on(0, move |_| async move { called.incr("counter").wait() });
            let error = block_on(wait).unwrap().unwrap_err();
            assert_misuse(&error, "await the reply instead");
            assert!(error.to_string().contains("INCR"), "{error}");
        }
        client.ping().wait().unwrap();
        block_on(client.shutdown(GRACE)).unwrap();
    });
}

#[test]
fn shutdown_on_its_own_shard_is_an_error() {
    let redis = Redis::start();
    let client = client(&redis);
    in_time(move || {
        let clone = client.clone();
        let shutdown = client.run_on(0, move |_| async move { clone.shutdown(GRACE).await });
        assert_misuse(&block_on(shutdown).unwrap().unwrap_err(), "call it on another thread");
        client.ping().wait().unwrap();
        block_on(client.shutdown(GRACE)).unwrap();
    });
}

#[test]
fn a_shard_shuts_another_client_down() {
    let redis = Redis::start();
    let (client, other) = (client(&redis), client(&redis));
    in_time(move || {
        let clone = other.clone();
        block_on(client.run_on(0, move |_| async move { clone.shutdown(GRACE).await })).unwrap().unwrap();
        assert_eq!(other.ping().wait().unwrap_err().kind(), ErrorKind::ShutDown);
        client.ping().wait().unwrap();
    });
}

#[test]
fn a_closure_running_at_shutdown_is_dropped_with_an_error() {
    let redis = Redis::start();
    let client = client(&redis);
    in_time(move || {
        let (entered, is_in) = mpsc::channel();
        let (dropped, is_dropped) = mpsc::channel::<()>();
        let clone = client.clone();
        let caller = std::thread::spawn(move || {
            block_on(clone.run_on(0, move |_| async move {
                let _dropped = dropped;
                entered.send(()).unwrap();
                glommio::timer::Timer::new(Duration::from_secs(3600)).await;
            }))
        });
        is_in.recv().unwrap();
        block_on(client.shutdown(GRACE)).unwrap();
        let error = caller.join().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Ambiguous));
        assert!(is_dropped.recv().is_err(), "what the closure held is dropped");
    });
}

#[test]
fn the_last_handle_can_be_dropped_on_its_own_shard() {
    let redis = Redis::start();
    let observer = client(&redis);
    in_time(move || {
        let connected = || {
            let list: String = observer.run(&hitless::cmd("CLIENT").arg("LIST")).wait().unwrap();
            list.lines().count()
        };
        let client = client(&redis);
        block_on(client.ready(GRACE)).unwrap();
        assert_eq!(connected(), 2);
        let (go, may_go) = futures_channel::oneshot::channel();
        let clone = client.clone();
        let hold = |_| async {
            glommio::spawn_local(async move {
                let _: Result<(), _> = may_go.await;
                drop(clone);
            })
            .detach();
        };
        block_on(client.run_on(0, hold)).unwrap();
        drop(client);
        go.send(()).unwrap();
        while connected() > 1 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn closures_and_stats_may_be_awaited_on_their_own_shard() {
    let redis = Redis::start();
    let client = client(&redis);
    in_time(move || {
        let clone = client.clone();
        let outer = client.run_on(0, move |_| async move {
            let visits = clone.run_on(0, |shard| async move { shard.incr("visits").await }).await??;
            let connections = clone.stats().await?[0].ready;
            Ok::<_, Error>((visits, clone.incr("visits").await?, connections))
        });
        assert_eq!(block_on(outer).unwrap().unwrap(), (1, 2, 1));
    });
}

#[test]
fn shard_connect_needs_an_executor() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap();
    let error = block_on(Shard::connect(config)).map(drop).unwrap_err();
    assert_misuse(&error, "Client::start");
}

#[test]
fn polling_a_taken_reply_is_an_error() {
    let redis = Redis::start();
    let client = client(&redis);
    fn poll_again<T: Unpin + Future>(reply: &mut T) -> T::Output {
        match std::pin::Pin::new(reply).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it was ready before"),
        }
    }
    let mut reply = client.incr("counter");
    assert_eq!(block_on(&mut reply).unwrap(), 1);
    assert_misuse(&poll_again(&mut reply).unwrap_err(), "INCR");
    let on_shard = client.run_on(0, |shard| async move {
        let mut reply = shard.incr("counter");
        ((&mut reply).await, poll_again(&mut reply))
    });
    let (first, second) = block_on(on_shard).unwrap();
    assert_eq!(first.unwrap(), 2);
    assert_misuse(&second.unwrap_err(), "taken already");
}
