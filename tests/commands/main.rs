//! Every typed command against a real redis-server, on a shard and on a client, in RESP3 and in RESP2. The arguments
//! give another result in another order or under another name. Scans, scripts, pipelines and transactions have tests
//! of their own.

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod blocking;
mod collections;
mod scans;
mod scripts;
mod server;
mod streams;
mod strings;

use std::collections::BTreeSet;
use std::fmt::Debug;

use common::Redis;
use futures_lite::future::block_on;
use hitless::command::{Commands, TYPED};
use hitless::{Client, Config, Shard};

/// The names of the methods called so far.
pub(crate) type Seen = BTreeSet<&'static str>;

/// The client name of the connections.
pub(crate) const NAME: &str = "tester";

/// Calls methods one after the other, records their names, and checks their results: against a value after `=>`, or
/// with a function after `?`.
macro_rules! calls {
    ($on:expr, $seen:expr, $name:ident($($arg:expr),*)) => {{
        $seen.insert(stringify!($name));
        $on.$name($($arg),*).await.unwrap()
    }};
    ($on:expr, $seen:expr; $($name:ident($($arg:expr),*) $how:tt $expected:expr;)*) => {
        calls!(@ $on, $seen; $($name($($arg),*) $how $expected;)*)
    };
    (@ $on:expr, $seen:expr; $($name:ident($($arg:expr),*) $how:tt $expected:expr;)*) => {$(
        $seen.insert(stringify!($name));
        let result = calls!(%% $how $expected, $on.$name($($arg),*).await);
        if let Err(text) = result {
            panic!("line {}: {}: {text}", line!(), stringify!($name($($arg),*)));
        }
    )*};
    (%% => $expected:expr, $got:expr) => { $crate::same($got, $expected) };
    (%% ? $check:expr, $got:expr) => { $crate::fits($got, $check) };
}

pub(crate) use calls;

pub(crate) fn same<T: PartialEq + Debug>(got: hitless::Result<T>, expected: T) -> Result<(), String> {
    match got {
        Ok(got) if got == expected => Ok(()),
        got => Err(format!("got {got:?}, expected {expected:?}")),
    }
}

pub(crate) fn fits<T: Clone + Debug>(
    got: hitless::Result<T>,
    check: impl FnOnce(T) -> bool,
) -> Result<(), String> {
    match got {
        Ok(got) if check(got.clone()) => Ok(()),
        got => Err(format!("{got:?} fails the check")),
    }
}

pub(crate) fn s(text: &str) -> String {
    text.to_owned()
}

pub(crate) fn some(text: &str) -> Option<String> {
    Some(s(text))
}

pub(crate) fn none() -> Option<String> {
    None
}

pub(crate) fn list<const N: usize>(items: [&str; N]) -> Vec<String> {
    items.into_iter().map(s).collect()
}

pub(crate) fn scores(entries: &[(&str, f64)]) -> Vec<(String, f64)> {
    entries.iter().map(|(member, score)| (s(member), *score)).collect()
}

/// Without `HELLO` on the server, the client uses RESP2.
pub(crate) const RESP2: &[&str] = &["--rename-command", "HELLO", ""];
pub(crate) const RESP3: &[&str] = &[];

pub(crate) fn config(redis: &Redis) -> Config {
    Config::from_url(&format!("{}?client_name={NAME}", redis.url()))
        .unwrap()
        .shards(1)
        .connections_per_shard(1)
}

/// Runs a test's future on a shard of its own executor.
pub(crate) fn on_a_shard<F: Future<Output = ()> + 'static>(
    config: Config,
    test: impl FnOnce(Shard) -> F + Send + 'static,
) {
    let executor = glommio::LocalExecutorBuilder::default();
    let executor = executor.spawn(|| async move { test(Shard::connect(config).await.unwrap()).await });
    executor.unwrap().join().unwrap();
}

async fn every_command(on: &impl Commands, port: u16) {
    let mut seen = Seen::new();
    macro_rules! families {
        ($($family:expr),*) => {$(
            on.flushall().await.unwrap();
            $family(on, &mut seen).await;
        )*};
    }
    families!(strings::strings, strings::string_options, strings::keys, strings::expiry, strings::sorting);
    families!(strings::bitmaps, strings::hyperloglog);
    families!(collections::hashes, collections::lists, collections::sets, collections::sorted_sets);
    families!(collections::combined_sorted_sets, collections::geo);
    families!(blocking::lists, blocking::sorted_sets, blocking::streams, blocking::replicas);
    families!(streams::entries, streams::groups, server::scripts, server::functions, server::server);
    server::publishing(on, &mut seen, port).await;
    let typed: Seen =
        TYPED.iter().flat_map(|(_, commands)| commands.iter()).map(|(method, _)| *method).collect();
    let untested: Vec<_> = typed.difference(&seen).collect();
    assert!(untested.is_empty(), "typed commands without a test: {untested:?}");
    assert!(typed.len() > 200, "{} typed commands", typed.len());
}

fn every_command_on_a_shard(options: &[&str]) {
    let redis = Redis::start_with(options);
    let port = redis.port();
    on_a_shard(config(&redis), move |shard| async move { every_command(&shard, port).await });
}

fn every_command_on_a_client(options: &[&str]) {
    let redis = Redis::start_with(options);
    let client = Client::start(config(&redis)).unwrap();
    block_on(every_command(&client, redis.port()));
}

#[test]
fn every_typed_command_on_a_shard_in_resp3() {
    every_command_on_a_shard(RESP3);
}

#[test]
fn every_typed_command_on_a_shard_in_resp2() {
    every_command_on_a_shard(RESP2);
}

#[test]
fn every_typed_command_on_a_client_in_resp3() {
    every_command_on_a_client(RESP3);
}

#[test]
fn every_typed_command_on_a_client_in_resp2() {
    every_command_on_a_client(RESP2);
}

/// All names follow one rule, so a user finds the method by the command.
#[test]
fn method_names_follow_from_command_names() {
    // `type` is a keyword, and GROUP is an argument of XREADGROUP rather than a subcommand.
    const EXCEPTIONS: [&str; 3] = ["key_type", "xreadgroup", "xreadgroup_blocking"];
    for (method, wire) in TYPED.iter().flat_map(|(_, commands)| commands.iter()) {
        let rest = method.strip_prefix(&wire.to_lowercase().replace(' ', "_"));
        let follows = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        assert!(follows || EXCEPTIONS.contains(method), "{method} does not follow from {wire}");
    }
}

/// Errors name the command of the method that the caller used.
#[test]
fn the_table_has_no_method_twice() {
    let methods: Vec<_> =
        TYPED.iter().flat_map(|(_, commands)| commands.iter()).map(|(method, _)| method).collect();
    assert_eq!(methods.iter().collect::<BTreeSet<_>>().len(), methods.len());
}
