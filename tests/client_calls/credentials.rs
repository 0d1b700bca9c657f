//! The login of connections and its renewal, against a real redis-server.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::block_on;
use hitless::net::Credentials;
use hitless::observe::Event;
use hitless::{Client, Config, ErrorKind, cmd};

use crate::common::drivers::start;
use crate::common::fixture::{Events, Fixture, WAIT_MAX, eventually, is_handed_off};
use crate::common::{Redis, last_error};

/// The password that the provider returns, and how often the client asked for it.
#[derive(Clone, Default)]
struct Vault(Arc<Mutex<(String, usize)>>);

impl Vault {
    fn put(&self, password: &str) {
        self.0.lock().expect("no panic").0 = password.to_owned();
    }

    fn asked(&self) -> usize {
        self.0.lock().expect("no panic").1
    }

    fn provide(&self, config: Config) -> Config {
        let vault = self.0.clone();
        config.credentials(move || {
            let mut vault = vault.lock().expect("no panic");
            vault.1 += 1;
            Ok(Credentials::user("app", vault.0.as_str()))
        })
    }
}

/// A server with an administrator without a password, and the user `app`.
struct AclServer {
    redis: Redis,
    admin: Client,
}

impl AclServer {
    fn start() -> AclServer {
        let redis = Redis::start();
        let config = Config::from_url(&redis.url()).expect("a URL").shards(1).connections_per_shard(1);
        let server = AclServer { admin: start(config).expect("a client"), redis };
        server.acl("SETUSER app on >first ~* +@all");
        server
    }

    fn acl(&self, words: &str) {
        let command = words.split(' ').fold(cmd("ACL"), |command, word| command.arg(word));
        block_on(self.admin.run::<()>(&command)).expect("it is the administrator");
    }

    fn config(&self) -> Config {
        Config::from_url(&self.redis.url()).expect("a URL").shards(2).connections_per_shard(2)
    }

    /// The number of clients that are logged in as `app`.
    fn logged_in(&self) -> usize {
        let list: String = block_on(self.admin.run(&cmd("CLIENT").arg("LIST"))).expect("a list");
        list.lines().filter(|line| line.contains(" user=app ")).count()
    }
}

fn is_renewed(event: &Event) -> bool {
    matches!(event, Event::CredentialsRenewed)
}

#[test]
fn a_password_is_rotated_under_load_and_nothing_fails() {
    let (server, vault, events) = (AclServer::start(), Vault::default(), Events::default());
    vault.put("first");
    let client = start(events.watch(vault.provide(server.config()))).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    assert_eq!((server.logged_in(), vault.asked()), (4, 4), "each connection asked for itself");

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
            std::thread::spawn(move || {
                let key = format!("count:{caller}");
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let reply: i64 = block_on(client.incr(&key)).expect("no command fails");
                    assert_eq!(reply, count, "each reply belongs to its call");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..10 {
        let before = done.load(Ordering::Relaxed);
        let password = format!("rotated-{round}");
        server.acl(&format!("SETUSER app resetpass >{password}"));
        vault.put(&password);
        block_on(client.renew_credentials()).expect("the server takes them");
        eventually("commands go on", || done.load(Ordering::Relaxed) > before + 100);
    }
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().expect("no command failed"));
    events.wait("renewed on both shards, each time", 20, is_renewed);
    assert_eq!(vault.asked(), 4 + 10, "once for each renewal, however many shards there are");
    assert_eq!(server.logged_in(), 4);
    assert_eq!(events.count(|event| matches!(event, Event::Disconnected { .. })), 0);

    // Connections that are dialed after all rotations use the last password.
    let killed: i64 =
        block_on(server.admin.run(&cmd("CLIENT").arg("KILL").arg("USER").arg("app"))).expect("killed");
    assert_eq!(killed, 4);
    events.wait("they are back", 8, |event| matches!(event, Event::Connected { .. }));
    assert_eq!(server.logged_in(), 4);
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn rejected_new_credentials_change_nothing() {
    let (server, vault, events) = (AclServer::start(), Vault::default(), Events::default());
    vault.put("first");
    let config = vault.provide(server.config()).shards(1);
    let client = start(events.watch(config)).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    vault.put("wrong-s3cret");
    let error = block_on(client.renew_credentials()).expect_err("it is wrong");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Auth, Some("WRONGPASS")), "{error}");
    assert!(!format!("{error} {error:?} {events:?}", events = events.all()).contains("s3cret"));
    let is_refused = |event: &Event| matches!(event, Event::CredentialsRefused { .. });
    events.wait("refused", 1, is_refused);
    assert_eq!((events.count(is_refused), server.logged_in()), (1, 2));
    block_on(client.set("key", "value")).expect("it lives on");
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn renewal_needs_a_provider() {
    let server = AclServer::start();
    let config = server.config().username("app").password("first");
    let client = start(config).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    let error = block_on(client.renew_credentials()).expect_err("there is no provider");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("Config::credentials"), "{error}");
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn login_errors_are_distinct_and_name_the_fix() {
    let server = AclServer::start();
    server.acl("SETUSER weak on >weak ~* +@all -select");
    server.acl("SETUSER default off");
    let plain = || Config::from_url(&server.redis.url()).expect("a URL").shards(1).connections_per_shard(1);
    for (config, code, advice) in [
        (plain(), "NOAUTH", "Config::password"),
        (plain().username("app").password("s3cret"), "WRONGPASS", "check the user"),
        (plain().username("weak").password("weak").database(1), "NOPERM", "+@connection"),
    ] {
        let events = Events::default();
        let client = start(events.watch(config)).expect("a client");
        let error = block_on(client.ready(WAIT_MAX)).expect_err(code);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Auth, Some(code)), "{error}");
        assert!(error.to_string().contains(advice) && !error.is_transient(), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        let refused = block_on(client.get::<Option<String>>("key")).expect_err("at once");
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Auth, Some(code)), "{refused}");
        let attempts = events.count(|event| matches!(event, Event::Disconnected { .. }));
        assert!(attempts <= 2, "{attempts} attempts within a moment");
        // No command is left to finish, so the result does not matter.
        let _ = block_on(client.shutdown(WAIT_MAX));
    }
}

