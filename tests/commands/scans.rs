//! The SCAN family as streams.

use std::collections::{BTreeMap, BTreeSet};

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use hitless::command::Commands;
use hitless::options::ScanOptions;
use hitless::{Client, ErrorKind};

use crate::common::Redis;
use crate::{RESP2, RESP3, config, on_a_shard, s, same};

const MEMBERS: usize = 2000;

async fn every_scan(on: &impl Commands) {
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("name:{number}")).collect();
    let all: BTreeSet<String> = names.iter().cloned().collect();
    let fields: Vec<(&String, usize)> = names.iter().zip(0..).collect();
    let places: Vec<(usize, &String)> = (0..).zip(names.iter()).collect();
    on.mset(&fields).await.unwrap();
    on.hset("hash", &fields).await.unwrap();
    on.sadd("set", &names).await.unwrap();
    on.zadd("zset", &places).await.unwrap();

    let options = || ScanOptions::new().matching("name:*");
    let found: BTreeSet<String> = on.scan(options().count(300)).try_collect().await.unwrap();
    assert!(found == all, "{} keys of {MEMBERS}", found.len());
    let found: BTreeSet<String> = on.sscan("set", ScanOptions::new()).try_collect().await.unwrap();
    assert!(found == all, "{} members of {MEMBERS}", found.len());
    let found: BTreeMap<String, usize> = on.hscan("hash", options()).try_collect().await.unwrap();
    assert!(found == names.iter().cloned().zip(0..).collect(), "{} fields of {MEMBERS}", found.len());
    let found: BTreeMap<String, f64> =
        on.zscan("zset", options()).map(|entry| entry.unwrap()).collect().await;
    assert!(
        found == names.iter().cloned().zip((0..).map(f64::from)).collect(),
        "{} of {MEMBERS}",
        found.len()
    );

    let mut hashes = on.scan::<String>(ScanOptions::new().of_type("hash"));
    same(hashes.next().await.unwrap(), s("hash")).unwrap();
    assert!(hashes.next().await.is_none() && hashes.next().await.is_none());
    assert!(on.sscan::<String>("none", ScanOptions::new()).next().await.is_none());
}

async fn errors(on: &impl Commands) {
    on.set("string", "x").await.unwrap();
    let mut scan = on.sscan::<String>("string", ScanOptions::new());
    let error = scan.next().await.unwrap().unwrap_err();
    assert_eq!((error.command(), error.code()), (Some("SSCAN"), Some("WRONGTYPE")));
    assert!(scan.next().await.is_none(), "an error is the last element");
    on.sadd("words", &["x"]).await.unwrap();
    let error = on.sscan::<i64>("words", ScanOptions::new()).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReplyType, "{error}");
}

#[test]
fn scans_find_everything_and_end() {
    for options in [RESP3, RESP2] {
        let redis = Redis::start_with(options);
        on_a_shard(config(&redis), |shard| async move { every_scan(&shard).await });
    }
    let redis = Redis::start();
    block_on(every_scan(&Client::start(config(&redis)).unwrap()));
}

#[test]
fn an_error_ends_a_scan() {
    let redis = Redis::start();
    on_a_shard(config(&redis), |shard| async move { errors(&shard).await });
}
