//! `hitless rehearse`: the binary, controlled over RESP, by its streams and by signals.

#![cfg(feature = "cli")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use common::Redis;
use serde_json::Value;

fn rehearse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitless"));
    command.arg("rehearse").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// The output of a run that ends at once.
fn run(arguments: &[&str]) -> Output {
    rehearse(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// A run with two listeners on free ports; it ends with the test.
struct Rehearsal {
    child: Child,
    stdout: BufReader<ChildStdout>,
    listeners: Vec<SocketAddr>,
}

impl Rehearsal {
    fn start(arguments: &[&str]) -> Rehearsal {
        let two = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
        let mut child = rehearse(&[&two[..], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let listeners = line
            .strip_prefix("ready: ")
            .map(|all| all.split_whitespace().map(|address| address.parse().expect("an address")).collect());
        let Some(listeners) = listeners else {
            let output = child.wait_with_output().expect("it ends");
            panic!("not ready but {line:?}: {}", text(&output.stderr));
        };
        Rehearsal { child, stdout, listeners }
    }

    fn connect(&self, listener: usize) -> Client {
        let stream = TcpStream::connect(self.listeners[listener]).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Client(BufReader::new(stream))
    }

    /// Sends a REHEARSE command to a listener.
    fn control(&self, listener: usize, words: &str) -> String {
        self.connect(listener).ask(&format!("REHEARSE {words}"))
    }

    fn stats(&self) -> Value {
        let reply = self.control(0, "STATS");
        let (_, json) = reply.split_once("\r\n").expect("a bulk string");
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    #[expect(unsafe_code, reason = "the standard library sends no signal but one")]
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a plain system call; the child is ours and has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the end of the process: the exit code, and the rest of both streams.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).map(|_| log)
        });
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        let log = log.join().expect("no panic").expect("text");
        (self.child.wait().expect("it ends").code(), rest, log)
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that returns the raw bytes of frames.
struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(request.as_bytes()).expect("it reads");
    }

    /// The bytes of the next frame, pushes included.
    fn frame(&mut self) -> String {
        let mut frame = Vec::new();
        assert_ne!(self.0.read_until(b'\n', &mut frame).expect("a frame"), 0, "closed");
        let count = || text(&frame[1..]).trim_end().parse::<i64>().expect("a length");
        match frame[0] {
            b'$' | b'=' if count() >= 0 => {
                let mut body = vec![0; usize::try_from(count()).expect("a length") + 2];
                self.0.read_exact(&mut body).expect("a body");
                frame.extend(body);
            }
            kind @ (b'*' | b'>' | b'%' | b'~') => {
                for _ in 0..count() * if kind == b'%' { 2 } else { 1 } {
                    frame.extend(self.frame().into_bytes());
                }
            }
            _ => {}
        }
        text(&frame).to_owned()
    }

    fn ask(&mut self, words: &str) -> String {
        self.send(words);
        self.frame()
    }

    /// Switches to RESP3 with this name and subscribes to maintenance notifications.
    fn opt_in(&mut self, name: &str) {
        let hello = self.ask(&format!("HELLO 3 SETNAME {name}"));
        assert!(hello.starts_with('%'), "{hello}");
        let reply = self.ask("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip");
        assert_eq!(reply, "+OK\r\n");
    }

    fn is_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("a clean close");
        assert_eq!(text(&rest), "");
    }
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
fn after_the_grace_every_connection_of_the_listener_is_closed() {
    let rehearsal = Rehearsal::start(&["--quiet"]);
    let target = rehearsal.listeners[1];
    let (mut subscribed, mut other) = (rehearsal.connect(0), rehearsal.connect(0));
    let mut elsewhere = rehearsal.connect(1);
    subscribed.opt_in("subscribed");
    assert_eq!(other.ask("PING"), "+PONG\r\n");
    assert!(!rehearsal.control(0, &format!("MOVING 1 {target}")).starts_with('-'));
    assert_eq!(subscribed.frame(), moving(0, 1, &target));
    subscribed.is_closed();
    other.is_closed();
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
    subscribed.is_closed();
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
        (&["--tls-cert", &late, "--tls-key", &late], &["--tls-cert", "there is none in the PEM"]),
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

/// A self-signed certificate for `localhost` and 127.0.0.1, and its key, as files.
fn certified(folder: &std::path::Path, name: &str) -> [String; 2] {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let file = |ending: &str, pem: String| {
        let path = folder.join(format!("{name}{ending}.pem"));
        std::fs::write(&path, pem).expect("a file");
        path.to_str().expect("a path that is text").to_owned()
    };
    [file("", made.cert.pem()), file("-key", made.signing_key.serialize_pem())]
}

/// The output of redis-cli on both streams.
fn cli(arguments: &[&str]) -> (String, String) {
    let output = Command::new("redis-cli").args(arguments).output().expect("redis-cli runs");
    (text(&output.stdout).trim_end().to_owned(), text(&output.stderr).trim_end().to_owned())
}

#[test]
fn redis_cli_controls_the_rehearsal_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = certified(folder.path(), "server");
    let rehearsal = Rehearsal::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let [old, new] = [0, 1].map(|index| rehearsal.listeners[index]);
    let (old_port, new_port) = (old.port().to_string(), new.port().to_string());
    let secure = |words: &[&str]| {
        let (output, error) = cli(&[&["--tls", "--cacert", certificate.as_str()], words].concat());
        assert_eq!(error, "");
        output
    };
    assert_eq!(secure(&["-3", "-p", &old_port, "SET", "a", "1"]), "OK");
    assert_eq!(secure(&["-p", &old_port, "REHEARSE", "MOVING", "60", &new.to_string()]), NO_CLIENT_TOLD);
    assert_eq!(secure(&["-p", &new_port, "GET", "a"]), "1");

    // Clients without TLS, or with another CA, fail without harm to the endpoint.
    assert_eq!(cli(&["-p", &old_port, "PING"]).0, "", "no TLS");
    let [stranger, _] = certified(folder.path(), "stranger");
    let (_, error) = cli(&["--tls", "--cacert", &stranger, "-p", &old_port, "PING"]);
    assert!(error.contains("certificate verify failed"), "{error}");
    let stats: Value = serde_json::from_str(&secure(&["-p", &old_port, "REHEARSE", "STATS"])).expect("JSON");
    assert!(stats.is_object());

    rehearsal.signal(libc::SIGINT);
    let (code, _, log) = rehearsal.end();
    assert_eq!(code, Some(0), "{log}");
    let how = format!("redis-cli --tls --cacert CA.pem -p {old_port} REHEARSE MOVING 15 {new}");
    assert!(log.contains(&how) && log.contains(&certificate), "{log}");
}

#[test]
fn client_certificates_can_be_required() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = certified(folder.path(), "server");
    let [known, known_key] = certified(folder.path(), "client");
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-client-ca", &known];
    let rehearsal = Rehearsal::start(&[&options[..], &["--log"]].concat());
    let port = rehearsal.listeners[0].port().to_string();
    let common = ["--tls", "--cacert", &certificate, "-p", &port];
    let shown = ["--cert", known.as_str(), "--key", &known_key];
    assert_eq!(cli(&[&common[..], &shown, &["PING"]].concat()), ("PONG".to_owned(), String::new()));
    let (output, error) = cli(&[&common[..], &["PING"]].concat());
    assert_eq!(output, "", "{error}");
    rehearsal.signal(libc::SIGINT);
    let (_, _, log) = rehearsal.end();
    assert!(log.contains("TLS handshake failed") && log.contains("peer sent no certificates"), "{log}");
}

