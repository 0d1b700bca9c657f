//! TLS against a redis-server of each test, and against endpoints that move their clients. The tests create every
//! certificate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::future::block_on;
use hitless::net::{Targets, Tls, TlsVersion};
use hitless::observe::{Event, HandoffResult};
use hitless::{Client, Config, Endpoint, Error, ErrorKind};

use crate::common::authority::{Authority, Certificates};
use crate::common::drivers::start;
use crate::common::fixture::{
    ENDLESS, Fixture, WAIT_MAX, connected_to, eventually, giving_up_soon, is_ended, is_handed_off,
};
use crate::common::log::Log;
use crate::common::{Redis, last_error};

const ADDRESS: &[&str] = &["127.0.0.1"];

fn config(redis: &Redis, tls: &Tls) -> Config {
    let config = Config::from_url(&redis.url()).expect("a URL").tls(tls.clone());
    config.shards(1).connections_per_shard(2).command_timeout(WAIT_MAX)
}

fn client(config: Config) -> Client {
    let client = start(config).expect("it starts");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    client
}

/// The error of a client that cannot connect, which must come soon.
#[track_caller]
fn refusal(config: Config, says: &str) -> Error {
    let begin = Instant::now();
    let client = start(config).expect("it starts");
    let error = block_on(client.ready(WAIT_MAX)).expect_err("the connection is rejected");
    assert!(begin.elapsed() < WAIT_MAX / 4, "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    let called = block_on(client.ping()).expect_err("there is no connection");
    assert_eq!(called.kind(), ErrorKind::Tls, "{called}");
    error
}

#[test]
fn commands_pipelines_and_large_values_work_over_tls() {
    let certificates = Certificates::new(ADDRESS);
    let redis = Redis::start_tls(&certificates, &[]);
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let tls = Tls::new().ca_file(certificates.paths()[0]).version_min(version);
        let client = client(config(&redis, &tls));
        let value: Vec<u8> = (0..1 << 20).map(|byte: u32| (byte % 251) as u8).collect();
        let sent: Vec<_> = (0..16).map(|n| client.set(format!("large:{n}"), &value)).collect();
        sent.into_iter().for_each(|reply| block_on(reply).expect("it is set"));
        let asked: Vec<_> = (0..16).map(|n| client.get::<Option<Bytes>>(format!("large:{n}"))).collect();
        for reply in asked {
            assert!(block_on(reply).expect("a reply").is_some_and(|found| found == value));
        }
        block_on(client.del(&["list"])).expect("it is gone");
        let pushed: Vec<_> = (0..8_000).map(|n| client.rpush("list", &[n])).collect();
        for (index, reply) in pushed.into_iter().enumerate() {
            assert_eq!(block_on(reply).expect("a reply"), index as i64 + 1);
        }
        let found: Vec<i64> = block_on(client.lrange("list", 0, -1)).expect("a reply");
        assert_eq!(found, (0..8_000).collect::<Vec<_>>());
        block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
    }
}

#[test]
fn an_untrusted_server_is_rejected_with_the_reason() {
    let certificates = Certificates::new(&["db.test", "127.0.0.2"]);
    let redis = Redis::start_tls(&certificates, &[]);
    let trusting = Tls::new().ca_pem(certificates.authority.pem());
    refusal(config(&redis, &Tls::new().ca_pem(Authority::new().pem())), "not signed by a trusted CA");
    refusal(config(&redis, &trusting), "not for 127.0.0.1");
    refusal(config(&redis, &trusting.clone().server_name("other.test")), "not for other.test");
    client(config(&redis, &trusting.clone().server_name("db.test.")));
    client(config(&redis, &trusting.server_name("127.0.0.2")));
}

#[test]
fn the_minimum_tls_version_is_enforced() {
    let certificates = Certificates::new(ADDRESS);
    let redis = Redis::start_tls(&certificates, &["--tls-protocols", "TLSv1.2"]);
    let tls = Tls::new().ca_pem(certificates.authority.pem());
    client(config(&redis, &tls));
    refusal(config(&redis, &tls.version_min(TlsVersion::Tls13)), "ProtocolVersion");
}

#[test]
fn a_server_may_require_a_client_certificate() {
    let certificates = Certificates::new(ADDRESS);
    let authority = &certificates.authority;
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let options = ["--tls-auth-clients", "yes", "--tls-protocols", protocols];
        let redis = Redis::start_tls(&certificates, &options);
        let tls = Tls::new().ca_pem(authority.pem());
        let (chain, key) = authority.sign(&["client.test"]);
        client(config(&redis, &tls.clone().client_certificate_pem(&chain, &key)));
        let (chain, key) = Authority::new().sign(&["client.test"]);
        refusal(
            config(&redis, &tls.clone().client_certificate_pem(chain, key)),
            "the server refused the TLS handshake",
        );
        let says = if protocols == "TLSv1.3" {
            "requires a client certificate"
        } else {
            "the server refused the TLS handshake"
        };
        refusal(config(&redis, &tls), says);
    }
}

