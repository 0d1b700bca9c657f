//! `hitless rehearse`: the binary, controlled over RESP, by its streams and by signals.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use common::Redis;
use common::binary::{self, text};
use common::rehearsal::{NO_CLIENT_TOLD, Rehearsal, redis_cli};
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    binary::run(&[&["rehearse"], arguments].concat())
}

fn moving(seq: u64, grace: u64, target: &SocketAddr) -> String {
    let target = target.to_string();
    format!(">4\r\n$6\r\nMOVING\r\n:{seq}\r\n:{grace}\r\n${}\r\n{target}\r\n", target.len())
}

#[test]
fn a_move_is_announced_and_the_target_has_the_data() {
    let rehearsal = Rehearsal::start(&["--quiet"]);
    let target = rehearsal.listeners[1];
    assert_eq!(rehearsal.connect(0).ask("SET a 1"), "+OK\r\n");
    let (mut subscribed, mut other) = (rehearsal.connect(0), rehearsal.connect(0));
    subscribed.opt_in("subscribed");
    assert!(other.ask("HELLO 3").starts_with('%'));
    let reply = rehearsal.control(0, &format!("MOVING 60 {target}"));
    assert!(!reply.starts_with('-'), "{reply}");
    assert_eq!(subscribed.frame(), moving(0, 60, &target));
    assert_eq!(subscribed.ask("GET a"), "$1\r\n1\r\n", "served during the grace");
    assert_eq!(other.ask("GET a"), "$1\r\n1\r\n", "a connection that did not opt in gets no push");
    assert_eq!(rehearsal.connect(1).ask("GET a"), "$1\r\n1\r\n");

    let mut late = rehearsal.connect(0);
    late.opt_in("late");
    let push = late.frame();
    let left = push.split("\r\n:").nth(2).and_then(|rest| rest.split("\r\n").next());
    let left: u64 = left.and_then(|left| left.parse().ok()).unwrap_or_else(|| panic!("{push}"));
    assert!(left <= 60, "{push}");
    assert_eq!(push, moving(0, left, &target), "the same event with the remaining time");

    let stats = rehearsal.stats();
    let connections = stats["nodes"][0]["connections"].as_array().expect("connections");
    let of = |name: &str| connections.iter().find(|connection| connection["name"] == name);
    assert_eq!(of("subscribed").expect("it is connected")["opted_in"], true, "{stats:#}");
    assert!(of("late").is_some(), "{stats:#}");
    assert_eq!(stats["nodes"][0]["pushes"]["MOVING"], 2, "{stats:#}");
}

#[test]
fn every_connection_of_a_listener_closes_after_the_grace() {
    let rehearsal = Rehearsal::start(&["--quiet"]);
    let target = rehearsal.listeners[1];
    let (mut subscribed, mut other) = (rehearsal.connect(0), rehearsal.connect(0));
    let mut elsewhere = rehearsal.connect(1);
    subscribed.opt_in("subscribed");
    assert_eq!(other.ask("PING"), "+PONG\r\n");
    assert!(!rehearsal.control(0, &format!("MOVING 1 {target}")).starts_with('-'));
    assert_eq!(subscribed.frame(), moving(0, 1, &target));
    subscribed.assert_closed();
    other.assert_closed();
    assert_eq!(elsewhere.ask("PING"), "+PONG\r\n");
}

#[test]
fn a_scenario_runs_and_may_end_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.toml");
    let scenario = "exit = true\n[nodes]\nold = 0\nnew = 1\n\
        [[step]]\nat = \"0s\"\nnode = \"old\"\ndo = \"MOVING 60 {new} never\"\n\
        [[step]]\nat = \"10ms\"\nnode = \"old\"\ndo = \"FAILING_OVER 2\"\nrepeat = 3\nevery = \"10ms\"\n";
    std::fs::write(&path, scenario).expect("a file");
    let path = path.to_str().expect("a path that is text");
    let rehearsal = Rehearsal::start(&["--script", path, "--log"]);
    let [old, new] = [0, 1].map(|index| rehearsal.listeners[index]);
    let (code, _, log) = rehearsal.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(&format!("listening on {old} {new}")), "{log}");
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(&format!("MOVING 60 {new}")), 1, "{log}");
    assert_eq!(lines("FAILING_OVER 2"), 4, "three steps, and the usage line: {log}");
}

#[test]
fn the_log_has_a_line_for_every_event() {
    let rehearsal = Rehearsal::start(&["--quiet", "--log"]);
    let target = rehearsal.listeners[1];
    let mut subscribed = rehearsal.connect(0);
    subscribed.opt_in("subscribed");
    rehearsal.control(0, &format!("MOVING 60 {target}"));
    subscribed.frame();
    rehearsal.control(0, "CLOSE");
    subscribed.assert_closed();
    rehearsal.signal(libc::SIGINT);
    let (code, _, log) = rehearsal.end();
    assert_eq!(code, Some(0), "{log}");
    for what in ["opted in", "push", "close", &format!("MOVING 60 {target}")] {
        assert!(log.lines().any(|line| line.contains(what)), "{what} is missing in:\n{log}");
    }
}

