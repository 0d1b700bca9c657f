//! redis-rs code on a hitless client: from tokio, against a real server, and during moves.

mod common;
#[path = "redis_rs/ported.rs"]
mod ported;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::Redis;
use hitless::redis_rs::{Connection, FromRedis, cause};
use hitless::{Client, Config, Frame, Outcome};
use redis::aio::ConnectionLike;
use redis::{
    AsyncCommands, Cmd, ErrorKind, RedisResult, RetryMethod, Script, ServerErrorKind, Value, VerbatimFormat,
    cmd, pipe,
};

const GRACE: Duration = common::WAIT_MAX;

async fn connect(url: &str) -> Connection {
    let config = Config::from_url(url).unwrap().shards(2).connections_per_shard(2);
    let client = Client::start(config).unwrap();
    client.ready(GRACE).await.unwrap();
    Connection::from(client)
}

/// Application code that accepts any redis-rs connection.
async fn visit(connection: &mut impl AsyncCommands, who: &str) -> RedisResult<(i64, Option<String>)> {
    let last: Option<String> = connection.get("last").await?;
    connection.set::<_, _, ()>("last", who).await?;
    Ok((connection.incr("visits", 1).await?, last))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_unchanged() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    assert_eq!(visit(&mut connection, "ann").await, Ok((1, None)));
    let mut client = connection.client().clone();
    assert_eq!(visit(&mut client, "bob").await, Ok((2, Some("ann".into()))));
    connection.hset_multiple::<_, _, _, ()>("hash", &[("a", 1), ("b", 2)]).await.unwrap();
    let hash: BTreeMap<String, u8> = connection.hgetall("hash").await.unwrap();
    assert_eq!(hash, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    connection.zadd_multiple::<_, _, _, ()>("board", &[(1.5, "x"), (2.5, "y")]).await.unwrap();
    let board: Vec<(String, f64)> = connection.zrange_withscores("board", 0, -1).await.unwrap();
    assert_eq!(board, [("x".to_owned(), 1.5), ("y".to_owned(), 2.5)]);
    let error = connection.incr::<_, _, i64>("hash", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Extension, Some("WRONGTYPE")));
    let tasks: Vec<_> = (0..50)
        .map(|task| {
            let mut connection = connection.clone();
            tokio::spawn(async move { connection.sadd::<_, _, i64>("set", task).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(1));
    }
    let mut seen = BTreeSet::new();
    let mut members = connection.sscan::<_, u8>("set").await.unwrap();
    while let Some(member) = members.next_item().await {
        seen.insert(member.unwrap());
    }
    assert_eq!(seen, (0..50).collect());
}

#[tokio::test]
async fn keys_are_scanned_past_the_first_cursor() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let keys: BTreeSet<String> = (0..500).map(|number| format!("key:{number}")).collect();
    let mut fill = pipe();
    keys.iter().for_each(|key| {
        fill.set(key, 1).ignore();
    });
    fill.exec_async(&mut connection).await.unwrap();
    let mut found = BTreeSet::new();
    let mut scan = connection.scan_match::<_, String>("key:*").await.unwrap();
    while let Some(key) = scan.next_item().await {
        found.insert(key.unwrap());
    }
    assert_eq!(found, keys);
}

#[tokio::test]
async fn missing_scripts_are_loaded() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let script = Script::new("return {redis.call('INCRBY', KEYS[1], ARGV[1]), ARGV[2]}");
    for round in 1..=2 {
        let result = script.key("counter").arg(5).arg("x").invoke_async(&mut connection).await;
        assert_eq!(result, Ok((5 * round, "x".to_owned())));
        // The client works like its `Connection`.
        assert_eq!(Script::new("return 1").invoke_async(&mut connection.client().clone()).await, Ok(1));
    }
    let error = Script::new("return redis.error_reply('MY no')").invoke_async::<_, ()>(&mut connection).await;
    assert_eq!(error.unwrap_err().code(), Some("MY"));
}

