//! Passwords: no output of successful or failing runs contains one.

mod common;

use std::process::Output;

use common::Redis;
use common::binary::{hitless, stderr, stdout};

/// Part of no other text, and unchanged by percent-encoding.
const PASSWORD: &str = "Xq7kZw93";
/// A wrong password.
const WRONG: &str = "Wv5jYt28";
/// A password that needs percent-encoding, and its encoded form.
const ODD: &str = "p/w?d@Rk4%";
const ENCODED: &str = "p%2Fw%3Fd%40Rk4%25";

fn redis() -> Redis {
    let (plain, odd) = (format!(">{PASSWORD}"), format!(">{ODD}"));
    let rights = ["~*", "&*", "+@all"];
    let users =
        [&["--user", "app", "on", &plain][..], &rights, &["--user", "odd", "on", &odd], &rights].concat();
    Redis::start_with(&users)
}

/// Runs the command with full logging and the URL in its environment variable.
fn run(arguments: &[&str], url: &str) -> Output {
    let mut command = hitless(arguments);
    command.env("HITLESS_URL", url).env("RUST_LOG", "trace").output().expect("the binary runs")
}

/// The same with the URL on the command line.
fn run_with_option(arguments: &[&str], url: &str) -> Output {
    let mut command = hitless(arguments);
    command.args(["--url", url]).env("RUST_LOG", "trace").output().expect("the binary runs")
}

/// The whole output.
fn said(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

/// Asserts the exit code, and an output that is not empty and has none of the secrets.
fn check(output: &Output, code: i32, secrets: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.is_empty());
    for secret in secrets {
        assert!(!said.contains(secret), "the output contains {secret}:\n{said}");
    }
}

const BENCH: [&str; 5] = ["bench", "--requests", "500", "--shards", "1"];

#[test]
fn no_run_prints_its_password() {
    let redis = redis();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let url = |user: &str, password: &str| format!("redis://{user}:{password}@127.0.0.1:{}", redis.port());
    for (user, password) in [("app", PASSWORD), ("odd", ENCODED)] {
        let url = url(user, password);
        let secrets = [password, ODD];
        // The log level is the highest, so the search covers all messages.
        let text = run(&BENCH, &url);
        check(&text, 0, &secrets);
        assert!(said(&text).contains("hitless::shard"), "{}", said(&text));
        check(&run_with_option(&[&BENCH[..], &["--json", "-"]].concat(), &url), 0, &secrets);
        check(
            &run(&[&BENCH[..], &["--json", file.to_str().unwrap(), "--verify"]].concat(), &url),
            0,
            &secrets,
        );
        let report = std::fs::read_to_string(&file).unwrap();
        assert!(report.contains("(set)"), "the report may say that a password is set: {report}");
        secrets.iter().for_each(|secret| assert!(!report.contains(secret), "{report}"));
        check(&run(&["doctor", "--shards", "1"], &url), 0, &secrets);
        check(&run_with_option(&["doctor", "--shards", "1", "--json", "-"], &url), 0, &secrets);
    }
}

#[test]
fn no_error_prints_the_wrong_password() {
    let redis = redis();
    let url = format!("redis://app:{WRONG}@127.0.0.1:{}", redis.port());
    let refused = run(&BENCH, &url);
    check(&refused, 3, &[WRONG, PASSWORD]);
    assert!(said(&refused).contains("WRONGPASS"), "{}", said(&refused));
    check(&run_with_option(&[&BENCH[..], &["--json", "-"]].concat(), &url), 3, &[WRONG]);
    check(&run(&["doctor", "--shards", "1"], &url), 1, &[WRONG]);
    // A port without a listener.
    let unreachable =
        format!("redis://app:{PASSWORD}@127.0.0.1:{}?connect_timeout=200ms", common::free_port());
    check(&run(&BENCH, &unreachable), 3, &[PASSWORD]);
}

