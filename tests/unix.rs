//! A redis-server's unix socket: commands, and a server that is gone and comes back.

mod common;

use bytes::Bytes;
use common::{PATIENCE, Redis, obstacle};
use futures_lite::future::block_on;
use hitless::{Client, Config, ErrorKind, Maintenance, cmd};

/// A socket in a folder of its own, and its server.
fn start() -> (tempfile::TempDir, String, Redis) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock").to_str().expect("text").to_owned();
    let redis = Redis::start_with(&["--unixsocket", &path]);
    (folder, path, redis)
}

#[test]
fn commands_and_large_values_go_through_and_a_restart_is_survived() {
    let (_folder, path, mut redis) = start();
    let config = Config::from_url(&format!("unix://{path}")).expect("a URL");
    let client = Client::start(config.shards(2).connections_per_shard(2)).expect("it starts");
    block_on(client.ready(PATIENCE)).expect("it is ready");
    let value = vec![b'x'; 1 << 20];
    block_on(client.set("large", &value)).expect("it is set");
    assert!(
        block_on(client.get::<Option<Bytes>>("large")).expect("a reply").is_some_and(|found| found == value)
    );
    let stats = block_on(client.stats()).expect("it runs");
    assert_eq!(stats[0].connections.get(&format!("unix:{path}")), Some(&2));

    redis.kill();
    redis.restart();
    block_on(client.ready(PATIENCE)).expect("it connects again");
    assert_eq!(block_on(client.incr("counter")).expect("it serves"), 1);
    block_on(client.shutdown(PATIENCE)).expect("nothing is open");
}

#[test]
fn a_socket_that_nobody_listens_on_is_named() {
    let config = Config::from_url("unix:///no/such/redis.sock").expect("a URL");
    let client = Client::start(config.shards(1).connections_per_shard(1)).expect("it starts");
    let error = obstacle(&client, "unix:/no/such/redis.sock: No such file");
    assert_eq!(error.kind(), ErrorKind::Connect);
}

/// Nobody is asked for notifications on a socket that cannot move; who insists on them is told when it is configured.
#[test]
fn hs_unix_socket_skips_on_sockets() {
    let (_folder, path, _redis) = start();
    let config = || Config::from_url(&format!("unix://{path}")).expect("a URL").shards(1);
    // What else a server does not know, such as the names of libraries, makes errors in any case.
    let errors = |maintenance: Maintenance| {
        let client = Client::start(config().maintenance(maintenance)).expect("it starts");
        block_on(client.ready(PATIENCE)).expect("it is ready");
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
