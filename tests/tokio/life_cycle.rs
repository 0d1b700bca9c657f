//! How a client ends: with its runtime, by a shutdown, and with its last handle.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::net::Credentials;
use hitless::{Client, Error, ErrorKind, Outcome, cmd};
use tokio::runtime::Runtime;

use crate::common::{Redis, WAIT_MAX};
use crate::{config, current_thread, in_both, multi_thread, started, wait_for_open_calls, wait_until};

fn what(error: &Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

/// How many clients the server has, this one included.
async fn clients(observer: &Client) -> usize {
    let list: String = observer.run(&cmd("CLIENT").arg("LIST")).await.expect("a list");
    list.lines().count()
}

/// Open calls fail, on whatever thread they are awaited, and later ones do without waiting.
fn assert_ends_with(runtime: Runtime) {
    let mut redis = Redis::start();
    let config = config(&redis).credentials(|| Ok(Credentials::user("default", "unused")));
    let config = config.shards(2).connections_per_shard(1);
    let client = runtime.block_on(started(config));
    let handles = [client.clone(), client.clone()];
    redis.signal(libc::SIGSTOP);
    let written: Vec<_> = (0..10).map(|n| handles[n % 2].incr("counter")).collect();
    let in_flight = async || {
        let stats = client.stats().await.expect("it runs");
        stats.iter().map(|stats| stats.in_flight).sum::<usize>() == 10
    };
    runtime.block_on(wait_until("all are written", in_flight));
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.incr("counter").wait()
    });
    runtime.block_on(wait_for_open_calls(&client, 11));
    drop(runtime);
    let error = waiting.join().expect("no panic").expect_err("its runtime has ended");
    assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
    for reply in written {
        let error = reply.wait().expect_err("its runtime has ended");
        assert_eq!(what(&error), (ErrorKind::ShutDown, Outcome::Ambiguous), "{error}");
    }
    let begin = Instant::now();
    for handle in [client.clone(), client.by_key(), client.least_loaded(), client.on_callers_core()] {
        let error = block_on(handle.incr("counter")).expect_err("its runtime has ended");
        assert_eq!(what(&error), (ErrorKind::ShutDown, Outcome::Unsent), "{error}");
        let error = handle.incr("counter").fire_and_forget().expect_err("its runtime has ended");
        assert_eq!(what(&error), (ErrorKind::ShutDown, Outcome::Unsent), "{error}");
    }
    assert_eq!(block_on(client.stats()).expect_err("it has ended").kind(), ErrorKind::ShutDown);
    assert_eq!(block_on(client.ready(WAIT_MAX)).expect_err("it has ended").kind(), ErrorKind::ShutDown);
    let renewed = block_on(client.renew_credentials());
    assert_eq!(renewed.expect_err("it has ended").kind(), ErrorKind::ShutDown);
    let on_push = block_on(client.on_push("hello", |_| {}));
    assert_eq!(on_push.expect_err("it has ended").kind(), ErrorKind::ShutDown);
    // The calls were given up by the end of the runtime, and a shutdown has nothing to wait for.
    let _ = block_on(client.shutdown(WAIT_MAX));
    assert!(begin.elapsed() < WAIT_MAX / 4, "{:?}", begin.elapsed());
    redis.kill();
}

#[test]
fn calls_end_with_their_runtime() {
    assert_ends_with(multi_thread());
    assert_ends_with(current_thread());
}

/// What a caller outside the runtime waits for ends as well, although the timers of the runtime work no more.
#[test]
fn waiting_for_a_client_ends_with_its_runtime() {
    let redis = Redis::start();
    // No thread drives the second runtime.
    for (runtime, is_driven) in [(multi_thread(), true), (current_thread(), false)] {
        let (asked, is_asked) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (asked, released) = (Mutex::new(asked), Mutex::new(released));
        let blocking = move || {
            let _ = asked.lock().expect("no panic").send(());
            let _ = released.lock().expect("no panic").recv();
            Ok(Credentials::user("default", "unused"))
        };
        let entered = runtime.enter();
        let config = config(&redis).connections_per_shard(1).connect_timeout(WAIT_MAX);
        let client = Client::start_in_tokio(config.credentials(blocking)).expect("it starts");
        drop(entered);
        let ready = std::thread::spawn({
            let client = client.clone();
            move || block_on(client.ready(WAIT_MAX))
        });
        let renewed = std::thread::spawn({
            let client = client.clone();
            move || block_on(client.renew_credentials())
        });
        if is_driven {
            is_asked.recv_timeout(WAIT_MAX).expect("the connection or the renewal asks the provider");
        }
        drop(runtime);
        for waiting in [ready, renewed] {
            let error = waiting.join().expect("no panic").expect_err("its runtime has ended");
            assert_eq!(error.kind(), ErrorKind::ShutDown, "{error}");
        }
        drop(release);
    }
}

#[test]
fn a_client_of_an_ended_runtime_fails_its_calls() {
    let redis = Redis::start();
    let runtime = multi_thread();
    let first = runtime.block_on(started(config(&redis)));
    drop(runtime);
    let second = Client::start_with(&first, config(&redis)).expect("the settings are right");
    assert_eq!(second.ping().wait().expect_err("nothing runs it").kind(), ErrorKind::ShutDown);
    assert_eq!(block_on(second.ready(WAIT_MAX)).expect_err("nothing runs it").kind(), ErrorKind::ShutDown);
}

