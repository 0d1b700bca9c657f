//! `Client`, used from threads and runtimes outside the shards: its whole life, and the death of its server.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::Redis;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use hitless::net::Sockets;
use hitless::pubsub::{GapReason, PubSubEvent};
use hitless::{Client, Config, ErrorKind, Outcome, cmd};

const GRACE: Duration = common::WAIT_MAX;

fn client(url: &str) -> Client {
    let config = Config::from_url(url).unwrap().shards(2).connections_per_shard(2);
    // Tests count connections, and do not wait for long until those of blocking commands are closed.
    let config = config.exclusive_idle(Duration::from_secs(1));
    let client = Client::start(config.command_timeout(GRACE)).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    client
}

#[test]
fn threads_call_through_clones_and_each_keeps_its_order() {
    let redis = Redis::start();
    let client = client(&redis.url());
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let client = client.clone();
            std::thread::spawn(move || {
                let list = format!("list:{caller}");
                let pushes: Vec<_> = (0..500).map(|n| client.rpush(&list, &[n])).collect();
                for (index, push) in pushes.into_iter().enumerate() {
                    assert_eq!(block_on(push).unwrap(), index as i64 + 1);
                }
                let found: Vec<i64> = block_on(client.lrange(&list, 0, -1)).unwrap();
                assert_eq!(found, (0..500).collect::<Vec<_>>());
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let stats = block_on(client.stats()).unwrap();
    assert!(stats.iter().all(|stats| stats.calls == 0 && stats.ready == 2 && stats.bytes_sent > 10_000));
    block_on(client.shutdown(GRACE)).unwrap();
}

#[test]
fn closures_run_on_every_shard_and_panics_are_contained() {
    let redis = Redis::start();
    let client = client(&redis.url());
    let indices = client.run_on_each_shard(|shard| async move {
        shard.incr("visits").await.unwrap();
        (shard.index(), shard.cpu().is_some(), std::thread::current().name().map(str::to_owned))
    });
    let indices = block_on(indices).unwrap();
    assert_eq!((indices[0].0, indices[1].0, indices.len()), (0, 1, 2));
    assert!(
        indices.iter().all(|(_, pinned, name)| *pinned && name.as_ref().unwrap().starts_with("hitless-"))
    );
    assert_eq!(block_on(client.get::<i64>("visits")).unwrap(), 2);

    for late in [false, true] {
        let panicking = client.run_on(1, move |shard| async move {
            if late {
                shard.ping().await.unwrap();
            }
            assert!(shard.index() == 7, "as planned");
        });
        let error = block_on(panicking).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked);
        assert!(error.to_string().contains("as planned"), "{error}");
    }
    assert_eq!(
        block_on(client.run_on(1, |shard| async move { shard.incr("visits").await })).unwrap().unwrap(),
        3
    );
    let error = block_on(client.run_on(2, |_| async {})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    block_on(client.shutdown(GRACE)).unwrap();
}

#[test]
fn subscriptions_outlive_the_executor_of_their_shard() {
    let redis = Redis::start();
    let client = client(&redis.url());
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    let fatal = |_| async {
        let task = async {
            futures_lite::future::yield_now().await;
            panic!("of a detached task")
        };
        glommio::spawn_local(task).detach();
        std::future::pending::<()>().await;
    };
    for shard in 0..client.shards() {
        assert!(block_on(client.run_on(shard, fatal)).is_err());
    }
    let gap = block_on(news.next());
    assert!(matches!(gap, Some(PubSubEvent::Gap { reason: GapReason::ShardRestarted, .. })), "{gap:?}");
    assert_eq!(block_on(client.publish("news", "a")).unwrap(), 1);
    let message = block_on(news.next());
    assert!(matches!(&message, Some(PubSubEvent::Message(message)) if message.payload == "a"), "{message:?}");
}

#[test]
fn a_panicked_shard_loses_only_in_flight_commands_and_restarts() {
    let redis = Redis::start();
    let client = client(&redis.url());
    let connected = || block_on(client.run::<String>(&cmd("CLIENT").arg("LIST"))).unwrap().lines().count();
    assert_eq!(connected(), 4);
    for deaths in 1..=3 {
        // One call is in flight on each shard when one shard dies.
        let pop = cmd("BLPOP").arg("never").arg(0);
        let waiting = [client.clone(), client.clone()].map(|clone| clone.run::<()>(&pop));
        let fatal = |_| async {
            let task = async {
                // The first poll of a task runs inside the task that spawns it, so the panic waits for the second
                // poll.
                futures_lite::future::yield_now().await;
                panic!("of a detached task")
            };
            glommio::spawn_local(task).detach();
            std::future::pending::<()>().await;
        };
        assert_eq!(block_on(client.run_on(1, fatal)).unwrap_err().outcome(), Outcome::Ambiguous);
        let clones = [client.clone(), client.clone()];
        for clone in &clones {
            assert!(clone.incr("alive").wait().unwrap() > 0, "after death {deaths}");
        }
        block_on(client.ready(GRACE)).unwrap();
        block_on(clones[0].run::<i64>(&cmd("RPUSH").args(["never", "a", "b"]))).unwrap();
        let ends = waiting.map(|waiting| block_on(waiting).err().map(|error| error.outcome()));
        assert!(ends.contains(&None) && ends.contains(&Some(Outcome::Ambiguous)), "{ends:?}");
        block_on(client.del(&["never"])).unwrap();
        while connected() > 4 {}
    }
    block_on(client.shutdown(GRACE)).unwrap();
}

#[test]
fn shutdown_answers_accepted_commands_and_rejects_new_ones() {
    let redis = Redis::start();
    let client = client(&redis.url());
    let accepted: Vec<_> = (0..2000).map(|_| client.incr("counter")).collect();
    block_on(client.shutdown(GRACE)).unwrap();
    for reply in accepted {
        block_on(reply).unwrap();
    }
    let error = block_on(client.ping()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Unsent));
    let error = block_on(client.run_on_each_shard(|_| async {})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert_eq!(block_on(client.stats()).unwrap_err().kind(), ErrorKind::ShutDown);
    // A second shutdown has no effect.
    block_on(client.shutdown(GRACE)).unwrap();
    let other = self::client(&redis.url());
    assert_eq!(block_on(other.get::<i64>("counter")).unwrap(), 2000);
}

/// With more commands than a mailbox holds, callers wait for room, and no command is lost or sent twice.
#[test]
fn a_full_mailbox_makes_callers_wait() {
    let redis = Redis::start();
    let client = Client::start(Config::from_url(&redis.url()).unwrap().shards(1)).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    let (entered, is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let busy = client.clone();
    // This closure blocks the shard's thread, so the mailbox fills up.
    let keeper = std::thread::spawn(move || {
        block_on(busy.run_on(0, move |_| async move {
            entered.send(()).unwrap();
            released.recv().unwrap();
        }))
    });
    is_in.recv().unwrap();
    let replies: Vec<_> = (0..20_000).map(|_| client.incr("counter")).collect();
    release.send(()).unwrap();
    keeper.join().unwrap().unwrap();
    // The replies are awaited in reverse; the commands keep the order of the calls.
    for (index, reply) in replies.into_iter().enumerate().rev() {
        assert_eq!(reply.wait().unwrap(), index as i64 + 1);
    }
}

/// A server that stops answering delays a shutdown no longer than the grace period.
#[test]
fn shutdown_does_not_wait_for_a_hung_server() {
    let redis = Redis::start();
    let client = client(&redis.url());
    redis.signal(libc::SIGSTOP);
    let reply = client.incr("counter");
    let error = block_on(client.shutdown(Duration::from_millis(100))).unwrap_err();
    assert!(error.to_string().contains("1 commands were not answered"), "{error}");
    let error = block_on(reply).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Ambiguous));
    redis.signal(libc::SIGCONT);
}

#[test]
fn dropping_the_last_clone_closes_the_connections() {
    let redis = Redis::start();
    let observer = client(&redis.url());
    let connected = || -> usize {
        let list: String = block_on(observer.run(&cmd("CLIENT").arg("LIST"))).unwrap();
        list.lines().count()
    };
    assert_eq!(connected(), 4);
    let (first, second) = (client(&redis.url()), client(&redis.url()));
    assert_eq!(connected(), 12);
    drop(first);
    let pending = second.incr("counter");
    drop(second);
    // An open reply keeps its shard alive.
    assert_eq!(block_on(pending).unwrap(), 1);
    while connected() > 4 {
        std::thread::yield_now();
    }
}

/// Callers echo numbers while the server is killed and restarted. Each reply belongs to its own call, written commands
/// without a reply are ambiguous, and unsent commands are sent later.
#[test]
fn a_killed_server_loses_only_in_flight_commands() {
    const CALLERS: usize = 64;
    let mut redis = Redis::start();
    let client = client(&redis.url());
    let (sender, progress) = mpsc::channel();
    let restarted = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (client, sender, restarted) = (client.clone(), sender.clone(), restarted.clone());
            std::thread::spawn(move || {
                let (mut failures, mut after) = (0, 0);
                for n in 0.. {
                    let payload = format!("{caller}:{n}");
                    match block_on(client.run::<String>(&cmd("ECHO").arg(&payload))) {
                        Ok(reply) => assert_eq!(reply, payload),
                        Err(error) => {
                            let what = (error.kind(), error.outcome());
                            assert_eq!(what, (ErrorKind::ConnectionLost, Outcome::Ambiguous), "{error}");
                            failures += 1;
                        }
                    }
                    if n == 20 {
                        // The receiver may be dropped already.
                        let _ = sender.send(());
                    }
                    after += usize::from(restarted.load(Ordering::Relaxed));
                    if after == 20 {
                        break;
                    }
                }
                failures
            })
        })
        .collect();
    for _ in 0..CALLERS {
        progress.recv().unwrap();
    }
    // A stopped server answers no command, so commands are in flight when it dies.
    redis.signal(libc::SIGSTOP);
    let in_flight = || -> usize {
        let stats = block_on(client.stats()).unwrap();
        stats.iter().map(|stats| stats.in_flight).sum()
    };
    while in_flight() == 0 {
        std::thread::yield_now();
    }
    redis.kill();
    redis.restart();
    restarted.store(true, Ordering::Relaxed);
    let failures: Vec<i32> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(failures.iter().sum::<i32>() > 0, "at least one command was lost");
    assert!(
        failures.iter().all(|failures| *failures <= 1),
        "one loss, at most one failure a caller: {failures:?}"
    );
    let stats = block_on(client.stats()).unwrap();
    assert_eq!(stats.iter().map(|stats| stats.lost).sum::<u64>(), 4);
    assert!(stats.iter().all(|stats| stats.calls == 0));
}

