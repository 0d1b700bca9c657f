//! Scripts, whose source is sent once.

use futures_lite::future::block_on;
use hitless::command::{Commands, Script};
use hitless::options::ScanOptions;
use hitless::{Client, Frame};

use crate::common::Redis;
use crate::{config, list, on_a_shard, s};

async fn calls_of(on: &impl Commands, command: &str) -> u32 {
    let text = on.info_of(&["commandstats"]).await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

async fn script(on: &impl Commands) {
    let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    for _ in 0..3 {
        let reply: Vec<String> = script.run(on, &["k"], &["a", "b"]).await.unwrap();
        assert_eq!(reply, list(["k", "a", "b"]));
    }
    assert_eq!((calls_of(on, "evalsha").await, calls_of(on, "eval").await), (3, 1));
    assert_eq!(on.script_exists(&[script.sha1()]).await.unwrap(), [true]);
    // The source is sent again when the server has forgotten it, even if any reply would do.
    on.script_flush().await.unwrap();
    let reply: Frame = script.run(on, &["k"], &["a", "b"]).await.unwrap();
    assert!(matches!(reply, Frame::Array(_)), "{reply:?}");
    assert_eq!((calls_of(on, "evalsha").await, calls_of(on, "eval").await), (4, 2));

    let failing = Script::new("return redis.call('INCR', KEYS[1])");
    on.set("text", "x").await.unwrap();
    for _ in 0..2 {
        let error = failing.run::<i64, _, _, &str>(on, &["text"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("not an integer"), "{error}");
    }
    assert_eq!(calls_of(on, "eval").await, 3, "an error of the script does not send its source again");
    assert_eq!(failing.source(), s("return redis.call('INCR', KEYS[1])"));
}

#[test]
fn a_scripts_source_is_sent_only_when_unknown() {
    let redis = Redis::start();
    on_a_shard(config(&redis), |shard| async move { script(&shard).await });
    let redis = Redis::start();
    block_on(script(&Client::start(config(&redis)).unwrap()));
}

/// Futures of a client may be awaited on another thread than the calling one.
#[test]
fn futures_of_a_client_are_send() {
    fn crosses<T: Send>(future: T) -> T {
        future
    }
    let redis = Redis::start();
    let client = Client::start(config(&redis)).unwrap();
    let script = Script::new("return ARGV[1]");
    let transaction = client.transaction();
    transaction.incr("n").incr("n");
    let executing = crosses(transaction.run::<(i64, i64)>());
    let running = crosses(script.run::<String, _, &str, _>(&client, &[], &["a"]));
    let mut scan = crosses(client.scan::<String>(ScanOptions::new()));
    std::thread::scope(|scope| {
        let executed = scope.spawn(|| block_on(executing)).join().unwrap();
        assert_eq!(executed.unwrap(), (1, 2));
        assert_eq!(scope.spawn(|| block_on(running)).join().unwrap().unwrap(), "a");
        let found = scope.spawn(move || block_on(crosses(scan.next()))).join().unwrap();
        assert_eq!(found.unwrap().unwrap(), "n");
    });
}
