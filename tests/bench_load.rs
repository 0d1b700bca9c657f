//! The load that `hitless bench` generates, seen from both ends: the built binary is run, and the endpoint is asked
//! what it got.

#![cfg(feature = "cli")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::pauses::undisturbed;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use serde_json::Value;

/// An endpoint of this process, which a run of the binary finds by its URL.
struct Target {
    endpoints: Endpoints,
    url: String,
}

impl Target {
    fn start() -> Target {
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let endpoints =
            Endpoints::start(EndpointsConfig { listen, ..EndpointsConfig::default() }).expect("endpoints");
        let url = format!("redis://{}", endpoints.addresses()[0]);
        Target { endpoints, url }
    }

    /// What the endpoint answers to a command, as one line.
    fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.endpoints.addresses()[0]).expect("it listens");
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("it reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it answers");
        line.trim_start_matches([':', '+', '$']).trim_end().to_owned()
    }

    fn number(&self, command: &str) -> u64 {
        let answer = self.ask(command);
        answer.parse().unwrap_or_else(|_| panic!("{command}: {answer}"))
    }

    /// What a counter is at.
    fn count(&self, counter: &str) -> u64 {
        // Adding nothing answers with a number, where `GET` would answer with a text.
        self.number(&format!("INCRBY {counter} 0"))
    }

    fn report(&self, arguments: &[&str]) -> Value {
        report(&[&["--url", &self.url, "--shards", "1"], arguments].concat())
    }
}

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitless"));
    command.arg("bench").args(arguments);
    // What the tests' own environment says must not change what is tested.
    command.env_remove("HITLESS_URL").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// What a run reports that went well; or that was offered more than this machine or the endpoint could do, which is
/// failure enough for a user, and is looked at here.
fn parsed(output: &Output) -> Value {
    let (code, errors) = (output.status.code(), text(&output.stderr));
    let is_told =
        code == Some(1) && errors.contains("TOO LITTLE WAS ANSWERED") && errors.contains("never sent");
    assert!(code == Some(0) || is_told, "{code:?}: {errors}\n{}", text(&output.stdout));
    serde_json::from_slice(&output.stdout).expect("standard output is JSON and nothing else")
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json", "-", "--quiet"]].concat()).output().expect("the binary runs");
    parsed(&output)
}