#[test]
fn commands_wait_until_the_server_starts() {
    let mut redis = Redis::start();
    redis.kill();
    let client = Client::start(Config::from_url(&redis.url()).unwrap().shards(1)).unwrap();
    let early: Vec<_> = (0..100).map(|_| client.incr("counter")).collect();
    redis.restart();
    for reply in early {
        block_on(reply).unwrap();
    }
}

#[test]
fn a_command_without_a_server_fails_unsent_with_the_cause() {
    let url = format!("redis://127.0.0.1:{}?command_timeout=50ms", common::free_port());
    let client = Client::start(Config::from_url(&url).unwrap().shards(1)).unwrap();
    // After this call the client knows the cause.
    common::last_error(&client, "refused");
    let error = block_on(client.incr("counter")).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unsent));
    assert!(error.to_string().contains("refused") && error.to_string().contains("INCR"), "{error}");
}

#[test]
fn a_hung_connection_is_replaced_after_the_timeout() {
    let redis = Redis::start();
    let url = format!("{}?command_timeout=300ms", redis.url());
    let client = Client::start(Config::from_url(&url).unwrap().shards(1).connections_per_shard(1)).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    redis.signal(libc::SIGSTOP);
    let error = block_on(client.ping()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous));
    redis.signal(libc::SIGCONT);
    // On a busy machine more than one command may time out.
    while block_on(client.ping()).is_err() {}
    let stats = block_on(client.run_on(0, |shard| async move { shard.stats() })).unwrap();
    assert!(stats.lost >= 1 && stats.ready == 1, "{stats:?}");
}

