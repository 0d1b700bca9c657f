//! Servers that do not offer notifications, or not to this user, and clients that want them, may do without, or do
//! not want them.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config, Error, ErrorKind, Maintenance};

use crate::common::Redis;
use crate::common::stage::{PATIENCE, Stage, eventually, is_announced, is_handed_off, stats, sum};

/// Why a client that insists on notifications does not become ready, which it has to know soon.
fn refusal(config: Config) -> Error {
    let begin = Instant::now();
    let config = config.shards(1).connections_per_shard(4).maintenance(Maintenance::enabled());
    let client = Client::start(config).expect("it starts");
    let error = block_on(client.ready(PATIENCE)).expect_err("it is turned away");
    assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
    // Who calls is told so as well.
    let called = block_on(client.ping()).expect_err("there is no connection");
    assert_eq!(called.kind(), error.kind(), "{called}");
    error
}

/// The same, plain and over TLS.
fn refusals_by(answer: &str) -> [Error; 2] {
    Stage::plain_and_tls(1).map(|stage| {
        stage.rehearse(0, &format!("MAINT {answer}"));
        refusal(stage.config())
    })
}

#[test]
fn hs_enabled_unknown_subcommand_on_sockets() {
    for (answer, says) in
        [("unknown", "unknown subcommand"), ("disabled", "disabled"), ("garbage", "neither OK")]
    {
        for error in refusals_by(answer) {
            assert_eq!(error.kind(), ErrorKind::MaintRefused, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

#[test]
fn hs_noperm_enabled_fails_on_sockets() {
    for error in refusals_by("noperm") {
        assert_eq!(error.kind(), ErrorKind::MaintDenied, "{error}");
        assert!(error.to_string().contains("NOPERM"), "{error}");
    }
}

#[test]
fn hs_enabled_hello_unknown_fails_on_sockets() {
    for (_redis, config) in Redis::plain_and_tls(&["--rename-command", "HELLO", ""]) {
        let error = refusal(config);
        assert_eq!(error.kind(), ErrorKind::Resp3NotNegotiated, "{error}");
    }
}

/// A server that closes, or never answers, is one to be tried again, and not one that refuses.
#[test]
fn hs_maint_eof_or_timeout_fails_conn_on_sockets() {
    for (answer, mode) in [
        ("silence", Maintenance::auto()),
        ("close", Maintenance::auto()),
        ("silence", Maintenance::enabled()),
        ("close", Maintenance::enabled()),
    ] {
        for stage in Stage::plain_and_tls(1) {
            stage.rehearse(0, &format!("MAINT {answer}"));
            let config = stage.config().shards(1).connections_per_shard(2).maintenance(mode.clone());
            let client =
                Client::start(config.connect_timeout(Duration::from_millis(300))).expect("it starts");
            stage.events.wait("attempts that failed", 3, |event| matches!(event, Event::Disconnected { .. }));
            assert_eq!(stage.events.count(|event| matches!(event, Event::Connected { .. })), 0);
            stage.rehearse(0, "MAINT ok");
            block_on(client.ready(PATIENCE)).expect("it is tried again");
            assert_eq!(sum(&client, |sums| sums.opted_in), 2, "{answer}");
        }
    }
}

#[test]
fn hs_auto_unknown_subcommand_on_sockets() {
    for answer in ["unknown", "disabled", "garbage"] {
        assert_tells_once(answer, false);
    }
}

#[test]
fn hs_noperm_auto_warns_once_on_sockets() {
    assert_tells_once("noperm", true);
}

/// The client works, each shard says once that this peer has no notifications, and another peer is asked all the same.
fn assert_tells_once(answer: &str, is_denied: bool) {
    for stage in Stage::plain_and_tls(2) {
        assert_tells_once_on(&stage, answer, is_denied);
    }
}

fn assert_tells_once_on(stage: &Stage, answer: &str, is_denied: bool) {
    stage.rehearse(0, &format!("MAINT {answer}"));
    let client = stage.client(2, 5);
    let told = |event: &Event| matches!(event, Event::NotOffered { denied, .. } if *denied == is_denied);
    assert_eq!(stage.events.count(told), 2, "one for each shard: {:#?}", stage.events.all());
    assert_eq!(sum(&client, |sums| sums.refused), 2, "nor did the others ask");
    for handle in [client.clone(), client.clone(), client.clone()] {
        block_on(handle.incr("counter")).expect("it works");
    }
    // Connections that are lost, and made again, are no reason to tell it again.
    stage.rehearse(0, "CLOSE");
    stage.events.wait("connected again", 20, |event| matches!(event, Event::Connected { .. }));
    assert_eq!((stage.events.count(told), sum(&client, |sums| sums.refused)), (2, 2));

    let other = stage.config_of(stage.address(1).into());
    let other = Client::start(other.shards(1).connections_per_shard(2)).expect("it starts");
    block_on(other.ready(PATIENCE)).expect("it is ready");
    assert_eq!(sum(&other, |sums| sums.opted_in), 2);
}

/// A server that knows the request, and not the type of endpoint, is asked once more without one.
#[test]
fn a_server_that_knows_no_types_is_asked_without_one() {
    for mode in [Maintenance::auto(), Maintenance::enabled()] {
        let stage = Stage::new(1);
        stage.rehearse(0, "MAINT syntax");
        let client =
            stage.client_with(|config| config.shards(1).connections_per_shard(2).maintenance(mode.clone()));
        assert_eq!((sum(&client, |sums| sums.opted_in), sum(&client, |sums| sums.refused)), (2, 0));
    }
}

/// Each connection asks for itself, whatever another endpoint has answered.
#[test]
fn hs_auto_never_promotes_on_sockets() {
    for stage in Stage::plain_and_tls(2) {
        stage.rehearse(1, "MAINT unknown");
        let client = stage.client(1, 3);
        stage.announce("20", "");
        stage.events.wait("handed off", 3, is_handed_off);
        block_on(client.incr("counter")).expect("it works on a node without notifications");
        assert_eq!((sum(&client, |sums| sums.opted_in), sum(&client, |sums| sums.refused)), (3, 1));
        assert_eq!(stage.events.count(|event| matches!(event, Event::NotOffered { denied: false, .. })), 1);
    }
}

#[test]
fn hs_auto_hello_unknown_resp2_on_sockets() {
    for (_redis, config) in Redis::plain_and_tls(&["--rename-command", "HELLO", "", "--requirepass", "pw"]) {
        let config = config.password("pw").shards(1).connections_per_shard(2);
        let client = Client::start(config).expect("it starts");
        block_on(client.ready(PATIENCE)).expect("it is ready");
        block_on(client.set("key", "value")).expect("it is logged in");
        assert_eq!(block_on(client.get::<String>("key")).expect("a reply"), "value");
        assert_eq!((sum(&client, |sums| sums.opted_in), sum(&client, |sums| sums.refused)), (0, 0));
    }
}

#[test]
fn hs_wrongpass_not_masked_on_sockets() {
    for (_redis, config) in Redis::plain_and_tls(&["--requirepass", "pw"]) {
        let error = refusal(config.password("another"));
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        assert!(error.to_string().contains("WRONGPASS"), "{error}");
    }
}

/// Loopback is internal; over TLS a name is asked for, because that is what certificates are for.
#[test]
fn hs_endpoint_type_matrix_on_sockets() {
    for (stage, kind) in Stage::plain_and_tls(1).into_iter().zip(["internal-ip", "internal-fqdn"]) {
        let _client = stage.client(1, 1);
        assert_eq!(stage.stats()["nodes"][0]["connections"][0]["endpoint_type"], kind);
    }
}

/// Before TLS has begun, in the middle of it, and after it.
#[test]
fn hs_socket_dies_mid_handshake_on_sockets() {
    for (stage, tls) in Stage::plain_and_tls(1).into_iter().zip([false, true]) {
        for bytes in if tls { vec![0, 1, 100] } else { vec![0, 1] } {
            let door = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = door.local_addr().expect("an address");
            let config = stage.config_of(address.into()).shards(1).connections_per_shard(1);
            let client = Client::start(config.connect_timeout(PATIENCE)).expect("it starts");
            for _ in 0..3 {
                let (mut socket, _) = door.accept().expect("it comes again");
                socket.read_exact(&mut vec![0; bytes]).expect("it says something");
            }
            drop(client);
        }
        stage.rehearse(0, "MAINT close");
        let client = Client::start(stage.config().shards(1).connections_per_shard(1)).expect("it starts");
        stage.events.wait("attempts that failed", 3, |event| matches!(event, Event::Disconnected { .. }));
        stage.rehearse(0, "MAINT ok");
        block_on(client.ready(PATIENCE)).expect("it is tried again");
    }
}

#[test]
fn hs_disabled_sends_nothing_on_sockets() {
    let stage = Stage::new(2);
    let client = stage
        .client_with(|config| config.shards(1).connections_per_shard(2).maintenance(Maintenance::disabled()));
    let stats = |name: &str| stage.stats()["nodes"][0]["connections"][0][name].clone();
    assert_eq!(stats("opted_in"), false);
    let target = stage.address(1).to_string();
    let push = format!(r">4\r\n$6\r\nMOVING\r\n:1\r\n:1\r\n${}\r\n{target}\r\n", target.len());
    stage.rehearse(0, &format!("PUSH {push}"));
    eventually("both have read it", || sum(&client, |sums| sums.ignored) == 2);
    block_on(client.incr("counter")).expect("it works");
    assert_eq!((stage.events.count(is_announced), stage.connections(1).len()), (0, 0));
    assert_eq!(sum(&client, |sums| sums.windows_open), 0);
    assert_eq!(self::stats(&client)[0].pushes, 2);
}