#[test]
fn no_url_or_option_error_prints_the_password() {
    let part = |before: &str, after: &str| format!("{before}{PASSWORD}{after}");
    for url in [
        part("redis://app:", "@host:port/0"),
        part("redis://app:", "@host/zero"),
        part("redis://app:", "@host?nonsense=1"),
        part("redis://app:", "@host?timeout=soon"),
        part("redis://app:", "@host?db=1&db=2"),
        part("redis://app:", "/@host"),
        part("redis://app:", "?@host"),
        part("redis://app:", "#@host"),
        part("redis://app:", "%ff@host"),
        part("redis://app:", ""),
        part("redis://", "!"),
        part("redis://host?password=", ""),
        part("redis://app:", "@host?maint=maybe"),
        part("rediss://app:", "@host/#insecure"),
        part("rediss://app:", "@host?cert_file=/x"),
        part("unix://app:", "@run/redis.sock"),
        part("unix://app:", "/run/redis.sock"),
        part("http://app:", "@host"),
        part("app:", "@host"),
    ] {
        check(&run(&BENCH, &url), 2, &[PASSWORD]);
        check(&run_with_option(&["doctor"], &url), 2, &[PASSWORD]);
    }
    let good = part("redis://app:", "@127.0.0.1");
    // The variable holds a password, while an option is wrong, or while --help prints defaults.
    for (arguments, code) in [
        (&["bench", "--tasks", "0"][..], 2),
        (&["bench", "--nonsense"], 2),
        (&["bench", "--moving-at", "1s"], 2),
        (&["doctor", "--shards", "x"], 2),
        (&["bench", "--help"], 0),
        (&["doctor", "--help"], 0),
        (&["rehearse", "--help"], 0),
    ] {
        check(&run(arguments, &good), code, &[PASSWORD]);
        let all = [arguments, &["--url", &good]].concat();
        let output = hitless(&all).output().expect("the binary runs");
        assert!(!said(&output).contains(PASSWORD), "{all:?}: {}", said(&output));
    }
}

/// The ways to pass a password that the process list does not show.
#[test]
fn no_way_to_pass_a_password_prints_it() {
    let redis = redis();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = format!("redis://app@127.0.0.1:{}", redis.port());
    for (password, code, doctor) in [(PASSWORD, 0, 0), (WRONG, 3, 1)] {
        let file = write("password", format!("{password}\n"));
        let url = plain.replace("app@", &format!("app:{password}@"));
        let config = write("options.toml", format!("[bench]\nurl = \"{url}\"\n[doctor]\nurl = \"{url}\"\n"));
        let secrets = [PASSWORD, WRONG];
        check(
            &run(&[&BENCH[..], &["--password-file", &file, "--json", "-"]].concat(), &plain),
            code,
            &secrets,
        );
        check(&run(&["doctor", "--shards", "1", "--password-file", &file], &plain), doctor, &secrets);
        // An empty variable counts as unset. The files are readable by all users, which causes a warning.
        check(&run(&[&BENCH[..], &["--config", &config]].concat(), ""), code, &secrets);
        check(&run(&["doctor", "--shards", "1", "--config", &config], ""), doctor, &secrets);
        let mut command = hitless(&BENCH);
        command.env("HITLESS_URL", &plain).env("HITLESS_PASSWORD", password).env("HITLESS_LOG", "trace");
        check(&command.output().expect("the binary runs"), code, &secrets);
    }
}

#[test]
fn misplaced_passwords_are_not_printed() {
    let url = format!("redis://app:{PASSWORD}@127.0.0.1");
    for arguments in [
        &["bench", &url][..],
        &[&url],
        &["bench", "-a", PASSWORD],
        &["bench", "--password", PASSWORD],
        &["bench", &format!("--authenticate=app:{PASSWORD}")],
        &["bench", "--tasks", &url],
        &["bench", "--json", &format!("/nonexistent/{PASSWORD}@file"), "--nonsense"],
    ] {
        check(&run(arguments, ""), 2, &[PASSWORD]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("options.toml");
    for text in [
        format!("[bench]\nurl = \"{url}"),
        format!("[bench]\ntasks = \"{url}\""),
        format!("[bench]\nurl = \"{url}:port\""),
        format!("[bench]\nurl = \"{url}\"\nduration = 10"),
        format!("[bench]\nurl = [\"{url}\"] {PASSWORD}"),
    ] {
        std::fs::write(&path, &text).unwrap();
        check(&run(&["bench", "--config", path.to_str().unwrap()], ""), 2, &[PASSWORD]);
    }
}