#[test]
fn a_signal_ends_the_run_with_its_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let rehearsal = Rehearsal::start(&["--quiet", "--json", path.to_str().expect("text")]);
        let mut client = rehearsal.connect(1);
        client.opt_in("here");
        let listener = rehearsal.listeners[1].to_string();
        rehearsal.signal(signal);
        let (code, rest, log) = rehearsal.end();
        assert_eq!((code, rest.as_str(), log.as_str()), (Some(0), "", ""));
        let report: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        assert_eq!(report["version"], 1);
        assert_eq!(report["nodes"][1]["address"], listener, "{report:#}");
        assert_eq!(report["nodes"][0]["connections"], Value::Array(Vec::new()), "{report:#}");
        assert_eq!(report["nodes"][1]["connections"][0]["name"], "here", "{report:#}");
    }
}

#[test]
fn a_report_on_standard_output_is_alone_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.toml");
    std::fs::write(&path, "exit = true\n[[step]]\nat = \"0s\"\ndo = \"STATS\"\n").expect("a file");
    let path = path.to_str().expect("a path that is text");
    let output = run(&["--listen", "127.0.0.1:0", "--quiet", "--json", "-", "--script", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(report["nodes"].as_array().map(|all| all.len()), Some(1));
    assert!(text(&output.stderr).starts_with("ready: 127.0.0.1:"));
}

#[test]
fn a_usage_error_names_the_allowed_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.to_str().expect("a path that is text").to_owned()
    };
    let late =
        script("late.toml", "[[step]]\nat = \"1s\"\ndo = \"STATS\"\n[[step]]\nat = \"2s\"\ndo = \"MUVE\"\n");
    let torn = script("torn.toml", "[[step]]\nat = \"1s\"\ndo = \n");
    for (arguments, named) in [
        (&["--listen", "7001"][..], &["--listen", "7001"][..]),
        (&["--listen", "127.0.0.1:7009", "--listen", "127.0.0.1:7009"], &["--listen", "twice"]),
        (&["--upstream", "http://localhost"], &["--upstream", "scheme", "redis"]),
        (&["--script", "/nonexistent/s.toml"], &["--script", "/nonexistent/s.toml"]),
        (&["--script", &late], &["late.toml, step 2 (line 4)", "MUVE", "MOVING"]),
        (&["--script", &torn], &["torn.toml", "line 3"]),
        (&["--json", "/nonexistent/report.json"], &["--json"]),
        (&["--tls-cert", "/nonexistent/c.pem"], &["--tls-key"]),
        (&["--tls-cert", "/nonexistent/c.pem", "--tls-key", &late], &["--tls-cert", "/nonexistent/c.pem"]),
        (&["--tls-cert", &late, "--tls-key", &late], &["--tls-cert", "the PEM contains no certificate"]),
        (&["--tls-client-ca", &late], &["--tls-cert"]),
        (&["--no-such-option"], &["--no-such-option"]),
    ] {
        let output = run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{arguments:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn an_unusable_address_exits_with_code_3() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = (taken.local_addr().expect("an address").to_string(), taken);
    let output = run(&["--listen", &taken.0]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&taken.0), "{stderr}");

    let unreachable = format!("redis://:s3cret@127.0.0.1:{}", common::free_port());
    let output = run(&["--listen", "127.0.0.1:0", "--upstream", &unreachable]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("upstream") && !stderr.contains("s3cret"), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_proxied_redis_moves_its_clients() {
    let redis = Redis::start_with(&["--requirepass", "s3cret"]);
    let url = format!("redis://:s3cret@127.0.0.1:{}/3", redis.port());
    let rehearsal = Rehearsal::start(&["--quiet", "--upstream", &url]);
    let target = rehearsal.listeners[1];
    let mut subscribed = rehearsal.connect(0);
    subscribed.opt_in("subscribed");
    assert_eq!(subscribed.ask("ZADD z 1 a"), ":1\r\n", "the in-memory keyspace has no sorted sets");
    rehearsal.control(0, &format!("MOVING 60 {target}"));
    assert_eq!(subscribed.frame(), moving(0, 60, &target));
    let mut new = rehearsal.connect(1);
    assert_eq!(new.ask("ZCARD z"), ":1\r\n");
    let mut direct = Command::new("redis-cli");
    direct.args(["-p", &redis.port().to_string(), "-a", "s3cret", "-n", "3", "ZCARD", "z"]);
    assert_eq!(text(&direct.output().expect("redis-cli runs").stdout), "1\n", "in its database 3");
}

#[test]
fn redis_cli_controls_the_rehearsal() {
    let rehearsal = Rehearsal::start(&["--quiet"]);
    let [old, new] = [0, 1].map(|index| rehearsal.listeners[index]);
    let cli = |words: &[&str]| redis_cli(words).0;
    let (old_port, new_port) = (old.port().to_string(), new.port().to_string());
    assert_eq!(cli(&["-3", "-p", &old_port, "SET", "a", "1"]), "OK");
    assert_eq!(cli(&["-p", &old_port, "REHEARSE", "MOVING", "60", &new.to_string()]), NO_CLIENT_TOLD);
    assert_eq!(cli(&["-p", &new_port, "GET", "a"]), "1");
    let stats: Value = serde_json::from_str(&cli(&["-p", &old_port, "REHEARSE", "STATS"])).expect("JSON");
    assert!(stats.is_object());
    let pretty = cli(&["-3", "-p", &old_port, "REHEARSE", "STATS", "--pretty"]);
    assert!(pretty.contains("\n      \"node\": 0,\n"), "{pretty}");
    assert!(cli(&["-p", &old_port, "REHEARSE", "MUVE"]).contains("MOVING"), "the error lists the commands");
}
