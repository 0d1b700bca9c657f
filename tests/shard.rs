//! The `Shard` API against a real redis-server and against the in-memory endpoint.

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use common::{Redis, run_on_executor};
use futures_lite::future::{block_on, poll_once};
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use hitless::{Client, Config, Error, ErrorKind, Frame, Outcome, Shard, cmd};

/// Runs the same test against both servers.
fn run_on_both<F: Future<Output = ()> + 'static>(test: impl Fn(Shard) -> F + Clone + Send + 'static) {
    let redis = Redis::start();
    let endpoints = Endpoints::start(EndpointsConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..Default::default()
    });
    let endpoints = endpoints.unwrap();
    for url in [redis.url(), format!("redis://{}", endpoints.addresses()[0])] {
        let test = test.clone();
        run_on_executor(move || async move {
            let shard = Shard::connect(Config::from_url(&url).unwrap()).await.unwrap();
            test(shard.clone()).await;
            shard.shutdown(common::WAIT_MAX).await.unwrap();
        });
    }
}

#[test]
fn common_commands_work() {
    run_on_both(|shard| async move {
        shard.ping().await.unwrap();
        assert_eq!(shard.get::<Option<String>>("key").await.unwrap(), None);
        shard.set("key", "value").await.unwrap();
        assert_eq!(shard.get::<String>("key").await.unwrap(), "value");
        assert!(!shard.setnx("key", "other").await.unwrap());
        assert!(shard.setnx("new", "other").await.unwrap());
        shard.setex("soon", 100, "gone").await.unwrap();
        assert!((99..=100).contains(&shard.ttl("soon").await.unwrap()));
        assert_eq!(shard.ttl("key").await.unwrap(), -1);
        assert!(shard.expire("key", 50).await.unwrap());
        shard.mset([("a", 1), ("b", 2)]).await.unwrap();
        let values: Vec<Option<i64>> = shard.mget(&["a", "none", "b"]).await.unwrap();
        assert_eq!(values, [Some(1), None, Some(2)]);
        assert_eq!(shard.exists(&["a", "b", "none"]).await.unwrap(), 2);
        assert_eq!(shard.incr("a").await.unwrap(), 2);
        assert_eq!(shard.incrby("a", -12).await.unwrap(), -10);
        assert_eq!(shard.del(&["a", "b", "none"]).await.unwrap(), 2);
        assert_eq!(shard.hset("hash", [("one", "1"), ("two", "2")]).await.unwrap(), 2);
        assert_eq!(shard.hget::<i64>("hash", "two").await.unwrap(), 2);
        let hash: BTreeMap<String, i64> = shard.hgetall("hash").await.unwrap();
        assert_eq!(hash, BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]));
        assert_eq!(shard.rpush("list", &["b", "c"]).await.unwrap(), 2);
        assert_eq!(shard.lpush("list", &["a"]).await.unwrap(), 3);
        assert_eq!(shard.lrange::<Vec<String>>("list", 0, -1).await.unwrap(), ["a", "b", "c"]);
        assert_eq!(shard.sadd("set", &["x", "y", "x"]).await.unwrap(), 2);
        let kind: String = shard.run(&cmd("TYPE").arg("set")).await.unwrap();
        assert_eq!(kind, "set");
    });
}

#[test]
fn values_of_every_size_are_unchanged() {
    run_on_both(|shard| async move {
        for size in [0, 1, 100, 4095, 32 << 10, (32 << 10) + 1, 1 << 20, 5_000_001] {
            let value: Vec<u8> = (0..size).map(|n: u32| n.wrapping_mul(31).to_le_bytes()[1]).collect();
            shard.set("value", &value).await.unwrap();
            let (first, second) = (shard.get::<Bytes>("value"), shard.get::<Bytes>("value"));
            assert!(first.await.unwrap() == value && second.await.unwrap() == value, "{size} bytes");
        }
    });
}

