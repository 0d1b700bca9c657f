//! The `hitless` binary: started without the environment of the test run, and its output read.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use hitless::rehearsal::{Endpoints, EndpointsConfig, NodeId};
use serde_json::Value;

pub const HITLESS: &str = env!("CARGO_BIN_EXE_hitless");

/// The binary with these arguments.
pub fn hitless<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(HITLESS);
    isolate(command.args(arguments));
    command
}

/// Removes the variables that the binary reads, because the environment of the test run must not change what is tested,
/// and closes standard input.
pub fn isolate(command: &mut Command) -> &mut Command {
    for name in ["URL", "CONFIG", "UPSTREAM", "PASSWORD", "USERNAME", "LOG"] {
        command.env_remove(format!("HITLESS_{name}"));
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null())
}

/// The output of a run with these arguments.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    hitless(arguments).output().expect("the binary runs")
}

/// Starts the command and waits for a line with this text on standard error.
pub fn started(mut command: Command, until: &str) -> (Child, BufReader<ChildStderr>) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    wait_for_line(&mut stderr, until);
    (child, stderr)
}

/// Reads lines up to one with this text.
#[track_caller]
pub fn wait_for_line(stderr: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "the output ended before {text:?}");
    }
}

pub fn signal(child: &Child, signal: i32) {
    super::signal(child.id(), signal);
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// The lines of standard error except for the warning that a busy machine causes by itself.
pub fn lines_about_the_run(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.lines().filter(|line| !line.contains(" WARN hitless::shard: the shard's thread was blocked"))
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON on standard output of a run that ended with this code.
#[track_caller]
pub fn json(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stderr(output), stdout(output));
    serde_json::from_slice(&output.stdout).expect("standard output is JSON and nothing else")
}

/// The number at this JSON pointer.
#[track_caller]
pub fn number(report: &Value, path: &str) -> f64 {
    let found = report.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

/// An endpoint in this process with this fault, and its URL.
pub fn endpoint(fault: &str) -> (Endpoints, String) {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = EndpointsConfig { listen, ..EndpointsConfig::default() };
    let endpoints = Endpoints::start(config).expect("endpoints");
    let words: Vec<Vec<u8>> = fault.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let done = endpoints.with_server(move |server| server.rehearse(NodeId(0), 0, &words));
    done.expect("they run").expect("a fault");
    let url = format!("redis://{}", endpoints.addresses()[0]);
    (endpoints, url)
}

/// The sum of all intervals of an HdrHistogram log, and their number.
pub fn read_log(path: &Path) -> (Histogram<u64>, usize) {
    let log = std::fs::read(path).expect("a file");
    let (mut all, mut intervals) = (Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap(), 0);
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(line) = entry.expect("a line of a log") {
            let bytes = STANDARD.decode(line.encoded_histogram()).expect("base64");
            let one: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).expect("a histogram");
            all.add(one).expect("histograms of one shape");
            intervals += 1;
        }
    }
    (all, intervals)
}