#[test]
fn skipping_certificate_checks_is_logged_once() {
    let log = Log::listen();
    let certificates = Certificates::new(&["db.test"]);
    let redis = Redis::start_tls(&certificates, &[]);
    let says = "certificates of servers are not verified";
    assert_eq!(log.lines_with(says), 0);
    let client = client(config(&redis, &Tls::new().danger_accept_any_certificate()).shards(2));
    block_on(client.set("key", "value")).expect("it works");
    assert_eq!(log.lines_with(says), 1);
}

/// A client reads renewed certificate files and needs no restart.
#[test]
fn certificates_are_renewed_without_a_restart() {
    let certificates = Certificates::new(ADDRESS);
    let other = Authority::new();
    let redis = Redis::start_tls(&certificates, &["--tls-auth-clients", "yes"]);
    for by_hand in [false, true] {
        let put = |authority: &Authority| {
            let (chain, key) = authority.sign(&["client.test"]);
            (certificates.write("client.pem", &chain), certificates.write("client.key", &key))
        };
        let (chain, key) = put(&other);
        let tls = Tls::new().ca_pem(certificates.authority.pem()).client_certificate_files(chain, key);
        let client = start(config(&redis, &tls)).expect("it starts");
        let error = block_on(client.ready(WAIT_MAX)).expect_err("the server does not know the CA");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        let (chain, _) = put(&certificates.authority);
        if by_hand {
            tls.reload().expect("they are good");
        }
        eventually("it is ready", || block_on(client.ping()).is_ok());
        // An invalid file is not used.
        let good = std::fs::read_to_string(&chain).expect("a file");
        certificates.write("client.pem", "garbage");
        let error = tls.reload().expect_err("it is garbage");
        assert_eq!(error.setting(), "tls.client_certificate");
        assert!(error.to_string().contains(&chain), "{error}");
        reconnect(&redis, &client);
        certificates.write("client.pem", &good);
    }
}

/// Kills the connections and waits until they are back.
fn reconnect(redis: &Redis, client: &Client) {
    let before = block_on(client.stats()).expect("it runs")[0].connected;
    let kill = hitless::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("no");
    let _ = block_on(client.run::<i64>(&kill));
    let connected = || block_on(client.stats()).expect("it runs")[0].connected;
    eventually("the connections are back", || connected() >= before + 2);
    block_on(client.ping()).unwrap_or_else(|error| panic!("{}: {error}", redis.port()));
}

#[test]
fn tls_on_one_side_only_is_named() {
    let certificates = Certificates::new(ADDRESS);
    let plain = Redis::start();
    let tls = Tls::new().ca_pem(certificates.authority.pem());
    // The server waits for more bytes.
    let client = start(config(&plain, &tls).connect_timeout(Duration::from_millis(400))).expect("it starts");
    let error = last_error(&client, "is it a port on which TLS is spoken?");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    // The server replies with an error.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        socket.write_all(b"-ERR unknown command\r\n").expect("it is there");
        crate::common::read_to_end(&mut socket);
    });
    let one = Config::new(address.into()).shards(1).connections_per_shard(1).tls(tls);
    refusal(one, "the server speaks Redis without TLS");
    answering.join().expect("it has answered");
    let secure = Redis::start_tls(&certificates, &[]);
    let config = Config::from_url(&secure.url()).expect("a URL").shards(1).connections_per_shard(1);
    let client = start(config).expect("it starts");
    let error = last_error(&client, "use a `rediss://` URL");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    // The rehearsal endpoint sends a TLS alert.
    let fixture = Fixture::certified(&[ADDRESS]);
    let config = Config::new(fixture.address(0).into()).shards(1).connections_per_shard(1);
    refusal(config, "use a `rediss://` URL");
}