#[test]
fn a_provider_is_asked_again_while_commands_wait() {
    let (server, vault, events) = (AclServer::start(), Vault::default(), Events::default());
    vault.put("not yet");
    let config = vault.provide(server.config()).shards(1).connections_per_shard(1).command_timeout(WAIT_MAX);
    let client = start(events.watch(config)).expect("a client");
    let waiting = client.set("key", "value");
    events.wait("refused twice", 2, |event| matches!(event, Event::Disconnected { .. }));
    vault.put("first");
    block_on(waiting).expect("it waited");
    assert!((3..40).contains(&vault.asked()), "{}", vault.asked());
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn a_failing_provider_is_named_as_the_last_error() {
    let server = AclServer::start();
    for (panics, words) in [(false, "the vault is sealed"), (true, "the provider panicked")] {
        let config = server.config().shards(1).connections_per_shard(1).credentials(move || {
            assert!(!panics, "as planned");
            Err("the vault is sealed".into())
        });
        let client = start(config).expect("a client");
        let error = last_error(&client, words);
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Auth, true), "{error}");
        // No command is left to finish, so the result does not matter.
        let _ = block_on(client.shutdown(WAIT_MAX));
    }
}

#[test]
fn a_blocking_provider_delays_no_live_connection() {
    let (server, vault) = (AclServer::start(), Vault::default());
    vault.put("first");
    let (gate, sealed) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let config = server.config().shards(1).credentials({
        let (gate, sealed) = (gate.clone(), sealed.clone());
        move || {
            if sealed.load(Ordering::Relaxed) {
                drop(gate.lock());
            }
            Ok(Credentials::user("app", "first"))
        }
    });
    let client = start(config).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    let held = gate.lock().expect("no panic");
    sealed.store(true, Ordering::Relaxed);
    let renewal = std::thread::spawn({
        let client = client.clone();
        move || block_on(client.renew_credentials())
    });
    for number in 0..100 {
        block_on(client.set("key", number)).expect("live connections do not wait");
    }
    assert!(!renewal.is_finished(), "the provider has not answered");
    drop(held);
    renewal.join().expect("no panic").expect("renewed");
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");

    // A connecting connection waits for the provider no longer than the connect timeout, and the error names the
    // provider.
    let held = gate.lock().expect("no panic");
    let config = server.config().shards(1).connect_timeout(Duration::from_millis(200)).credentials({
        let gate = gate.clone();
        move || {
            drop(gate.lock());
            Ok(Credentials::user("app", "first"))
        }
    });
    let client = start(config).expect("a client");
    last_error(&client, "the provider took longer than 180ms");
    drop(held);
    block_on(client.ready(WAIT_MAX)).expect("the provider answers now");
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn a_rotation_during_a_handoff_fails_no_command() {
    let (fixture, vault) = (Fixture::new(2), Vault::default());
    let provider = {
        let vault = vault.0.clone();
        move || Ok(Credentials::user("default", vault.lock().expect("no panic").0.as_str()))
    };
    vault.put("pw-0");
    let client =
        fixture.client_with(|config| config.shards(1).connections_per_shard(3).credentials(provider));
    for round in 1..=4 {
        let (from, to) = ((round + 1) % 2, round % 2);
        fixture.events.clear();
        fixture.moves((from, to), "3", "");
        vault.put(&format!("pw-{round}"));
        let renewal = client.renew_credentials();
        let counted: i64 = block_on(client.incr("count")).expect("no command fails");
        assert_eq!(counted, round as i64);
        block_on(renewal).expect("renewed");
        fixture.events.wait("handed off", 3, is_handed_off);
    }
    assert_eq!(fixture.stats()["audit"]["duplicates"], 0);
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}

#[test]
fn a_connection_that_lost_its_login_logs_in_again() {
    let (fixture, vault) = (Fixture::new(1), Vault::default());
    vault.put("pw");
    let provider = {
        let vault = vault.0.clone();
        move || {
            let mut vault = vault.lock().expect("no panic");
            vault.1 += 1;
            Ok(Credentials::user("default", vault.0.as_str()))
        }
    };
    let client =
        fixture.client_with(|config| config.shards(1).connections_per_shard(1).credentials(provider));
    assert_eq!(vault.asked(), 1);
    fixture.rehearse(0, "FAULT answer noauth");
    for _ in 0..20 {
        let error = block_on(client.incr("count")).expect_err("the server wants a login");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Server, Some("NOAUTH")), "{error}");
    }
    fixture.events.wait("renewed", 1, is_renewed);
    assert_eq!(vault.asked(), 2, "once, however many commands were refused");
    fixture.rehearse(0, "FAULT off");
    assert_eq!(block_on(client.incr("count")).expect("the login is accepted"), 1);
    block_on(client.shutdown(WAIT_MAX)).expect("it ends");
}
