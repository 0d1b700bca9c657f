//! The load that `hitless bench` generates, checked at both ends: these tests run the binary and query the endpoint.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::binary::{hitless, number, started, text};
use common::pauses::retry_on_pause;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use serde_json::Value;

/// An endpoint in this process; the binary reaches it by its URL.
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

    /// The endpoint's reply to a command, as one line.
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

    /// The value of a counter.
    fn count(&self, counter: &str) -> u64 {
        // `INCRBY 0` replies with an integer; `GET` replies with a bulk string.
        self.number(&format!("INCRBY {counter} 0"))
    }

    fn report(&self, arguments: &[&str]) -> Value {
        report(&[&["--url", &self.url, "--shards", "1"], arguments].concat())
    }
}

fn bench(arguments: &[&str]) -> Command {
    hitless(&[&["bench"], arguments].concat())
}

/// The report of a run that succeeded, or that failed only because the machine was slower than the offered load. That
/// is a failure for a user and no failure of these tests.
fn parsed(output: &Output) -> Value {
    let (code, errors) = (output.status.code(), text(&output.stderr));
    let is_overloaded =
        code == Some(1) && errors.contains("TOO LITTLE WAS ANSWERED") && errors.contains("never sent");
    assert!(code == Some(0) || is_overloaded, "{code:?}: {errors}\n{}", text(&output.stdout));
    serde_json::from_slice(&output.stdout).expect("standard output is JSON and nothing else")
}

fn report(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json", "-", "--quiet"]].concat()).output().expect("the binary runs");
    parsed(&output)
}

#[test]
fn warm_up_sends_commands_that_are_not_measured() {
    // Evenly spaced arrivals make the counts exact: half a second of warm-up, then the requests.
    for (via, measured) in [("shard", true), ("client", false), ("tokio", false)] {
        let target = Target::start();
        let open = ["--rate", "1000", "--requests", "300", "--warm-up", "500ms", "--via", via];
        let report = target.report(&[&open[..], &["--command", "INCR counter"]].concat());
        assert_eq!(number(&report, "/commands/issued"), 300.0);
        assert_eq!(number(&report, "/commands/answered"), 300.0);
        // Commands in flight when the warm-up ends count among the 300.
        let carried = number(&report, "/commands/from_warm_up");
        assert_eq!(target.count("counter") as f64, 800.0 - carried);
        assert_eq!(report.pointer("/shards/0/commands").and_then(Value::as_f64), measured.then_some(300.0));
        assert_eq!(number(&report, "/config/warm_up_seconds"), 0.5);
        // 300 arrivals have 299 gaps of 1 ms; commands carried over from the warm-up save one gap each. A busy machine
        // only makes the run longer.
        let elapsed = number(&report, "/elapsed_seconds");
        assert!(elapsed >= 0.298 - carried * 0.001, "{elapsed}");
    }
}

#[test]
fn commands_of_a_closed_loops_warm_up_are_not_measured() {
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
    // `{n}` is different each time, so the size of the set is the number of commands.
    let all = target.number("SCARD all");
    assert!(often.abs_diff(3000) < 250 && all.abs_diff(2000) < 250, "{often} and {all}");
    assert_eq!(target.number("SCARD dice"), 6);
    // The fourth command writes two keys, and few keys repeat; the counters add three keys.
    let keys = target.number("DBSIZE");
    assert!(keys > 1600 && keys < 2400, "{keys}");
    assert_eq!(report.pointer("/config/commands/0/ratio").and_then(Value::as_u64), Some(3));
}

#[test]
fn callers_pause_for_the_think_time() {
    let target = Target::start();
    let report = target.report(&["--think", "20ms", "--tasks", "5", "--duration", "1s", "--no-load"]);
    // Five callers send at most once in 20 ms, and once at the start.
    let issued = number(&report, "/commands/issued");
    assert!((1.0..=255.0).contains(&issued), "{issued}");
    assert_eq!(number(&report, "/config/think_seconds"), 0.02);
}

#[test]
fn commands_due_but_never_sent_are_reported() {
    let target = Target::start();
    assert_eq!(target.ask("REHEARSE FAULT delay 20"), "OK");
    // One caller gets a reply every 20 ms at best, and a command is due every millisecond.
    let open = ["--rate", "1000", "--duration", "1s", "--tasks", "1", "--no-load"];
    let report = target.report(&open);
    let (issued, unsent) = (number(&report, "/commands/issued"), number(&report, "/offered/unsent"));
    assert_eq!(issued + unsent, 1000.0);
    assert!(issued <= 51.0, "{issued}");
    assert_eq!(number(&report, "/offered/per_second"), 1000.0);
    assert!(number(&report, "/throughput_per_second") <= 51.0);
}

