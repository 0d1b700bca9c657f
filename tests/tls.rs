//! TLS as servers speak it: a redis-server of its own for each test, and endpoints that move their clients. Every
//! certificate is made here.
#![cfg(feature = "cli")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::authority::{Authority, Certificates};
use common::stage::{ENDLESS, PATIENCE, Stage, connected_to, eventually, impatient, is_ended, is_handed_off};
use common::{Redis, obstacle};
use futures_lite::future::block_on;
use hitless::net::{Targets, Tls, TlsVersion};
use hitless::observe::{Event, HandoffResult};
use hitless::{Client, Config, Endpoint, Error, ErrorKind};

const ADDRESS: &[&str] = &["127.0.0.1"];

fn config(redis: &Redis, tls: &Tls) -> Config {
    let config = Config::from_url(&redis.url()).expect("a URL").tls(tls.clone());
    config.shards(1).connections_per_shard(2).command_timeout(PATIENCE)
}

fn client(config: Config) -> Client {
    let client = Client::start(config).expect("it starts");
    block_on(client.ready(PATIENCE)).expect("it is ready");
    client
}

/// Why a client does not become ready, which it has to know soon.
#[track_caller]
fn refusal(config: Config, says: &str) -> Error {
    let begin = Instant::now();
    let client = Client::start(config).expect("it starts");
    let error = block_on(client.ready(PATIENCE)).expect_err("it is turned away");
    assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    let called = block_on(client.ping()).expect_err("there is no connection");
    assert_eq!(called.kind(), ErrorKind::Tls, "{called}");
    error
}

/// What is logged as a warning, or worse, by anything in this test program.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen() -> Log {
        static LOG: OnceLock<Log> = OnceLock::new();
        let begin = || {
            let log = Log::default();
            let writer = log.clone();
            let builder = tracing_subscriber::fmt().with_ansi(false);
            let builder = builder.with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
            builder.with_writer(move || writer.clone()).try_init().expect("nobody else logs here");
            log
        };
        LOG.get_or_init(begin).clone()
    }

    fn lines_with(&self, text: &str) -> usize {
        let all = self.0.lock().expect("no panic");
        String::from_utf8_lossy(&all).lines().filter(|line| line.contains(text)).count()
    }
}

#[test]
fn commands_pipelines_and_large_values_go_through() {
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
        block_on(client.shutdown(PATIENCE)).expect("nothing is open");
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_refused_and_says_why() {
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
fn the_oldest_version_that_is_spoken_is_what_was_said() {
    let certificates = Certificates::new(ADDRESS);
    let redis = Redis::start_tls(&certificates, &["--tls-protocols", "TLSv1.2"]);
    let tls = Tls::new().ca_pem(certificates.authority.pem());
    client(config(&redis, &tls));
    refusal(config(&redis, &tls.version_min(TlsVersion::Tls13)), "ProtocolVersion");
}

#[test]
fn a_server_may_want_to_know_who_calls() {
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
            "wants a certificate"
        } else {
            "the server refused the TLS handshake"
        };
        refusal(config(&redis, &tls), says);
    }
}

#[test]
fn whoever_trusts_anybody_is_told_so_once() {
    let log = Log::listen();
    let certificates = Certificates::new(&["db.test"]);
    let redis = Redis::start_tls(&certificates, &[]);
    let says = "certificates of servers are not verified";
    assert_eq!(log.lines_with(says), 0);
    let client = client(config(&redis, &Tls::new().danger_accept_any_certificate()).shards(2));
    block_on(client.set("key", "value")).expect("it works");
    assert_eq!(log.lines_with(says), 1);
}

/// A client whose certificate is renewed, in the files that it was told of, goes on without a restart.
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
        let client = Client::start(config(&redis, &tls)).expect("it starts");
        let error = block_on(client.ready(PATIENCE)).expect_err("it is a stranger");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        let (chain, _) = put(&certificates.authority);
        if by_hand {
            tls.reload().expect("they are good");
        }
        eventually("it is ready", || block_on(client.ping()).is_ok());
        // What is no good is not used.
        let good = std::fs::read_to_string(&chain).expect("a file");
        certificates.write("client.pem", "rubbish");
        let error = tls.reload().expect_err("it is rubbish");
        assert_eq!(error.setting(), "tls.client_certificate");
        assert!(error.to_string().contains(&chain), "{error}");
        client_again(&redis, &client);
        certificates.write("client.pem", &good);
    }
}

/// The connections are lost, and made again.
fn client_again(redis: &Redis, client: &Client) {
    let before = block_on(client.stats()).expect("it runs")[0].connected;
    let kill = hitless::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("no");
    let _ = block_on(client.run::<i64>(&kill));
    let connected = || block_on(client.stats()).expect("it runs")[0].connected;
    eventually("it has connected again", || connected() >= before + 2);
    block_on(client.ping()).unwrap_or_else(|error| panic!("{}: {error}", redis.port()));
}

#[test]
fn who_speaks_tls_to_those_who_do_not_is_told_so() {
    let certificates = Certificates::new(ADDRESS);
    let plain = Redis::start();
    let tls = Tls::new().ca_pem(certificates.authority.pem());
    // It waits for more.
    let client =
        Client::start(config(&plain, &tls).connect_timeout(Duration::from_millis(400))).expect("it starts");
    let error = obstacle(&client, "is it a port on which TLS is spoken?");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    // It answers.
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().expect("an address");
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = door.accept().expect("a client");
        socket.write_all(b"-ERR unknown command\r\n").expect("it is there");
        common::read_to_end(&mut socket);
    });
    let one = Config::new(address.into()).shards(1).connections_per_shard(1).tls(tls);
    refusal(one, "the server speaks Redis without TLS");
    answering.join().expect("it has answered");
    let secure = Redis::start_tls(&certificates, &[]);
    let config = Config::from_url(&secure.url()).expect("a URL").shards(1).connections_per_shard(1);
    let client = Client::start(config).expect("it starts");
    let error = obstacle(&client, "use a `rediss://` URL");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    // This one sends an alert.
    let stage = Stage::certified(&[ADDRESS]);
    let config = Config::new(stage.address(0).into()).shards(1).connections_per_shard(1);
    refusal(config, "use a `rediss://` URL");
}