#[test]
fn a_proxied_redis_is_served_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = certified(folder.path(), "server");
    let redis = Redis::start();
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--quiet", "--upstream", &redis.url()];
    let rehearsal = Rehearsal::start(&options);
    let port = rehearsal.listeners[1].port().to_string();
    let common = ["--tls", "--cacert", &certificate, "-p", &port];
    assert_eq!(
        cli(&[&common[..], &["ZADD", "z", "1", "a"]].concat()).0,
        "1",
        "the in-memory keyspace has no sorted sets"
    );
    assert_eq!(cli(&["-p", &redis.port().to_string(), "ZCARD", "z"]).0, "1");
}

#[test]
fn the_upstream_may_use_tls_or_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = certified(folder.path(), "redis");
    let socket = folder.path().join("redis.sock").to_str().expect("a path that is text").to_owned();
    let tls_port = common::free_port().to_string();
    let _redis = Redis::start_with(&[
        "--unixsocket",
        &socket,
        "--tls-port",
        &tls_port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
    ]);
    let trusted = format!("rediss://127.0.0.1:{tls_port}?ca_file={certificate}");
    for (url, count) in [(trusted, ":1\r\n"), (format!("unix://{socket}"), ":2\r\n")] {
        let rehearsal = Rehearsal::start(&["--quiet", "--upstream", &url]);
        assert_eq!(rehearsal.connect(0).ask("INCR n"), count, "{url}");
    }
    let [stranger, _] = certified(folder.path(), "stranger");
    let untrusted = format!("rediss://127.0.0.1:{tls_port}?ca_file={stranger}");
    let output = run(&["--listen", "127.0.0.1:0", "--upstream", &untrusted]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cannot reach the upstream") && stderr.contains("certificate"), "{stderr}");
}

/// The reply to MOVING without connected clients.
const NO_CLIENT_TOLD: &str = "OK: 0 of 0 connections were told";

#[test]
fn redis_cli_controls_the_rehearsal() {
    let rehearsal = Rehearsal::start(&["--quiet"]);
    let [old, new] = [0, 1].map(|index| rehearsal.listeners[index]);
    let cli = |words: &[&str]| cli(words).0;
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
