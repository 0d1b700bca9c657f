//! Unix sockets: commands, and a restart of the server.

use bytes::Bytes;
use futures_lite::future::block_on;
use hitless::{Config, ErrorKind, Maintenance, cmd};

use crate::common::drivers;
use crate::common::{Redis, WAIT_MAX, last_error};

/// A socket in its own folder, and its server.
fn start() -> (tempfile::TempDir, String, Redis) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock").to_str().expect("text").to_owned();
    let redis = Redis::start_with(&["--unixsocket", &path]);
    (folder, path, redis)
}

#[test]
fn commands_large_values_and_a_restart_work() {
    let (_folder, path, mut redis) = start();
    let config = Config::from_url(&format!("unix://{path}")).expect("a URL");
    let client = drivers::start(config.shards(2).connections_per_shard(2)).expect("it starts");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    let value = vec![b'x'; 1 << 20];
    block_on(client.set("large", &value)).expect("it is set");
    assert!(
        block_on(client.get::<Option<Bytes>>("large")).expect("a reply").is_some_and(|found| found == value)
    );
    let stats = block_on(client.stats()).expect("it runs");
    assert_eq!(stats[0].connections.get(&format!("unix:{path}")), Some(&2));

    redis.kill();
    redis.restart();
    block_on(client.ready(WAIT_MAX)).expect("it connects again");
    assert_eq!(block_on(client.incr("counter")).expect("it serves"), 1);
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
}

#[test]
fn a_missing_socket_is_named() {
    let config = Config::from_url("unix:///no/such/redis.sock").expect("a URL");
    let client = drivers::start(config.shards(1).connections_per_shard(1)).expect("it starts");
    let error = last_error(&client, "unix:/no/such/redis.sock: No such file");
    assert_eq!(error.kind(), ErrorKind::Connect);
}

/// A unix socket cannot move, so the client does not ask for notifications there. Required notifications are a
/// configuration error.
#[test]
fn hs_unix_socket_skips_on_sockets() {
    let (_folder, path, _redis) = start();
    let config = || Config::from_url(&format!("unix://{path}")).expect("a URL").shards(1);
    // Other commands that the server does not know, such as CLIENT SETINFO, cause errors in both modes.
    let errors = |maintenance: Maintenance| {
        let client = drivers::start(config().maintenance(maintenance)).expect("it starts");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        let stats = block_on(client.stats()).expect("it runs");
        assert_eq!((stats[0].maintenance.opted_in, stats[0].maintenance.refused), (0, 0));
        let info: String = block_on(client.run(&cmd("INFO").arg("errorstats"))).expect("a reply");
        block_on(client.run::<()>(&cmd("CONFIG").arg("RESETSTAT"))).expect("it is reset");
        info
    };
    assert_eq!(errors(Maintenance::disabled()), errors(Maintenance::auto()));
    let error = config().maintenance(Maintenance::enabled()).validate().expect_err("there are none");
    assert_eq!(error.setting(), "maintenance.mode");
}