fn number(report: &Value, path: &str) -> f64 {
    let found = report.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[test]
fn warming_up_does_the_work_and_counts_for_nothing() {
    // Even arrivals are counted to the last one: half a second of them, and then the requests.
    for (via, measured) in [("shard", true), ("client", false)] {
        let target = Target::start();
        let open = ["--rate", "1000", "--requests", "300", "--warm-up", "500ms", "--via", via];
        let report = target.report(&[&open[..], &["--command", "INCR counter"]].concat());
        assert_eq!(number(&report, "/commands/issued"), 300.0);
        assert_eq!(number(&report, "/commands/answered"), 300.0);
        // Commands that are on their way when the warm-up ends are among the 300.
        let carried = number(&report, "/commands/from_warm_up");
        assert_eq!(target.count("counter") as f64, 800.0 - carried);
        assert_eq!(report.pointer("/shards/0/commands").and_then(Value::as_f64), measured.then_some(300.0));
        assert_eq!(number(&report, "/config/warm_up_seconds"), 0.5);
        // 299 gaps of a millisecond, fewer by those carried over; a busy machine makes it longer.
        let elapsed = number(&report, "/elapsed_seconds");
        assert!(elapsed >= 0.298 - carried * 0.001, "{elapsed}");
    }
}

#[test]
fn a_closed_loop_warms_up_too_and_is_measured_for_its_whole_time() {
    let target = Target::start();
    let times = ["--duration", "400ms", "--warm-up", "400ms", "--think", "1ms", "--tasks", "4"];
    let report = target.report(&[&times[..], &["--command", "INCR counter"]].concat());
    let answered = number(&report, "/commands/answered");
    let all = target.count("counter") as f64;
    assert!(answered > 0.0 && all > answered, "{answered} of {all} were measured");
    assert!(number(&report, "/elapsed_seconds") > 0.3);
    assert_eq!(number(&report, "/shards/0/commands"), answered);
    let text = bench(&["--url", &target.url, "--requests", "50", "--no-load", "--warm-up", "10ms"]).output();
    let text = text.expect("the binary runs");
    let stdout = String::from_utf8_lossy(&text.stdout);
    assert!(stdout.contains("after 10ms of warm-up"), "{stdout}");
}

#[test]
fn commands_are_mixed_by_their_ratios_and_filled_in() {
    let target = Target::start();
    let mix = [
        ["--command", "INCR often"],
        ["--command-ratio", "3"],
        ["--command", "SADD all {n}"],
        ["--command-ratio", "2"],
        ["--command", "SADD dice {random:1-6}"],
        ["--command-ratio", "1"],
        ["--command", "MSET {key} {value} {key:2} '{key} and {value}'"],
        ["--command-ratio", "1"],
    ];
    let more = ["--requests", "7000", "--key-space", "1000000", "--seed", "3"];
    let report = target.report(&[&mix.concat()[..], &more].concat());
    assert_eq!(number(&report, "/commands/answered"), 7000.0);
    let often = target.count("often");
    // Each number is another one, so what `{n}` counted is how often that command came.
    let all = target.number("SCARD all");
    assert!(often.abs_diff(3000) < 250 && all.abs_diff(2000) < 250, "{often} and {all}");
    assert_eq!(target.number("SCARD dice"), 6);
    // Two keys for each of what is left, of which hardly any two are the same; the counters are three keys more.
    let keys = target.number("DBSIZE");
    assert!(keys > 1600 && keys < 2400, "{keys}");
    assert_eq!(report.pointer("/config/commands/0/ratio").and_then(Value::as_u64), Some(3));
}

#[test]
fn callers_think_between_their_commands() {
    let target = Target::start();
    let report = target.report(&["--think", "20ms", "--tasks", "5", "--duration", "1s", "--no-load"]);
    // Five callers, each of whom sends every 20 ms at most, and once more at the start.
    let issued = number(&report, "/commands/issued");
    assert!((1.0..=255.0).contains(&issued), "{issued}");
    assert_eq!(number(&report, "/config/think_seconds"), 0.02);
}

#[test]
fn what_was_due_and_never_sent_is_told() {
    let target = Target::start();
    assert_eq!(target.ask("REHEARSE FAULT delay 20"), "OK");
    // One caller, who gets an answer every 20 ms at best, is due to send every millisecond.
    let open = ["--rate", "1000", "--duration", "1s", "--tasks", "1", "--no-load"];
    let report = target.report(&open);
    let (issued, unsent) = (number(&report, "/commands/issued"), number(&report, "/offered/unsent"));
    assert_eq!(issued + unsent, 1000.0);
    assert!(issued <= 51.0, "{issued}");
    assert_eq!(number(&report, "/offered/per_second"), 1000.0);
    assert!(number(&report, "/throughput_per_second") <= 51.0);
}

#[test]
fn replies_are_checked_whatever_the_load_is_like() {
    let common = ["--verify", "--ratio", "1:1", "--key-space", "2000", "--tasks", "10", "--shards", "1"];
    for more in [
        &["--key-distribution", "gaussian", "--warm-up", "100ms", "--requests", "8000"][..],
        &["--key-distribution", "gaussian:5", "--value-compressible", "0.5", "--requests", "8000"],
        &["--key-distribution", "hot:1%:90%", "--value-size", "31-500", "--requests", "8000"],
        &["--value-compressible", "0", "--rate", "8000", "--arrivals", "poisson", "--duration", "500ms"],
        &["--value-compressible", "1", "--think", "100us", "--via", "client", "--requests", "2000"],
    ] {
        let report = report(&[&common[..], more].concat());
        assert_eq!(number(&report, "/verify/mismatched"), 0.0, "{report:#}");
        assert!(number(&report, "/verify/checked") > 0.0, "{report:#}");
    }
}

#[test]
fn random_arrivals_keep_the_rate_and_repeat_by_their_seed() {
    let target = Target::start();
    let open = ["--rate", "2000", "--arrivals", "poisson", "--duration", "1s", "--seed", "7", "--no-load"];
    let offered = || {
        let report = target.report(&open);
        number(&report, "/commands/issued") + number(&report, "/offered/unsent")
    };
    let (first, second) = (offered(), offered());
    // Five standard deviations.
    assert!((first - 2000.0).abs() < 224.0, "{first}");
    assert_ne!(first, 2000.0, "as even arrivals would be");
    assert_eq!(first, second);
}

#[test]
fn several_servers_all_get_their_part_and_every_reply_is_checked() {
    for via in ["shard", "client"] {
        let (one, other) = (Target::start(), Target::start());
        let urls = ["--url", &one.url, "--url", &other.url, "--shards", "2", "--via", via];
        let load = ["--verify", "--ratio", "1:1", "--key-space", "1000", "--tasks", "8", "--warm-up", "50ms"];
        let report = report(&[&urls[..], &load, &["--requests", "6000"]].concat());
        assert_eq!(number(&report, "/commands/answered"), 6000.0);
        assert_eq!(number(&report, "/verify/mismatched"), 0.0, "{report:#}");
        for (server, target) in [one, other].iter().enumerate() {
            let address = target.endpoints.addresses()[0].to_string();
            let name = report.pointer(&format!("/servers/{server}/endpoint")).and_then(Value::as_str);
            assert_eq!(name, Some(address.as_str()));
            assert_eq!(number(&report, &format!("/servers/{server}/commands")), 3000.0);
            assert_eq!(report.pointer("/connections").and_then(|all| all.get(&address)), Some(&4.into()));
            assert_eq!(target.number("DBSIZE"), 1000, "each holds all keys");
        }
        assert_eq!(number(&report, "/config/shards"), 2.0);
        assert_eq!(report.pointer("/shards").and_then(Value::as_array).map(Vec::len), Some(2));
    }
}

#[test]
fn one_of_several_servers_that_is_not_there_is_named() {
    let (one, gone) = (Target::start(), Target::start());
    let address = gone.endpoints.addresses()[0].to_string();
    let url = gone.url.clone();
    gone.endpoints.stop().expect("it stops");
    let output = bench(&["--url", &one.url, "--url", &url, "--connect-timeout", "500ms"]).output();
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
}

#[test]
fn nonsense_is_a_usage_error_that_says_what_is_allowed() {
    for (arguments, named) in [
        (&["--arrivals", "poisson"][..], &["--arrivals", "--rate"][..]),
        (&["--arrivals", "often", "--rate", "5"], &["--arrivals", "even, poisson"]),
        (&["--think", "1s", "--rate", "5"], &["--think", "--rate"]),
        (&["--think", "5"], &["--think", "with a unit"]),
        (&["--warm-up=-1s"], &["--warm-up", "0s to"]),
        (&["--command", "GET {kye}"], &["--command", "did you mean {key}?"]),
        (&["--command", "BLPOP {key} 0"], &["--command", "BLPOP may wait on the server"]),
        (
            &["--command", "SUBSCRIBE x"],
            &["--command", "SUBSCRIBE is not sent on a connection that is shared"],
        ),
        (&["--command", "PING", "--command-ratio", "0"], &["--command-ratio", "1 to 1000000"]),
        (&["--command-ratio", "2"], &["--command-ratio", "--command"]),
        (
            &["--command", "PING", "--command-ratio", "1", "--command-ratio", "2"],
            &["--command-ratio", "2 times"],
        ),
        (&["--command", "PING", "--ratio", "1:1"], &["--command", "--ratio"]),
        (&["--value-compressible", "50%"], &["--value-compressible", "0 to 1"]),
        (&["--key-distribution", "hot:1:90"], &["--key-distribution", "hot:1%:90%"]),
        (&["--key-distribution", "hot:100%:90%"], &["--key-distribution", "below 100"]),
        (&["--key-distribution", "gaussian:101", "--key-space", "100"], &["--key-distribution", "100 keys"]),
        (&["--key-distribution", "zipf:-1"], &["--key-distribution", "above 0, to 20"]),
        (&["--url", "redis://a", "--url", "redis://b", "--shards", "3"], &["--shards", "2 servers"]),
        (&["--url", "redis://a", "--url", "http://b"], &["--url"]),
        (&["--verify", "--command", "PING", "--command", "PING"], &["--verify", "--command"]),
    ] {
        let output = bench(arguments).output().expect("the binary runs");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{arguments:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
    }
}

/// Four seconds of load at an endpoint that answers nobody for 400 ms in the midst of them; and how long it really
/// was, in microseconds.
fn stalled(arguments: &[&str]) -> (Value, f64) {
    const STALL: Duration = Duration::from_millis(400);
    let target = Target::start();
    let common = ["--url", &target.url, "--shards", "1", "--no-load", "--json", "-", "--quiet"];
    let mut command = bench(&[&common[..], &["--duration", "4s"], arguments].concat());
    command.env("RUST_LOG", "hitless=info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("the run begins") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "it ended before it began");
    }
    let nap = || {
        let begin = Instant::now();
        let (_held, nothing) = mpsc::channel::<()>();
        assert!(nothing.recv_timeout(STALL).is_err(), "nobody sends");
        begin.elapsed()
    };
    // The first is for the run to be well under way; it does not matter by how much.
    nap();
    let stall = target.endpoints.with_server(move |_| nap()).expect("it serves");
    stderr.read_to_string(&mut line).expect("text");
    (parsed(&child.wait_with_output().expect("it ends")), stall.as_secs_f64() * 1e6)
}

/// A stall of a tenth of the run, at a fixed rate: a tenth of the commands are due in it, evenly, and wait for its end.
/// The hundredth that waits longest waits for more than nine tenths of the stall.
#[test]
fn a_stall_shows_in_every_command_that_was_due_in_it() {
    // A machine that is itself paused adds stalls of its own, or takes some away.
    undisturbed(SPARE, || {
        let (open, stall) = stalled(&["--rate", "2000"]);
        assert_eq!(number(&open, "/commands/issued") + number(&open, "/offered/unsent"), 8000.0);
        // The longest hundredth of 4 s is 40 ms, however long the stall really was.
        let expected = stall - 0.01 * 4e6;
        let p99 = number(&open, "/latency_us/p99");
        let is_it = (p99 / expected - 1.0).abs() < 0.05;
        assert!(is_it, "p99 is {p99} µs, and arithmetic says {expected} µs: {open:#}");
        assert!(number(&open, "/service_time_us/p99") < 0.25 * stall, "{open:#}");
    });
}

/// A twentieth of the stall is 20 ms.
const SPARE: Duration = Duration::from_millis(10);

/// In a closed loop the callers wait with the endpoint, and send nothing that could meet the stall: one command of each
/// is all there is to see.
#[test]
fn a_closed_loop_hides_a_stall() {
    undisturbed(SPARE, || {
        let (closed, stall) = stalled(&["--think", "1ms"]);
        let (p99, max) = (number(&closed, "/latency_us/p99"), number(&closed, "/latency_us/max"));
        assert!(max > 0.95 * stall && p99 < 0.25 * stall, "{p99} µs and {max} µs of {stall} µs");
    });
}