#[tokio::test]
async fn pipelines_give_results_and_errors_by_index() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let mut pipeline = pipe();
    pipeline.set("text", "x").ignore().incr("number", 2).get("text");
    assert_eq!(pipeline.query_async(&mut connection).await, Ok((2, "x".to_owned())));
    let mut failing = pipe();
    failing.set("text", "y").hset("text", "field", 1).get("text");
    let error = failing.query_async::<()>(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("Index 1, error: \"WRONGTYPE\""), "{error}");
    let each: Vec<RedisResult<String>> = failing.ignore_errors().query_async(&mut connection).await.unwrap();
    assert_eq!((each[0].is_ok(), each[1].is_ok(), each[2].as_deref()), (true, false, Ok("y")));
    const MANY: usize = 100_000;
    let mut long = redis::Pipeline::with_capacity(MANY);
    (0..MANY).for_each(|_| {
        long.incr("long", 1);
    });
    let counts: Vec<usize> = long.query_async(&mut connection).await.unwrap();
    assert!(counts.into_iter().eq(1..=MANY));
    for empty in
        [pipe().query_async::<()>(&mut connection).await, Cmd::new().exec_async(&mut connection).await]
    {
        assert_eq!(empty.unwrap_err().to_string(), "empty command - Client");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_atomic_and_report_errors_by_index() {
    let redis = Redis::start();
    let connection = connect(&redis.url()).await;
    let tasks: Vec<_> = (0..100)
        .map(|task| {
            let mut connection = connection.clone();
            tokio::spawn(async move {
                let mut pipeline = pipe();
                pipeline.atomic().set("a", task).ignore().set("b", -task).ignore().get("a").get("b");
                assert_eq!(pipeline.query_async(&mut connection).await, Ok((task, -task)));
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut connection = connection;
    let mut pipeline = pipe();
    pipeline.atomic().incr("n", 1).cmd("SET").arg("n").incr("n", 1).cmd("NO-SUCH-COMMAND");
    for _ in 0..2 {
        // No command was executed, whether errors are ignored or not.
        let error = pipeline.query_async::<Value>(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::ExecAbort.into());
        let errors = error.into_server_errors().unwrap();
        let indices: Vec<usize> = errors.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [1, 3]);
        assert!(errors[0].1.details().unwrap().contains("wrong number of arguments"), "{errors:?}");
        pipeline.ignore_errors();
    }
    assert_eq!(connection.exists("n").await, Ok(false));
    let error = pipe().atomic().incr("n", 1).incr("n", "x").exec_async(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("Index 1"), "{error}");
    assert_eq!(connection.get("n").await, Ok(1));
    assert_eq!(pipe().atomic().query_async(&mut connection).await, Ok(()));
}

#[tokio::test]
async fn connection_bound_commands_are_rejected_without_side_effects() {
    let redis = Redis::start();
    let mut connection = connect(&format!("{}/3", redis.url())).await;
    assert_eq!((connection.get_db(), connection.client().get_db()), (3, 3));
    for (name, argument) in [("SUBSCRIBE", "news"), ("MONITOR", ""), ("QUIT", "")] {
        let error = cmd(name).arg(argument).exec_async(&mut connection).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Client);
        assert!(error.to_string().contains(name) && error.to_string().contains("use "), "{error}");
        assert!(matches!(error.retry_method(), RetryMethod::NoRetry));
    }
    let error = pipe().set("key", 1).cmd("MULTI").exec_async(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("atomic()"), "{error}");
    assert_eq!(connection.exists("key").await, Ok(false));
    let info: String = cmd("CLIENT").arg("INFO").query_async(&mut connection).await.unwrap();
    assert!(info.contains(" db=3 "), "{info}");
}

#[tokio::test]
async fn blocking_commands_wait_on_connections_of_their_own() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let mut waiting = connection.clone();
    let popped = tokio::spawn(async move { waiting.blpop::<_, (String, String)>("list", 0.0).await });
    assert_eq!(connection.bzpopmin::<_, Option<(String, String, f64)>>("set", 0.01).await, Ok(None));
    assert_eq!(connection.rpush("list", "one").await, Ok(1));
    assert_eq!(popped.await.unwrap(), Ok(("list".into(), "one".into())));
}

#[tokio::test]
async fn watched_transactions_run_if_no_key_has_changed() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let mut other = connection.clone();
    for is_disturbed in [false, true] {
        cmd("WATCH").arg("n").exec_async(&mut connection).await.unwrap();
        if is_disturbed {
            other.set::<_, _, ()>("n", 10).await.unwrap();
        }
        let ran: Option<(i64,)> = pipe().atomic().incr("n", 1).query_async(&mut connection).await.unwrap();
        assert_eq!(ran.is_none(), is_disturbed, "{ran:?}");
    }
    // Clones share the session, as this function needs it.
    let sum: (i64,) =
        redis::aio::transaction_async(connection.clone(), &["n"], |mut clone, mut pipe| async move {
            let n: i64 = clone.get("n").await?;
            if n == 10 {
                // Another connection is faster once.
                cmd("SET").arg("n").arg(20).exec_async(&mut connect(&redis_url(&clone)).await).await?;
            }
            pipe.set("n", n + 1).ignore().get("n").query_async(&mut clone).await
        })
        .await
        .unwrap();
    assert_eq!(sum, (21,));
    // Step by step.
    cmd("MULTI").exec_async(&mut connection).await.unwrap();
    assert_eq!(connection.incr("n", 1).await, Ok("QUEUED".to_owned()));
    assert_eq!(cmd("EXEC").query_async(&mut connection).await, Ok((22,)));
    assert_eq!(connection.get("n").await, Ok(22));
}

fn redis_url(connection: &Connection) -> String {
    format!("redis://{}", connection.client().config().endpoint())
}

#[tokio::test]
async fn selected_database_is_that_of_one_handle() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let mut other = connection.clone();
    cmd("SELECT").arg(3).exec_async(&mut connection).await.unwrap();
    connection.set::<_, _, ()>("here", 1).await.unwrap();
    assert_eq!(connection.get("here").await, Ok(1));
    assert_eq!(other.exists("here").await, Ok(false));
}