#[test]
fn server_errors_keep_their_text_and_are_answered() {
    run_on_both(|shard| async move {
        shard.set("key", "text").await.unwrap();
        let error = shard.incr("key").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Answered));
        assert_eq!((error.command(), error.code()), (Some("INCR"), Some("ERR")));
        assert!(error.to_string().contains("not an integer"), "{error}");
        let error = shard.get::<i64>("key").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReplyType);
        let error = shard.run::<()>(&cmd("NO-SUCH-COMMAND")).await.unwrap_err();
        assert!(error.to_string().contains("unknown command"), "{error}");
    });
}

#[test]
fn a_pipeline_is_answered_command_by_command() {
    run_on_both(|shard| async move {
        let pipeline = shard.pipeline();
        pipeline.set("key", "text").incr("key").get("key").cmd(&cmd("ECHO").arg(7));
        assert_eq!(pipeline.len(), 4);
        let replies: Vec<Result<Frame, Error>> = pipeline.run().await.unwrap();
        assert!(matches!(&replies[1], Ok(Frame::Error(text)) if text.starts_with(b"ERR")));
        assert_eq!(*replies[2].as_ref().unwrap(), Frame::Bulk("text".into()));
        let pipeline = shard.pipeline();
        pipeline.get("key").incr("counter");
        let typed: (String, i64) = pipeline.run().await.unwrap();
        assert_eq!(typed, ("text".to_owned(), 1));
        assert_eq!(shard.pipeline().run::<Vec<Frame>>().await.unwrap(), []);
    });
}

#[test]
fn a_handle_keeps_its_order_and_clones_spread_over_connections() {
    run_on_both(|shard| async move {
        let handle = shard.clone();
        let pushes: Vec<_> = (0..1000).map(|n| handle.rpush("list", &[n])).collect();
        for (index, push) in pushes.into_iter().enumerate() {
            assert_eq!(push.await.unwrap(), index as i64 + 1);
        }
        let list: Vec<i64> = handle.lrange("list", 0, -1).await.unwrap();
        assert_eq!(list, (0..1000).collect::<Vec<_>>());

        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(shard.clone().run::<i64>(&cmd("CLIENT").arg("ID")).await.unwrap());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "each clone has its own connection");
    });
}

