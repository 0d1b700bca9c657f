//! The outputs of `hitless bench`: files in the formats of other tools, plots and comparisons.

mod common;

use std::path::Path;
use std::process::Output;

use common::binary::{self, hitless, lines_about_the_run, number, read_log, text};
use serde_json::Value;

/// A short run at an endpoint in the command's own process.
fn run(arguments: &[&str]) -> Output {
    let short = ["bench", "--key-space", "200", "--shards", "1", "--tasks", "8"];
    binary::run(&[&short, arguments].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn all_formats_report_the_same_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    let names = ["run.json", "run.hlog", "memtier.json", "run.svg", "run.png"].map(path);
    let [report, log, memtier, svg, png] = names.each_ref().map(|path| path.to_str().expect("text"));
    let files = ["--json", report, "--hdr", log, "--memtier-json", memtier, "--plot", svg, "--plot", png];
    let output = run(&[&files[..], &["--duration", "1s", "--moving-at", "500ms"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("MOVING from ") && stdout.contains("\n  before "), "{stdout}");

    let report = json(&names[0]);
    let answered = number(&report, "/commands/answered");
    let timeline = report.pointer("/timeline").and_then(Value::as_array).expect("a timeline");
    let counted: f64 = timeline.iter().map(|moment| number(moment, "/answered")).sum();
    assert_eq!(counted, answered);
    // One second has ten intervals of 100 ms; a busy machine may take longer.
    assert!((8..400).contains(&timeline.len()), "{}", timeline.len());
    for part in ["before", "during", "after"] {
        assert!(number(&report, &format!("/maintenance_windows/0/{part}/latency_us/p99")) > 0.0);
    }
    let began = number(&report, "/maintenance_windows/0/from_seconds");
    assert!(began >= 0.5 && began < number(&report, "/maintenance_windows/0/to_seconds"));

    let (latency, intervals) = read_log(&names[1]);
    assert_eq!((latency.len() as f64, intervals), (answered, timeline.len()));
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)] {
        let reported = number(&report, &format!("/latency_us/{name}"));
        assert_eq!(latency.value_at_quantile(quantile) as f64 / 1e3, reported, "{name}");
    }

    let memtier = json(&names[2]);
    assert_eq!(number(&memtier, "/ALL STATS/Totals/Count"), answered);
    let p99_ms = number(&memtier, "/ALL STATS/Totals/Percentile Latencies/p99.00");
    assert!((p99_ms - number(&report, "/latency_us/p99") / 1e3).abs() < 0.001);
    let seconds =
        memtier.pointer("/ALL STATS/Totals/Time-Serie").and_then(Value::as_object).expect("seconds");
    assert_eq!(seconds.values().map(|second| number(second, "/Count")).sum::<f64>(), answered);

    let svg = std::fs::read_to_string(&names[3]).expect("a picture");
    for text in [
        "throughput, commands/s",
        "time since the start",
        "percentile, logarithmic",
        "MOVING",
        "p99",
        "p99.9",
        "0.5 s",
    ] {
        assert!(svg.contains(&format!(">{text}</text>")), "{text} is missing in the picture");
    }
    for text in [
        "latency, logarithmic<",
        "latency by percentile, logarithmic<",
        concat!(">hitless bench ", env!("CARGO_PKG_VERSION"), " · 20"),
    ] {
        assert!(svg.contains(text), "{text} is missing in the picture");
    }
    let png = std::fs::read(&names[4]).expect("a picture");
    assert_eq!(png.get(16..24), Some(&[0, 0, 4, 176, 0, 0, 3, 32][..]), "1200 × 800 pixels");
}

#[test]
fn a_full_disk_is_reported_after_the_report() {
    let directory = tempfile::tempdir().expect("a directory");
    // The file name selects the picture format, so the device gets a name with an extension.
    let picture = directory.path().join("full.svg");
    std::os::unix::fs::symlink("/dev/full", &picture).expect("a link");
    let picture = picture.to_str().expect("text");
    let full = [
        ("--json", "/dev/full"),
        ("--hdr", "/dev/full"),
        ("--memtier-json", "/dev/full"),
        ("--plot", picture),
    ];
    let arguments: Vec<&str> = full.iter().flat_map(|(option, file)| [*option, *file]).collect();
    let output = run(&[&["--requests", "500"], &arguments[..]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(text(&output.stdout).contains("throughput"), "the report was printed");
    for (option, file) in full {
        assert!(stderr.contains(&format!("{option}: could not write to {file}: No space left")), "{stderr}");
    }
}

#[test]
fn an_unwritable_output_is_rejected_before_the_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let twice = directory.path().join("a.json");
    let twice = twice.to_str().expect("text");
    for (arguments, named) in [
        (&["--hdr", "/nonexistent/a"][..], &["--hdr", "/nonexistent/a"][..]),
        (&["--memtier-json", "/nonexistent/a"], &["--memtier-json", "/nonexistent/a"]),
        (&["--plot", "/nonexistent/a.svg"], &["--plot", "/nonexistent/a.svg"]),
        (&["--plot", "a.pdf"], &["--plot", ".svg or .png"]),
        (&["--plot", "a.svg", "--plot-size", "10x10"], &["--plot-size", "480x360 to 8000x8000"]),
        (&["--json", twice, "--memtier-json", twice], &["--memtier-json: --json writes to", "already"]),
        (&["--compare", "/nonexistent/a.json"], &["--compare", "cannot read /nonexistent/a.json"]),
        (&["--compare", "Cargo.toml"], &["--compare", "Cargo.toml is not JSON"]),
        (&["--live", "--quiet"], &["--live", "--quiet"]),
    ] {
        let output = run(&[arguments, &["--duration", "1h"]].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{arguments:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
    }
}

/// Runs the command in a folder where each of these output files already holds an earlier report.
fn run_over(files: &[&str], arguments: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    for file in files {
        std::fs::write(folder.path().join(file), EARLIER).expect("a file");
    }
    let output = hitless(arguments).current_dir(&folder).output().expect("the binary runs");
    (output, folder)
}

const EARLIER: &str = "an earlier report";

#[test]
fn an_unreachable_server_leaves_earlier_reports_intact() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("redis://{closed}");
    let server = ["--url", &url, "--connect-timeout", "200ms"];
    let bench = ["--json", "a.json", "--hdr", "a.hlog", "--memtier-json", "m.json", "--plot", "a.svg"];
    for (command, options, files) in [
        ("bench", [&server[..], &bench].concat(), &["a.hlog", "a.json", "a.svg", "m.json"][..]),
        ("tune", [&server[..], &["--json", "a.json", "--plot", "a.png"]].concat(), &["a.json", "a.png"]),
        ("rehearse", vec!["--listen", "127.0.0.1:0", "--upstream", &url, "--json", "a.json"], &["a.json"]),
    ] {
        for existing in [files, &[]] {
            let (output, folder) = run_over(existing, &[&[command], &options[..]].concat());
            assert_eq!(output.status.code(), Some(3), "{command}: {}", text(&output.stderr));
            let left = std::fs::read_dir(folder.path()).expect("a folder");
            let mut left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
            left.sort();
            let names: Vec<_> = left.iter().filter_map(|path| path.file_name()?.to_str()).collect();
            assert_eq!(names, existing, "{command}");
            for file in left {
                assert_eq!(std::fs::read_to_string(&file).expect("text"), EARLIER, "{command}: {file:?}");
            }
        }
    }
}

#[test]
fn a_finished_run_replaces_the_earlier_report() {
    let (output, folder) =
        run_over(&["a.json"], &["simulate", "--seeds", "2", "--json", "a.json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(number(&json(&folder.path().join("a.json")), "/worlds"), 2.0);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn a_run_is_compared_with_an_earlier_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.json");
    let path = path.to_str().expect("text");
    assert_eq!(run(&["--requests", "2000", "--json", path]).status.code(), Some(0));
    // The new report replaces the old file, after the old report has been read for the comparison.
    let output = run(&["--requests", "2000", "--pipeline", "4", "--json", path, "--compare", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("compared with ") && stdout.contains("\nlatency p99.9 "), "{stdout}");
    assert!(
        stdout.contains("NOT THE SAME EXPERIMENT") && stdout.contains("  pipeline: 1 then, 4 now\n"),
        "{stdout}"
    );
    assert!(!stdout.contains("seed:") && !stdout.contains("endpoint:"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colors without a terminal");
    assert_eq!(json(Path::new(path)).pointer("/config/pipeline"), Some(&Value::from(4)));
}

#[test]
fn live_view_needs_a_terminal() {
    let output = run(&["--live", "--duration", "1500ms", "--no-moving"]);
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert_eq!(lines_about_the_run(stderr).next(), None, "{stderr}");
    assert!(!stderr.contains('\u{1b}') && !text(&output.stdout).contains('\u{1b}'));
}