#[test]
fn shutdown_answers_accepted_commands_and_rejects_new_ones() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        client.set("counter", 0).await.expect("it serves");
        let handles: Vec<_> = (0..4).map(|_| client.clone()).collect();
        let accepted: Vec<_> = (0..2000).map(|n| handles[n % 4].incr("counter")).collect();
        client.shutdown(WAIT_MAX).await.expect("all are answered");
        for reply in accepted {
            reply.await.expect("it was accepted");
        }
        let error = client.ping().await.expect_err("it is shut down");
        assert_eq!(what(&error), (ErrorKind::ShutDown, Outcome::Unsent));
        assert_eq!(client.stats().await.expect_err("it is shut down").kind(), ErrorKind::ShutDown);
        client.shutdown(WAIT_MAX).await.expect("a second shutdown has no effect");
        let observer = started(config(&redis).connections_per_shard(1)).await;
        assert_eq!(observer.get::<i64>("counter").await.expect("a number"), 2000);
        assert_eq!(clients(&observer).await, 1, "the connections are closed");
    });
}

#[test]
fn shutdown_without_grace_gives_calls_up_and_counts_them() {
    in_both(|| async {
        let redis = Redis::start();
        let client = started(config(&redis).connections_per_shard(1)).await;
        redis.signal(libc::SIGSTOP);
        let open: Vec<_> = (0..5).map(|_| client.incr("counter")).collect();
        wait_until("they are written", async || client.stats().await.expect("it runs")[0].in_flight == 5)
            .await;
        let error = client.shutdown(Duration::ZERO).await.expect_err("they are not answered");
        assert!(error.to_string().contains("5 commands were not answered"), "{error}");
        assert_eq!(what(&error), (ErrorKind::Timeout, Outcome::Ambiguous));
        for reply in open {
            let error = reply.await.expect_err("it is given up");
            assert_eq!(what(&error), (ErrorKind::ShutDown, Outcome::Ambiguous), "{error}");
        }
        redis.signal(libc::SIGCONT);
    });
}

#[test]
fn the_last_handle_finishes_accepted_commands() {
    let redis = Redis::start();
    in_both(|| async {
        let observer = started(config(&redis).connections_per_shard(1)).await;
        observer.set("counter", 0).await.expect("it serves");
        let client = started(config(&redis).shards(2)).await;
        let handles: Vec<_> = (0..4).map(|_| client.clone()).collect();
        for number in 0..1000 {
            handles[number % 4].incr("counter").fire_and_forget().expect("it is accepted");
        }
        let kept = client.incr("kept");
        drop((client, handles));
        kept.await.expect("a reply keeps its client");
        let counted = async || observer.get::<i64>("counter").await.expect("a number") == 1000;
        wait_until("all are executed", counted).await;
        wait_until("the connections are closed", async || clients(&observer).await == 1).await;
    });
}

#[test]
fn clients_share_a_runtime_and_nothing_else() {
    let redis = [Redis::start(), Redis::start()];
    let runtime = multi_thread();
    let first = runtime.block_on(started(config(&redis[0]).connections_per_shard(2)));
    // This thread is in no runtime: the second client takes that of the first.
    let second = Client::start_with(&first, config(&redis[1]).connections_per_shard(1)).expect("it starts");
    block_on(second.ready(WAIT_MAX)).expect("it is ready");
    first.set("key", "1").wait().expect("it serves");
    second.set("key", "2").wait().expect("it serves");
    let values = [&first, &second].map(|client| client.get::<i64>("key").wait().expect("a number"));
    assert_eq!(values, [1, 2]);
    let connections = [&first, &second].map(|client| block_on(client.stats()).expect("it runs")[0].ready);
    assert_eq!(connections, [2, 1]);
    block_on(first.shutdown(WAIT_MAX)).expect("nothing is open");
    assert_eq!(second.get::<i64>("key").wait().expect("it lives on"), 2);
    block_on(second.shutdown(WAIT_MAX)).expect("nothing is open");
}

/// A current-thread runtime runs only while a thread of the application is in it.
#[test]
fn plain_threads_call_while_another_drives_the_runtime() {
    let redis = Redis::start();
    let (send, client) = mpsc::channel();
    let (stop, stopped) = futures_channel::oneshot::channel::<()>();
    let config = config(&redis);
    let driving = std::thread::spawn(move || {
        current_thread().block_on(async {
            send.send(started(config).await).expect("the test waits");
            let _ = stopped.await;
        });
    });
    let client = client.recv_timeout(WAIT_MAX).expect("it starts");
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || (0..500).for_each(|_| assert!(client.incr("counter").wait().is_ok())))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
    assert_eq!(client.get::<i64>("counter").wait().expect("a number"), 2000);
    stop.send(()).expect("it runs");
    driving.join().expect("no panic");
    assert_eq!(client.ping().wait().expect_err("its runtime has ended").kind(), ErrorKind::ShutDown);
}