/// Many tasks drop most of their futures at random moments: every awaited reply is the right one, and no call stays
/// open.
#[test]
fn cancelled_calls_leave_nothing_behind_and_shift_no_reply() {
    run_on_both(|shard| async move {
        const CALLERS: usize = 50;
        const CALLS: usize = 400;
        for n in 0..100 {
            shard.set(format!("key:{n}"), n).await.unwrap();
        }
        let answered = Rc::new(Cell::new(0));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (shard, answered) = (shard.clone(), answered.clone());
                let mut random = fastrand::Rng::with_seed(caller as u64);
                glommio::spawn_local(async move {
                    for _ in 0..CALLS {
                        let mut calls: Vec<_> = (0..random.usize(1..8))
                            .map(|_| {
                                let n = random.i64(0..100);
                                (n, shard.get::<i64>(format!("key:{n}")))
                            })
                            .collect();
                        for _ in 0..random.usize(..4) {
                            futures_lite::future::yield_now().await;
                        }
                        let kept = calls.swap_remove(random.usize(..calls.len()));
                        drop(calls);
                        assert_eq!(kept.1.await.unwrap(), kept.0);
                        answered.set(answered.get() + 1);
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await;
        }
        assert_eq!(answered.get(), CALLERS * CALLS);
        shard.ping().await.unwrap();
        let stats = shard.stats();
        assert_eq!((stats.calls, stats.queued), (0, 0));
        assert_eq!(stats.lost, 0);
    });
}

#[test]
fn a_server_without_hello_gets_resp2() {
    let redis = Redis::start_with(&["--rename-command", "HELLO", "", "--requirepass", "s3cret"]);
    let url = format!("redis://:s3cret@127.0.0.1:{}/3?client_name=old", redis.port());
    run_on_executor(move || async move {
        let shard = Shard::connect(Config::from_url(&url).unwrap()).await.unwrap();
        shard.hset("hash", [("a", 1)]).await.unwrap();
        let hash: BTreeMap<String, i64> = shard.hgetall("hash").await.unwrap();
        assert_eq!(hash, BTreeMap::from([("a".to_owned(), 1)]));
        let info: String = shard.run(&cmd("CLIENT").arg("INFO")).await.unwrap();
        for part in ["name=old", "db=3", "resp=2"] {
            assert!(info.contains(part), "{part}: {info}");
        }
    });
}

#[test]
fn a_wrong_password_fails_at_once_with_its_code() {
    let redis = Redis::start_with(&["--requirepass", "s3cret"]);
    for (user_info, code) in [("", "NOAUTH"), (":wrong@", "WRONGPASS"), ("unknown:s3cret@", "WRONGPASS")] {
        let url = format!("redis://{user_info}127.0.0.1:{}", redis.port());
        run_on_executor(move || async move {
            let connected = Shard::connect(Config::from_url(&url).unwrap()).await;
            let error = connected.map(|_| ()).unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Auth, Outcome::Unsent));
            assert!(error.to_string().contains(code), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        });
    }
}

#[test]
fn a_refused_connection_is_an_error_with_the_address() {
    let port = common::free_port();
    run_on_executor(move || async move {
        let config = Config::from_url(&format!("redis://127.0.0.1:{port}?connect_timeout=200ms")).unwrap();
        let error = Shard::connect(config).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        let text = error.to_string();
        assert!(text.contains(&port.to_string()) && text.contains("refused"), "{text}");
    });
}

#[test]
fn names_are_resolved_and_unknown_names_are_an_error() {
    let redis = Redis::start();
    let port = redis.port();
    run_on_executor(move || async move {
        let shard =
            Shard::connect(Config::from_url(&format!("redis://localhost:{port}")).unwrap()).await.unwrap();
        shard.ping().await.unwrap();
        let config = Config::from_url("redis://no-such-host.invalid:1?connect_timeout=2s").unwrap();
        let error = Shard::connect(config).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
    });
}

/// Whatever bytes a server sends, the caller gets an error on time: no panic, no hang and no invented reply.
#[test]
fn garbage_from_a_server_is_an_error_on_time() {
    let cases: [&[u8]; 6] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$536870912\r\n",
        b"*1\r\n*1\r\n*1\r\n",
        b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
        b"\0\0\0\0",
        b"",
    ];
    for garbage in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            // The client dials until it is shut down; the last connection comes from the test.
            while let Ok((mut socket, _)) = listener.accept() {
                let mut buffer = [0; 1024];
                let count = socket.read(&mut buffer).unwrap_or(0);
                if buffer[..count].starts_with(b"stop") {
                    return;
                }
                let _ = socket.write_all(garbage);
            }
        });
        run_on_executor(move || async move {
            let url = format!("redis://127.0.0.1:{port}?connect_timeout=300ms&command_timeout=300ms");
            let error = Shard::connect(Config::from_url(&url).unwrap()).await.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        });
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"stop").unwrap();
        server.join().unwrap();
    }
}

#[test]
fn calls_beyond_the_limit_fail_unsent_and_others_succeed() {
    run_on_both(|shard| async move {
        let calls: Vec<_> = (0..40_000).map(|_| shard.ping()).collect();
        let (mut answered, mut refused) = (0, 0);
        for call in calls {
            match call.await {
                Ok(()) => answered += 1,
                Err(error) => {
                    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::Unsent));
                    refused += 1;
                }
            }
        }
        assert_eq!((answered, refused), (30_000, 10_000));
    });
}

#[test]
fn try_run_fails_when_full_and_run_waits() {
    let redis = Redis::start();
    let url = redis.url();
    run_on_executor(move || async move {
        let config = Config::from_url(&url).unwrap().connections_per_shard(1).queue_max(2);
        let shard = Shard::connect(config).await.unwrap();
        let ping = cmd("PING");
        let (first, second) = (shard.try_run::<()>(&ping).unwrap(), shard.try_run::<()>(&ping).unwrap());
        let error = shard.try_run::<()>(&ping).map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::Unsent));
        let third = shard.run::<()>(&ping);
        for reply in [first, second, third] {
            reply.await.unwrap();
        }
        shard.try_run::<()>(&ping).unwrap().await.unwrap();
    });
}

