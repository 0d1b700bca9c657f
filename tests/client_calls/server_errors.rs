//! Servers that answer with errors or not at all: what callers get, and what the client does about it.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config, ErrorKind, Outcome, cmd};

use crate::common::drivers::start;
use crate::common::fixture::{Events, Fixture, WAIT_MAX, eventually, is_handed_off};
use crate::common::{Redis, free_port, last_error};

fn one(url: &str) -> Config {
    Config::from_url(url).expect("a URL").shards(1).connections_per_shard(1)
}

fn started(config: Config) -> Client {
    let client = start(config).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    client
}

fn is_demoted(event: &Event) -> bool {
    matches!(event, Event::Demoted { .. })
}

fn end(client: Client) {
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn a_demoted_master_is_named_and_the_endpoint_dialed_again() {
    let (redis, events) = (Redis::start(), Events::default());
    let client = started(events.watch(one(&redis.url())));
    let dead = free_port().to_string();
    // A replica whose master is gone still serves reads.
    block_on(client.run::<()>(&cmd("REPLICAOF").arg("127.0.0.1").arg(&dead))).expect("the server obeys");
    for _ in 0..50 {
        let error = block_on(client.set("key", "value")).expect_err("it cannot be written to");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some("READONLY")), "{error}");
        assert!(error.is_transient() && error.outcome() == Outcome::Answered);
        assert_eq!(block_on(client.get::<Option<String>>("key")).expect("reads go on"), None);
    }
    events.wait("the endpoint is dialed anew", 1, is_handed_off);
    assert_eq!(events.count(is_demoted), 1, "one demotion, not one for each command");
    block_on(client.run::<()>(&cmd("CONFIG").arg("SET").arg("replica-serve-stale-data").arg("no")))
        .expect("set");
    let error = block_on(client.get::<Option<String>>("key")).expect_err("it has no master");
    assert_eq!(error.code(), Some("MASTERDOWN"), "{error}");
    assert!(error.is_transient());
    block_on(client.run::<()>(&cmd("REPLICAOF").arg("NO").arg("ONE"))).expect("it is a master again");
    block_on(client.set("key", "value")).expect("it can be written to");
    end(client);
}

#[test]
fn a_name_resolving_to_the_new_master_loses_no_command() {
    let (old, new, events) = (Redis::start(), Redis::start(), Events::default());
    let (ports, leads_to_new) =
        ([old.port(), new.port()], std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let config = one("redis://db.test:6379").resolver({
        let leads_to_new = leads_to_new.clone();
        move |_: &str, _: u16| {
            let port = ports[usize::from(leads_to_new.load(std::sync::atomic::Ordering::Relaxed))];
            Ok(vec![([127, 0, 0, 1], port).into()])
        }
    });
    let client = started(events.watch(config));
    block_on(client.set("key", "old")).expect("it is the master");
    leads_to_new.store(true, std::sync::atomic::Ordering::Relaxed);
    let command = cmd("REPLICAOF").arg("127.0.0.1").arg(new.port().to_string());
    block_on(client.run::<()>(&command)).expect("the server obeys");
    eventually("the new master is written to", || match block_on(client.set("key", "new")) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!((error.code(), error.outcome()), (Some("READONLY"), Outcome::Answered), "{error}");
            false
        }
    });
    assert_eq!(events.count(is_demoted), 1);
    let peers = &crate::common::fixture::stats(&client)[0].connections;
    assert!(peers.contains_key(&format!("127.0.0.1:{}", new.port())), "{peers:?}");
    end(client);
}

#[test]
fn full_servers_are_named_and_retried_until_they_have_room() {
    let (redis, events) = (Redis::start_with(&["--maxclients", "1"]), Events::default());
    let first = started(one(&redis.url()));
    let second = start(events.watch(one(&redis.url()))).expect("a client");
    let error = block_on(second.ready(Duration::from_millis(300))).expect_err("it is full");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Connect, true), "{error}");
    let text = "it has as many clients as its `maxclients` allows, and will be tried again";
    let is_named =
        |event: &Event| matches!(event, Event::Disconnected { reason, .. } if reason.contains(text));
    // The reset may overtake the server's error reply.
    events.wait("it says why", 1, is_named);
    let waiting = second.set("key", "value");
    end(first);
    block_on(waiting).expect("there is room now");
    end(second);
}

#[test]
fn loading_is_returned_to_the_caller_and_keeps_the_connection() {
    let fixture = Fixture::new(1);
    let client = fixture.client(1, 1);
    fixture.rehearse(0, "FAULT answer loading");
    let error = block_on(client.incr("count")).expect_err("it is loading");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some("LOADING")), "{error}");
    assert!(error.is_transient());
    fixture.rehearse(0, "FAULT off");
    assert_eq!(block_on(client.incr("count")).expect("it has loaded"), 1);
    assert_eq!(fixture.events.count(|event| matches!(event, Event::Disconnected { .. })), 0);
    end(client);
}

#[test]
fn timeouts_name_the_missing_reply() {
    // The kernel accepts the connection, and no process reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", silent.local_addr().expect("an address"));
    let config = one(&url).connect_timeout(Duration::from_millis(100));
    let client = start(config).expect("a client");
    let error = last_error(&client, "connected, but no reply to HELLO came within 100ms");
    assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Connect, true));
    // No command is left to finish, so the result does not matter.
    let _ = block_on(client.shutdown(Duration::from_millis(10)));

    let redis = Redis::start();
    let client = started(one(&redis.url()).command_timeout(Duration::from_millis(100)));
    redis.signal(libc::SIGSTOP);
    let error = block_on(client.set("key", "value")).expect_err("it is stopped");
    redis.signal(libc::SIGCONT);
    assert_eq!(error.outcome(), Outcome::Ambiguous);
    assert!(error.to_string().contains("no reply within 100ms"), "{error}");
    end(client);
}

#[test]
fn an_idle_connection_detects_a_silent_peer() {
    let (redis, events) = (Redis::start(), Events::default());
    let config =
        one(&redis.url()).idle_ping(Duration::from_secs(1)).command_timeout(Duration::from_millis(200));
    let client = started(events.watch(config));
    eventually("it has pinged", || {
        let mut pings = String::new();
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", redis.port())).expect("it accepts");
        std::io::Write::write_all(&mut socket, b"INFO commandstats\r\nQUIT\r\n").expect("written");
        // A reply that is not UTF-8 is no statistics; the loop asks again.
        let _ = socket.read_to_string(&mut pings);
        pings.contains("cmdstat_ping")
    });
    assert_eq!(events.count(|event| matches!(event, Event::Disconnected { .. })), 0);
    redis.signal(libc::SIGSTOP);
    let is_silent = |event: &Event| matches!(event, Event::Disconnected { reason, .. } if reason.contains("no byte has arrived"));
    events.wait("the idle connection notices the silence", 1, is_silent);
    redis.signal(libc::SIGCONT);
    block_on(client.set("key", "value")).expect("there is another connection, or will be");
    end(client);
}
