//! The keys that `hitless bench` writes, its figures by command, and the removal of keys after a run.

mod common;

use std::process::{Command, Output};

use common::Redis;
use common::binary::{number, run, stderr};
use serde_json::Value;

fn bench(redis: &Redis, arguments: &[&str]) -> (Output, Value) {
    let url = redis.url();
    let short = ["bench", "--url", &url, "--shards", "1", "--tasks", "8", "--json", "-"];
    let few = if arguments.contains(&"--key-space") { &[][..] } else { &["--key-space", "500"] };
    let output = run(&[&short, few, arguments].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

fn cli(redis: &Redis, words: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-p", &redis.port().to_string()]).args(words).output();
    String::from_utf8(output.expect("redis-cli runs").stdout).expect("text").trim_end().to_owned()
}

#[test]
fn figures_by_command_add_up_to_the_totals() {
    let redis = Redis::start();
    let (output, report) = bench(&redis, &["--requests", "4000", "--ratio", "1:3", "--pipeline", "4"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (sets, gets) = (number(&report, "/by_command/SET/count"), number(&report, "/by_command/GET/count"));
    assert_eq!(sets + gets, number(&report, "/commands/answered"));
    assert!((500.0..1500.0).contains(&sets), "{sets} of 4000 at 1:3");
    assert_eq!(
        (number(&report, "/by_command/GET/hits"), number(&report, "/by_command/GET/misses")),
        (gets, 0.0)
    );
    assert_eq!(report.pointer("/by_command/SET/hits"), None);
    assert_eq!(report.pointer("/by_command/INCR"), None, "none was sent");
    let elapsed = number(&report, "/elapsed_seconds");
    // Bytes of one command: *3 $3 SET $16 key $64 value, and *2 $3 GET $16 key.
    let sent = sets * f64::from(4 + 9 + 23 + 71) + gets * f64::from(4 + 9 + 23);
    let reported = number(&report, "/bytes_per_second/sent") * elapsed;
    assert!((reported - sent).abs() < sent / 100.0, "{reported} bytes reported, {sent} sent");
    let received = sets * 5.0 + gets * 71.0;
    let reported = number(&report, "/bytes_per_second/received") * elapsed;
    assert!((reported - received).abs() < received / 100.0, "{reported} bytes reported, {received} received");
    let text = stderr(&output);
    assert!(text.contains("hits     p50") && text.contains("100 %"), "{text}");
}

#[test]
fn misses_of_custom_commands_are_counted() {
    let redis = Redis::start();
    let own = ["--command", "HGET {key} field", "--command", "HSET other field {value}"];
    let (output, report) = bench(&redis, &[&own[..], &["--requests", "400"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let asked = number(&report, "/by_command/HGET/count");
    assert!(asked > 0.0);
    assert_eq!(number(&report, "/by_command/HGET/misses"), asked);
    assert_eq!(number(&report, "/commands/missing"), asked);
}

#[test]
fn idle_cpu_is_reported_at_low_rates_only() {
    let redis = Redis::start();
    let (output, report) = bench(&redis, &["--rate", "50", "--duration", "1s"]);
    assert!(number(&report, "/client_cpu/idle_ns_per_second") >= 0.0, "{}", stderr(&output));
    assert!(number(&report, "/client_cpu/busy_share") < 1.0);
    let above = number(&report, "/client_cpu/above_idle_ns_per_command");
    assert!(above <= number(&report, "/client_cpu_ns_per_command"));
    assert!(stderr(&output).contains("waiting costs"), "{}", stderr(&output));
    let (_, report) = bench(&redis, &["--requests", "100"]);
    assert_eq!(report.pointer("/client_cpu/idle_ns_per_second"), None);
}

#[test]
fn keys_have_the_requested_names_and_expiry() {
    let redis = Redis::start();
    let named = ["--key-prefix", "tenant:", "--key-minimum", "1000", "--ttl", "1h"];
    let (output, _) = bench(&redis, &[&named[..], &["--requests", "100"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("500 from tenant:000000001000 on that expire after 1h"),
        "{}",
        stderr(&output)
    );
    assert_eq!(cli(&redis, &["DBSIZE"]), "500");
    assert_eq!(cli(&redis, &["EXISTS", "tenant:000000001000", "tenant:000000001499"]), "2");
    let ttl: i64 = cli(&redis, &["TTL", "tenant:000000001499"]).parse().expect("seconds");
    assert!((3000..=3600).contains(&ttl), "{ttl}");
    let (output, _) = bench(&redis, &["--ttl", "1h", "--verify"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("--ttl"), "{}", stderr(&output));
}

#[test]
fn cleanup_removes_the_keys_of_the_run_and_no_others() {
    let redis = Redis::start();
    let (output, _) = bench(&redis, &["--requests", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for key in ["mine", "key:mine", "key:000000000500"] {
        assert_eq!(cli(&redis, &["SET", key, "x"]), "OK");
    }
    let (output, report) = bench(&redis, &["--requests", "100", "--cleanup"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(number(&report, "/cleanup/removed"), 500.0);
    assert!(stderr(&output).contains("500 keys removed"), "{}", stderr(&output));
    assert_eq!(cli(&redis, &["DBSIZE"]), "3");
    let (output, _) = bench(&redis, &["--key-space", "200000000", "--cleanup"]);
    let message = stderr(&output);
    assert!(
        output.status.code() == Some(2) && message.contains("--cleanup goes through all keys"),
        "{message}"
    );
}

#[test]
fn a_default_run_does_not_break_the_next_command() {
    let redis = Redis::start();
    let (output, _) = bench(&redis, &["--requests", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (command, prefix) in [("INCR {key}", "key:incr:"), ("LPUSH {key} {value}", "key:lpush:")] {
        let (output, report) = bench(&redis, &["--requests", "200", "--command", command]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(report.pointer("/config/key_prefix").and_then(Value::as_str), Some(prefix));
        assert!(stderr(&output).contains("this run uses keys that begin with"), "{}", stderr(&output));
    }
    assert_eq!(cli(&redis, &["TYPE", "key:000000000000"]), "string", "existing keys stay");
    // Without conflicting keys, the prefix is the default one.
    let empty = Redis::start();
    for _ in 0..2 {
        let (_, report) = bench(&empty, &["--requests", "200", "--command", "INCR {key}"]);
        assert_eq!(report.pointer("/config/key_prefix").and_then(Value::as_str), Some("key:"));
    }
}