#[test]
fn sessions_of_a_shard_report_conflicts() {
    run_on_both(|shard| async move {
        let session = shard.session().await.unwrap();
        for is_disturbed in [false, true] {
            session.watch(&["stock"]).await.unwrap();
            if is_disturbed {
                shard.incr("stock").await.unwrap();
            }
            let order = session.transaction();
            order.incr("stock");
            let sold: Option<(i64,)> = order.run().await.unwrap();
            assert_eq!(sold.is_none(), is_disturbed, "{sold:?}");
        }
        let error = session.run::<Frame>(&cmd("MONITOR")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
    });
}

#[test]
fn session_of_a_shard_is_reset_for_the_next_one() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().exclusive_connections_max(1);
    run_on_executor(move || async move {
        let shard = Shard::connect(config).await.unwrap();
        let id = || cmd("CLIENT").arg("ID");
        let session = shard.session().await.unwrap();
        let first: i64 = session.run(&id()).await.unwrap();
        session.run::<()>(&cmd("MULTI")).await.unwrap();
        assert_eq!(session.run::<String>(&cmd("SET").arg("a").arg(1)).await.unwrap(), "QUEUED");
        // The only connection is in use, and the next caller waits for it.
        let mut next = pin!(shard.session());
        assert!(poll_once(&mut next).await.is_none());
        drop(session);
        let session = next.await.unwrap();
        assert_eq!(session.run::<i64>(&id()).await.unwrap(), first);
        assert_eq!(session.get::<Option<i64>>("a").await.unwrap(), None);
    });
}

#[test]
fn optimistic_tasks_of_a_shard_lose_no_update() {
    run_on_both(|shard| async move {
        shard.set("stock", 40).await.unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let shard = shard.clone();
                glommio::spawn_local(async move {
                    for _ in 0..10 {
                        let sold = shard.optimistic(&["stock"], async |session| {
                            let stock: i64 = session.get("stock").await?;
                            let order = session.transaction();
                            order.set("stock", stock - 1).incr("orders");
                            order.run::<((), i64)>().await
                        });
                        sold.await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(shard.mget::<Vec<i64>>(&["stock", "orders"]).await.unwrap(), [0, 40]);
    });
}

/// A client and the tasks on its shard use one pool, and number their sessions by themselves.
#[test]
fn sessions_of_a_client_and_of_its_shard_are_apart() {
    let redis = Redis::start();
    let client = Client::start(Config::from_url(&redis.url()).unwrap().shards(1)).unwrap();
    let of_client: Vec<_> = (0..4).map(|_| block_on(client.session()).unwrap()).collect();
    let of_shard = client.run_on(0, |shard| async move {
        let (mut sessions, mut ids) = (Vec::new(), Vec::new());
        for number in 0..4 {
            let session = shard.session().await?;
            session.watch(&["a"]).await?;
            ids.push(session.run::<i64>(&cmd("CLIENT").arg("ID")).await?);
            assert_eq!(ids.len(), number + 1);
            sessions.push(session);
        }
        Ok::<_, Error>(ids)
    });
    let of_shard = block_on(of_shard).unwrap().unwrap();
    let ids = of_client.iter().map(|session| block_on(session.run::<i64>(&cmd("CLIENT").arg("ID"))).unwrap());
    let all: BTreeSet<i64> = ids.chain(of_shard).collect();
    assert_eq!(all.len(), 8, "each has a connection for itself");
}

#[test]
fn shard_lives_as_long_as_its_last_session() {
    let redis = Redis::start();
    let url = redis.url();
    run_on_executor(move || async move {
        let shard = Shard::connect(Config::from_url(&url).unwrap()).await.unwrap();
        let session = shard.session().await.unwrap();
        drop(shard);
        session.set("a", 1).await.unwrap();
        assert_eq!(session.get::<i64>("a").await.unwrap(), 1);
    });
}
