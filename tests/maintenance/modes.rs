//! Servers that do not offer notifications, or not to this user, and clients in each maintenance mode.

use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Config, Error, ErrorKind, Maintenance};

use crate::common::Redis;
use crate::common::drivers::start;
use crate::common::fixture::{Fixture, WAIT_MAX, eventually, is_announced, is_handed_off, stats, sum};

/// The error of a client that requires notifications and cannot connect, which must come soon.
fn refusal(config: Config) -> Error {
    let begin = Instant::now();
    let config = config.shards(1).connections_per_shard(4).maintenance(Maintenance::enabled());
    let client = start(config).expect("it starts");
    let error = block_on(client.ready(WAIT_MAX)).expect_err("the connection is rejected");
    assert!(begin.elapsed() < WAIT_MAX / 4, "{:?}", begin.elapsed());
    // Calls fail with the same error.
    let called = block_on(client.ping()).expect_err("there is no connection");
    assert_eq!(called.kind(), error.kind(), "{called}");
    error
}

/// The same errors, plain and over TLS.
fn refusals_by(answer: &str) -> [Error; 2] {
    Fixture::plain_and_tls(1).map(|fixture| {
        fixture.rehearse(0, &format!("MAINT {answer}"));
        refusal(fixture.config())
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

/// A server that closes or never answers is tried again; it does not count as one that refuses.
#[test]
fn hs_maint_eof_or_timeout_fails_conn_on_sockets() {
    for (answer, mode) in [
        ("silence", Maintenance::auto()),
        ("close", Maintenance::auto()),
        ("silence", Maintenance::enabled()),
        ("close", Maintenance::enabled()),
    ] {
        for fixture in Fixture::plain_and_tls(1) {
            fixture.rehearse(0, &format!("MAINT {answer}"));
            let config = fixture.config().shards(1).connections_per_shard(2).maintenance(mode.clone());
            let client = start(config.connect_timeout(Duration::from_millis(300))).expect("it starts");
            fixture
                .events
                .wait("attempts that failed", 3, |event| matches!(event, Event::Disconnected { .. }));
            assert_eq!(fixture.events.count(|event| matches!(event, Event::Connected { .. })), 0);
            fixture.rehearse(0, "MAINT ok");
            block_on(client.ready(WAIT_MAX)).expect("it is tried again");
            assert_eq!(sum(&client, |sums| sums.opted_in), 2, "{answer}");
        }
    }
}

#[test]
fn hs_auto_unknown_subcommand_on_sockets() {
    for answer in ["unknown", "disabled", "garbage"] {
        assert_reports_once(answer, false);
    }
}

#[test]
fn hs_noperm_auto_warns_once_on_sockets() {
    assert_reports_once("noperm", true);
}

/// The client works, each shard reports once that this peer has no notifications, and another peer is still asked.
fn assert_reports_once(answer: &str, is_denied: bool) {
    for fixture in Fixture::plain_and_tls(2) {
        assert_reports_once_on(&fixture, answer, is_denied);
    }
}

fn assert_reports_once_on(fixture: &Fixture, answer: &str, is_denied: bool) {
    fixture.rehearse(0, &format!("MAINT {answer}"));
    let client = fixture.client(2, 5);
    let is_reported =
        |event: &Event| matches!(event, Event::NotOffered { denied, .. } if *denied == is_denied);
    assert_eq!(fixture.events.count(is_reported), 2, "one for each shard: {:#?}", fixture.events.all());
    assert_eq!(sum(&client, |sums| sums.refused), 2, "only one connection of each shard asked");
    for handle in [client.clone(), client.clone(), client.clone()] {
        block_on(handle.incr("counter")).expect("it works");
    }
    // Reconnects do not report it again.
    fixture.rehearse(0, "CLOSE");
    fixture.events.wait("connected again", 20, |event| matches!(event, Event::Connected { .. }));
    assert_eq!((fixture.events.count(is_reported), sum(&client, |sums| sums.refused)), (2, 2));

    let other = fixture.config_of(fixture.address(1).into());
    let other = start(other.shards(1).connections_per_shard(2)).expect("it starts");
    block_on(other.ready(WAIT_MAX)).expect("it is ready");
    assert_eq!(sum(&other, |sums| sums.opted_in), 2);
}

/// A server that knows the request but not the endpoint type is asked again without one.
#[test]
fn a_server_without_endpoint_types_is_asked_without_one() {
    for mode in [Maintenance::auto(), Maintenance::enabled()] {
        let fixture = Fixture::new(1);
        fixture.rehearse(0, "MAINT syntax");
        let client =
            fixture.client_with(|config| config.shards(1).connections_per_shard(2).maintenance(mode.clone()));
        assert_eq!((sum(&client, |sums| sums.opted_in), sum(&client, |sums| sums.refused)), (2, 0));
    }
}

/// Each connection asks its own server, whatever another endpoint answered.
#[test]
fn hs_auto_never_promotes_on_sockets() {
    for fixture in Fixture::plain_and_tls(2) {
        fixture.rehearse(1, "MAINT unknown");
        let client = fixture.client(1, 3);
        fixture.announce("20", "");
        fixture.events.wait("handed off", 3, is_handed_off);
        block_on(client.incr("counter")).expect("it works on a node without notifications");
        assert_eq!((sum(&client, |sums| sums.opted_in), sum(&client, |sums| sums.refused)), (3, 1));
        assert_eq!(fixture.events.count(|event| matches!(event, Event::NotOffered { denied: false, .. })), 1);
    }
}

#[test]
fn hs_auto_hello_unknown_resp2_on_sockets() {
    for (_redis, config) in Redis::plain_and_tls(&["--rename-command", "HELLO", "", "--requirepass", "pw"]) {
        let config = config.password("pw").shards(1).connections_per_shard(2);
        let client = start(config).expect("it starts");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
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

/// Loopback is internal. Over TLS the client asks for names, because certificates are issued for names.
#[test]
fn hs_endpoint_type_matrix_on_sockets() {
    for (fixture, kind) in Fixture::plain_and_tls(1).into_iter().zip(["internal-ip", "internal-fqdn"]) {
        let _client = fixture.client(1, 1);
        assert_eq!(fixture.stats()["nodes"][0]["connections"][0]["endpoint_type"], kind);
    }
}

/// The socket closes before, during and after the TLS handshake.
#[test]
fn hs_socket_dies_mid_handshake_on_sockets() {
    for (fixture, tls) in Fixture::plain_and_tls(1).into_iter().zip([false, true]) {
        for bytes in if tls { vec![0, 1, 100] } else { vec![0, 1] } {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let config = fixture.config_of(address.into()).shards(1).connections_per_shard(1);
            let client = start(config.connect_timeout(WAIT_MAX)).expect("it starts");
            for _ in 0..3 {
                let (mut socket, _) = listener.accept().expect("the client dials again");
                socket.read_exact(&mut vec![0; bytes]).expect("the first bytes");
            }
            drop(client);
        }
        fixture.rehearse(0, "MAINT close");
        let client = start(fixture.config().shards(1).connections_per_shard(1)).expect("it starts");
        fixture.events.wait("attempts that failed", 3, |event| matches!(event, Event::Disconnected { .. }));
        fixture.rehearse(0, "MAINT ok");
        block_on(client.ready(WAIT_MAX)).expect("it is tried again");
    }
}

#[test]
fn hs_disabled_sends_nothing_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture
        .client_with(|config| config.shards(1).connections_per_shard(2).maintenance(Maintenance::disabled()));
    let stats = |name: &str| fixture.stats()["nodes"][0]["connections"][0][name].clone();
    assert_eq!(stats("opted_in"), false);
    let target = fixture.address(1).to_string();
    let push = format!(r">4\r\n$6\r\nMOVING\r\n:1\r\n:1\r\n${}\r\n{target}\r\n", target.len());
    fixture.rehearse(0, &format!("PUSH {push}"));
    eventually("both have read it", || sum(&client, |sums| sums.ignored) == 2);
    block_on(client.incr("counter")).expect("it works");
    assert_eq!((fixture.events.count(is_announced), fixture.connections(1).len()), (0, 0));
    assert_eq!(sum(&client, |sums| sums.windows_open), 0);
    assert_eq!(self::stats(&client)[0].pushes, 2);
}