/// A client of `db.test`, whose nodes have these names in their certificates, and which is moved to what `target` says
/// of the second: with how its handoffs ended, and to whom it is connected then.
fn moved(names: [&[&str]; 2], target: &str, explicit: Option<&str>) -> (Vec<HandoffResult>, usize) {
    let stage = Stage::certified(&names);
    let [old, new] = [stage.address(0), stage.address(1)];
    let mut tls = stage.tls().expect("it speaks TLS").clone();
    if let Some(name) = explicit {
        tls = tls.server_name(name);
    }
    let config = stage.config_of(Endpoint::new("db.test", old.port()).expect("an endpoint")).tls(tls);
    let config = config.resolver(|host: &str, port: u16| {
        assert!(["db.test", "node-2.test."].contains(&host), "{host}");
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    });
    let client = client(config.shards(1).connections_per_shard(2).maintenance(impatient()));
    stage.rehearse(1, "RETURN");
    stage.rehearse(0, &format!("MOVING {ENDLESS} {target}:{}", new.port()));
    stage.events.wait("handoffs ended", 2, is_ended);
    block_on(client.incr("counter")).expect("it serves");
    let lost =
        stage.events.count(|event| matches!(event, Event::Disconnected { peer, .. } if *peer == Some(old)));
    let results = stage.events.results();
    if results.iter().all(|result| *result == HandoffResult::Succeeded) {
        eventually("all have gone", || connected_to(&client, new) == 2 && connected_to(&client, old) == 0);
    } else {
        assert_eq!((connected_to(&client, old), lost), (2, 0), "the old ones serve on");
        let again = |event: &Event| matches!(event, Event::HandoffEnded { attempts, .. } if *attempts > 1);
        assert_eq!(stage.events.count(again), 0, "it is not tried again");
    }
    (results, connected_to(&client, new))
}

#[test]
fn mv_tls_names_on_sockets() {
    let configured: &[&str] = &["db.test"];
    for (second, target, explicit) in [
        // An address is asked for by the configured name.
        (configured, "127.0.0.1", None),
        // A name may be certified as itself, or as what was configured.
        (&["node-2.test"][..], "node-2.test.", None),
        (configured, "node-2.test.", None),
    ] {
        let (results, moved) = moved([configured, second], target, explicit);
        assert!(results == [HandoffResult::Succeeded, HandoffResult::Succeeded] && moved == 2, "{results:?}");
    }
    let own: &[&str] = &["own.test"];
    let (results, count) = moved([own, own], "node-2.test.", Some("own.test"));
    assert!(results == [HandoffResult::Succeeded, HandoffResult::Succeeded] && count == 2, "{results:?}");

    // Neither: each connection is told of once, with the reason, and nobody tries again.
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

/// A move that leads to what is not the same service, or to what speaks no TLS, is no move: the old connection serves on,
/// and no credentials go anywhere in the clear.
#[test]
fn sc_tls_move_needs_valid_name() {
    let configured: &[&str] = &["db.test"];
    let (results, moved) = moved([configured, &["elsewhere.test"]], "node-2.test.", None);
    let says = |result: &HandoffResult| result.to_string().contains("certificate is not for");
    assert!(results.len() == 2 && results.iter().all(says) && moved == 0, "{results:?}");

    let (stage, thief) = (Stage::certified(&[ADDRESS]), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let config = stage.config().password("s3cret").targets(Targets::Any);
    let client = client(config.shards(1).connections_per_shard(1).maintenance(impatient()));
    let port = thief.local_addr().expect("an address").port();
    stage.rehearse(0, &format!(r"PUSH >4\r\n+MOVING\r\n:1\r\n:20\r\n+127.0.0.1:{port}\r\n"));
    let mut stolen = [0; 4096];
    let (mut socket, _) = thief.accept().expect("it is allowed to go there");
    let count = socket.read(&mut stolen).expect("it says hello");
    assert_eq!(stolen[..2], [0x16, 3], "a record of a TLS handshake");
    assert!(!stolen[..count].windows(6).any(|bytes| bytes == b"s3cret"));
    drop((socket, thief));
    stage.events.wait("the handoff has failed", 1, is_ended);
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(connected_to(&client, stage.address(0)), 1);
}

/// Nothing of what was asked for is lost when endpoints that speak TLS move their clients.
#[test]
fn mv_make_before_break_over_tls() {
    let stage = Stage::certified(&[ADDRESS, ADDRESS]);
    let client = client(stage.config().shards(2).connections_per_shard(3));
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        stage.events.clear();
        stage.moves((from, to), ENDLESS, "");
        let mut count = 0;
        eventually("all are handed off", || {
            let replies: Vec<_> = (0..200).map(|_| client.incr("counter")).collect();
            for reply in replies {
                block_on(reply).expect("it serves");
                count += 1;
            }
            stage.events.count(is_handed_off) == 6
        });
        assert!(count > 0);
    }
    assert_eq!(
        stage.events.results().iter().filter(|result| **result != HandoffResult::Succeeded).count(),
        0
    );
}