#[test]
fn replies_are_checked_under_every_kind_of_load() {
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
fn random_arrivals_keep_the_rate_and_repeat_with_the_seed() {
    let target = Target::start();
    let open = ["--rate", "2000", "--arrivals", "poisson", "--duration", "1s", "--seed", "7", "--no-load"];
    let offered = || {
        let report = target.report(&open);
        number(&report, "/commands/issued") + number(&report, "/offered/unsent")
    };
    let (first, second) = (offered(), offered());
    // Five standard deviations.
    assert!((first - 2000.0).abs() < 224.0, "{first}");
    assert_ne!(first, 2000.0, "even arrivals give exactly 2000");
    assert_eq!(first, second);
}

#[test]
fn several_servers_share_the_load_and_every_reply_is_checked() {
    for via in ["shard", "client", "tokio"] {
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
            assert_eq!(target.number("DBSIZE"), 1000, "each server holds all keys");
        }
        assert_eq!(number(&report, "/config/shards"), 2.0);
        assert_eq!(report.pointer("/shards").and_then(Value::as_array).map(Vec::len), Some(2));
    }
}

#[test]
fn an_unreachable_server_of_several_is_named() {
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
fn a_usage_error_names_the_allowed_values() {
    for (arguments, named) in [
        (&["--arrivals", "poisson"][..], &["--arrivals", "--rate"][..]),
        (&["--arrivals", "often", "--rate", "5"], &["--arrivals", "even, poisson"]),
        (&["--think", "1s", "--rate", "5"], &["--think", "--rate"]),
        (&["--think", "5"], &["--think", "with a unit"]),
        (&["--warm-up=-1s"], &["--warm-up", "0s to"]),
        (&["--command", "GET {kye}"], &["--command", "did you mean {key}?"]),
        (&["--command", "BLPOP {key} 0"], &["--command", "BLPOP may wait on the server"]),
        (&["--command", "SUBSCRIBE x"], &["--command", "SUBSCRIBE cannot run on a shared connection"]),
        (&["--command", "PING", "--command-ratio", "0"], &["--command-ratio", "1 to 1000000"]),
        (&["--command-ratio", "2"], &["--command-ratio", "--command"]),
        (
            &["--command", "PING", "--command-ratio", "1", "--command-ratio", "2"],
            &["got 2 --command-ratio for 1 --command"],
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

/// Runs four seconds of load while the endpoint stops answering once for 400 ms. Returns the report and the measured
/// length of the stall in microseconds.
fn stalled(arguments: &[&str]) -> (Value, f64) {
    const STALL: Duration = Duration::from_millis(400);
    let target = Target::start();
    let common = ["--url", &target.url, "--shards", "1", "--no-load", "--json", "-", "--quiet"];
    let mut command = bench(&[&common[..], &["--duration", "4s"], arguments].concat());
    command.env("RUST_LOG", "hitless=info");
    let (child, mut stderr) = started(command, "the run begins");
    let block = || {
        let begin = Instant::now();
        let (_held, nothing) = mpsc::channel::<()>();
        assert!(nothing.recv_timeout(STALL).is_err(), "the channel stays empty");
        begin.elapsed()
    };
    // The first wait lets the run get under way; its length does not matter.
    block();
    let stall = target.endpoints.with_server(move |_| block()).expect("it serves");
    stderr.read_to_string(&mut String::new()).expect("text");
    (parsed(&child.wait_with_output().expect("it ends")), stall.as_secs_f64() * 1e6)
}

/// The stall is a tenth of the run, and the rate is fixed, so a tenth of the commands are due in it and wait for its
/// end. The slowest hundredth of the commands waits for more than nine tenths of the stall.
#[test]
fn a_stall_counts_for_every_command_due_in_it() {
    // Pauses of the machine would lengthen or shorten the stall.
    retry_on_pause(SPARE, || {
        let (open, stall) = stalled(&["--rate", "2000"]);
        assert_eq!(number(&open, "/commands/issued") + number(&open, "/offered/unsent"), 8000.0);
        // A hundredth of the 4 s run is 40 ms, whatever the length of the stall.
        let expected = stall - 0.01 * 4e6;
        let p99 = number(&open, "/latency_us/p99");
        let is_near = (p99 / expected - 1.0).abs() < 0.05;
        assert!(is_near, "p99 is {p99} µs, expected {expected} µs: {open:#}");
        assert!(number(&open, "/service_time_us/p99") < 0.25 * stall, "{open:#}");
    });
}

/// The tolerance of 5 % is 20 ms of the stall; a pause may use half of it.
const SPARE: Duration = Duration::from_millis(10);

/// In a closed loop the callers wait for the stalled endpoint, so only one command of each caller meets the stall.
#[test]
fn a_closed_loop_hides_a_stall() {
    retry_on_pause(SPARE, || {
        let (closed, stall) = stalled(&["--think", "1ms"]);
        let (p99, max) = (number(&closed, "/latency_us/p99"), number(&closed, "/latency_us/max"));
        assert!(max > 0.95 * stall && p99 < 0.25 * stall, "{p99} µs and {max} µs of {stall} µs");
    });
}