/// Moves a client of `db.test` to `target` on the second node; the nodes' certificates have these names. Returns the
/// results of its handoffs, and how many connections lead to the second node afterwards.
fn moved(names: [&[&str]; 2], target: &str, explicit: Option<&str>) -> (Vec<HandoffResult>, usize) {
    let fixture = Fixture::certified(&names);
    let [old, new] = [fixture.address(0), fixture.address(1)];
    let mut tls = fixture.tls().expect("it speaks TLS").clone();
    if let Some(name) = explicit {
        tls = tls.server_name(name);
    }
    let config = fixture.config_of(Endpoint::new("db.test", old.port()).expect("an endpoint")).tls(tls);
    let config = config.resolver(|host: &str, port: u16| {
        assert!(["db.test", "node-2.test."].contains(&host), "{host}");
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    });
    let client = client(config.shards(1).connections_per_shard(2).maintenance(giving_up_soon()));
    fixture.rehearse(1, "RETURN");
    fixture.rehearse(0, &format!("MOVING {ENDLESS} {target}:{}", new.port()));
    fixture.events.wait("handoffs ended", 2, is_ended);
    block_on(client.incr("counter")).expect("it serves");
    let lost =
        fixture.events.count(|event| matches!(event, Event::Disconnected { peer, .. } if *peer == Some(old)));
    let results = fixture.events.results();
    if results.iter().all(|result| *result == HandoffResult::Succeeded) {
        eventually("all connections have moved", || {
            connected_to(&client, new) == 2 && connected_to(&client, old) == 0
        });
    } else {
        assert_eq!((connected_to(&client, old), lost), (2, 0), "the old connections keep serving");
        let again = |event: &Event| matches!(event, Event::HandoffEnded { attempts, .. } if *attempts > 1);
        assert_eq!(fixture.events.count(again), 0, "the handoff is not retried");
    }
    (results, connected_to(&client, new))
}

#[test]
fn mv_tls_names_on_sockets() {
    let configured: &[&str] = &["db.test"];
    for (second, target, explicit) in [
        // The certificate of an address must have the configured name.
        (configured, "127.0.0.1", None),
        // The certificate of a named target may have its own name or the configured one.
        (&["node-2.test"][..], "node-2.test.", None),
        (configured, "node-2.test.", None),
    ] {
        let (results, moved) = moved([configured, second], target, explicit);
        assert!(results == [HandoffResult::Succeeded, HandoffResult::Succeeded] && moved == 2, "{results:?}");
    }
    let own: &[&str] = &["own.test"];
    let (results, count) = moved([own, own], "node-2.test.", Some("own.test"));
    assert!(results == [HandoffResult::Succeeded, HandoffResult::Succeeded] && count == 2, "{results:?}");

    // The certificate has neither name: each connection reports the reason once, and no handoff is retried.
    for (first, second, target, explicit) in [
        (configured, &["127.0.0.1"][..], "127.0.0.1", None),
        (configured, &["other.test"], "node-2.test.", None),
        (own, &["node-2.test", "db.test"], "node-2.test.", Some("own.test")),
    ] {
        let (results, moved) = moved([first, second], target, explicit);
        let says = |result: &HandoffResult| result.to_string().contains("certificate is not for");
        assert!(results.len() == 2 && results.iter().all(says) && moved == 0, "{results:?}");
    }
}

/// A move to another service, or to a port without TLS, fails: the old connection keeps serving, and no credentials
/// are sent in plain text.
#[test]
fn sc_tls_move_needs_valid_name() {
    let configured: &[&str] = &["db.test"];
    let (results, moved) = moved([configured, &["elsewhere.test"]], "node-2.test.", None);
    let says = |result: &HandoffResult| result.to_string().contains("certificate is not for");
    assert!(results.len() == 2 && results.iter().all(says) && moved == 0, "{results:?}");

    let (fixture, eavesdropper) =
        (Fixture::certified(&[ADDRESS]), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let config = fixture.config().password("s3cret").targets(Targets::Any);
    let client = client(config.shards(1).connections_per_shard(1).maintenance(giving_up_soon()));
    let port = eavesdropper.local_addr().expect("an address").port();
    fixture.rehearse(0, &format!(r"PUSH >4\r\n+MOVING\r\n:1\r\n:20\r\n+127.0.0.1:{port}\r\n"));
    let mut received = [0; 4096];
    let (mut socket, _) = eavesdropper.accept().expect("the target is allowed");
    let count = socket.read(&mut received).expect("a TLS hello");
    assert_eq!(received[..2], [0x16, 3], "a record of a TLS handshake");
    assert!(!received[..count].windows(6).any(|bytes| bytes == b"s3cret"));
    drop((socket, eavesdropper));
    fixture.events.wait("the handoff has failed", 1, is_ended);
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(connected_to(&client, fixture.address(0)), 1);
}

/// No command is lost when TLS endpoints move their clients.
#[test]
fn mv_make_before_break_over_tls() {
    let fixture = Fixture::certified(&[ADDRESS, ADDRESS]);
    let client = client(fixture.config().shards(2).connections_per_shard(3));
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        fixture.events.clear();
        fixture.moves((from, to), ENDLESS, "");
        let mut count = 0;
        eventually("all are handed off", || {
            let replies: Vec<_> = (0..200).map(|_| client.incr("counter")).collect();
            for reply in replies {
                block_on(reply).expect("it serves");
                count += 1;
            }
            fixture.events.count(is_handed_off) == 6
        });
        assert!(count > 0);
    }
    assert_eq!(
        fixture.events.results().iter().filter(|result| **result != HandoffResult::Succeeded).count(),
        0
    );
}