#[tokio::test]
async fn no_response_commands_return_at_once() {
    let redis = Redis::start();
    let connection = connect(&redis.url()).await;
    let handles =
        [connection.clone(), connection.client().by_key().into(), connection.client().least_loaded().into()];
    for mut connection in handles {
        redis.signal(libc::SIGSTOP);
        cmd("SET").arg("key").arg("foo").set_no_response(true).exec_async(&mut connection).await.unwrap();
        cmd("HSET").arg("key").arg("foo").set_no_response(true).exec_async(&mut connection).await.unwrap();
        cmd("APPEND").arg("key").arg("bar").set_no_response(true).exec_async(&mut connection).await.unwrap();
        redis.signal(libc::SIGCONT);
        assert_eq!(connection.get("key").await, Ok("foobar".to_owned()));
    }
    connection.client().shutdown(GRACE).await.unwrap();
    let error = cmd("PING").set_no_response(true).exec_async(&mut connection.clone()).await.unwrap_err();
    assert!(error.is_connection_dropped(), "{error}");
}

#[tokio::test]
async fn errors_name_the_outcome_and_never_suggest_a_retry() {
    let mut redis = Redis::start();
    let mut connection = connect(&format!("{}?command_timeout=300ms", redis.url())).await;
    redis.signal(libc::SIGSTOP);
    let error = connection.incr::<_, _, i64>("counter", 1).await.unwrap_err();
    assert!(error.is_io_error() && error.to_string().contains("it may have been executed"), "{error}");
    assert!(matches!(error.retry_method(), RetryMethod::NoRetry) && !error.is_unrecoverable_error());
    let found = cause(&error).unwrap();
    assert_eq!((found.kind(), found.outcome()), (hitless::ErrorKind::Timeout, Outcome::Ambiguous));
    let mut pipeline = pipe();
    let error = pipeline.atomic().incr("counter", 1).exec_async(&mut connection).await.unwrap_err();
    assert!(error.is_io_error(), "{error}");
    redis.kill();
    // When the client knows that there is no server, it writes nothing.
    let unsent = loop {
        let error = connection.incr::<_, _, i64>("counter", 1).await.unwrap_err();
        if cause(&error).unwrap().outcome() == Outcome::Unsent {
            break error;
        }
    };
    assert!(unsent.is_timeout() && !matches!(unsent.retry_method(), RetryMethod::NoRetry), "{unsent}");
    connection.client().shutdown(GRACE).await.unwrap();
    let gone = connection.get::<_, ()>("key").await.unwrap_err();
    assert!(gone.is_unrecoverable_error() && cause(&gone).unwrap().kind() == hitless::ErrorKind::ShutDown);
}