#[test]
fn debug_names_the_endpoint_and_no_secret() {
    let redis = Redis::start_with(&["--requirepass", "s3cret"]);
    let config = Config::from_url(&redis.url()).unwrap().password("s3cret").shards(1);
    let client = Client::start(config).unwrap();
    let reply = client.set("key", "s3cret-value");
    let pipeline = client.pipeline();
    pipeline.set("key", "s3cret-value");
    let texts = [format!("{client:?}"), format!("{reply:?}"), format!("{pipeline:?}")];
    let shard = block_on(
        client.run_on(0, |shard| async move { format!("{shard:?} {:?}", shard.get::<()>("s3cret")) }),
    );
    let texts = texts.join(" ") + &shard.unwrap();
    assert!(texts.contains("127.0.0.1") && texts.contains("SET") && texts.contains("waiting"), "{texts}");
    assert!(!texts.contains("s3cret"), "{texts}");
}

/// More connections than a ring has buffers, values that no buffer holds, and calls from other threads while the shard sleeps.
#[test]
fn sockets_on_io_uring_serve_like_others() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().shards(1).connections_per_shard(100);
    let client = Client::start(config.command_timeout(GRACE).sockets(Sockets::IoUring)).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let clones: Vec<_> = (0..50).map(|_| client.clone()).collect();
            std::thread::spawn(move || {
                for round in 0..20 {
                    let value = caller.to_string().repeat(1 << (round % 20));
                    let of = |number: usize| format!("{caller}:{number}");
                    for (number, client) in clones.iter().enumerate().take(if round < 12 { 50 } else { 2 }) {
                        let set = client.set(of(number), &value);
                        let get = client.get::<String>(of(number));
                        block_on(set).unwrap();
                        assert!(block_on(get).unwrap() == value, "{caller}, {round}, {number}");
                    }
                }
                let list = format!("list:{caller}");
                let pushes: Vec<_> = (0..500).map(|n| clones[0].rpush(&list, &[n])).collect();
                for (index, push) in pushes.into_iter().enumerate() {
                    assert_eq!(block_on(push).unwrap(), index as i64 + 1);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let stats = block_on(client.stats()).unwrap();
    assert!(stats.iter().all(|stats| stats.calls == 0 && stats.ready == 100), "{stats:?}");
    block_on(client.shutdown(GRACE)).unwrap();
}