#[tokio::test]
async fn every_resp3_type_converts_as_in_redis_rs() {
    let redis = Redis::start_with(&["--enable-debug-command", "yes"]);
    let mut connection = connect(&redis.url()).await;
    let text = |text: &str| Value::BulkString(text.into());
    let numbers = |range: std::ops::Range<i64>| range.map(Value::Int).collect::<Vec<_>>();
    let map = (0..3).map(|number| (Value::Int(number), Value::Boolean(number == 1))).collect();
    let attributes = vec![(text("key-popularity"), Value::Array(vec![text("key:123"), Value::Int(90)]))];
    let verbatim = "This is a verbatim\nstring".to_owned();
    let cases = [
        ("string", text("Hello World")),
        ("integer", Value::Int(12345)),
        ("double", redis::parse_redis_value(b",3.141\r\n").unwrap()),
        ("null", Value::Nil),
        ("array", Value::Array(numbers(0..3))),
        ("set", Value::Set(numbers(0..3))),
        ("map", Value::Map(map)),
        ("verbatim", Value::VerbatimString { format: VerbatimFormat::Text, text: verbatim }),
        ("true", Value::Boolean(true)),
        ("false", Value::Boolean(false)),
        ("bignum", redis::parse_redis_value(b"(1234567999999999999999999999999999999\r\n").unwrap()),
    ];
    for (kind, expected) in cases {
        let mut command = cmd("DEBUG");
        command.arg("PROTOCOL").arg(kind);
        assert_eq!(connection.req_packed_command(&command).await, Ok(expected), "{kind}");
    }
    let mut attributed = cmd("DEBUG");
    match connection.req_packed_command(attributed.arg("PROTOCOL").arg("attrib")).await {
        Ok(Value::Attribute { data, attributes: found }) => {
            assert_eq!((*data, found), (text("Some real reply following the attribute"), attributes));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn commands_run_on_a_shard_with_any_reply_type() {
    let redis = Redis::start();
    let connection = connect(&redis.url()).await;
    let run = |shard: hitless::Shard| async move {
        let push = hitless::Cmd::from(cmd("RPUSH").arg("list").arg(&["a", "b"]));
        assert_eq!(shard.run::<Value>(&push).await.unwrap(), Value::Int(2));
        let range = hitless::Cmd::from(cmd("LRANGE").arg("list").arg(0).arg(-1));
        let FromRedis(list): FromRedis<Vec<String>> = shard.run(&range).await.unwrap();
        assert_eq!(list, ["a", "b"]);
        let wrong = hitless::Cmd::from(cmd("INCR").arg("list"));
        assert!(matches!(shard.run::<Value>(&wrong).await, Ok(Value::ServerError(_))));
        let error = shard.run::<FromRedis<i64>>(&wrong).await.unwrap_err();
        assert_eq!((error.code(), error.command()), (Some("WRONGTYPE"), Some("INCR")));
        assert!(matches!(shard.run::<Frame>(&push).await, Ok(Frame::Integer(4))));
    };
    connection.client().run_on(1, run).await.unwrap();
}

#[cfg(feature = "cli")]
mod moving {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::common::fixture::{Fixture, connected_to, eventually};

    const TASKS: u64 = 8;
    const MOVES: usize = 4;

    #[derive(Default)]
    struct Progress {
        stop: AtomicBool,
        done: AtomicU64,
    }

    /// Increments one counter, by single commands and in transactions, and checks every reply.
    async fn count(
        mut connection: impl AsyncCommands,
        key: String,
        progress: Arc<Progress>,
    ) -> RedisResult<i64> {
        let mut count = 0;
        while !progress.stop.load(Ordering::Relaxed) {
            count += 1;
            assert_eq!(connection.incr::<_, _, i64>(&key, 1).await?, count);
            let mut twice = pipe();
            let both: (i64, String) =
                twice.atomic().incr(&key, 1).get(&key).query_async(&mut connection).await?;
            count += 1;
            assert_eq!(both, (count, count.to_string()));
            progress.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(count)
    }

    #[test]
    fn a_move_causes_no_error() {
        let fixture = Fixture::new(2);
        let client = fixture.client(2, 2);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let progress = Arc::new(Progress::default());
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let connection = Connection::from(client.clone());
                runtime.spawn(count(connection, format!("counter:{task}"), progress.clone()))
            })
            .collect();
        let wait_for_replies = || {
            let until = progress.done.load(Ordering::Relaxed) + 10 * TASKS;
            eventually("the load goes on", || progress.done.load(Ordering::Relaxed) >= until);
        };
        for turn in 0..MOVES {
            wait_for_replies();
            let (from, to) = (turn % 2, (turn + 1) % 2);
            fixture.moves((from, to), "30", "");
            eventually("all have moved", || {
                let connected = |node| connected_to(&client, fixture.address(node));
                (connected(from), connected(to)) == (0, 4)
            });
        }
        wait_for_replies();
        progress.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            assert!(runtime.block_on(task).unwrap().unwrap() > 0);
        }
        let totals = runtime.block_on(client.stats()).unwrap();
        assert!(totals.iter().all(|stats| stats.lost == 0), "{totals:#?}");
    }
}
