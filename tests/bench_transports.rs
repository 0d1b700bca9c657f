//! `hitless bench` against a real redis-server over TLS, mutual TLS and a unix socket, and with a user name.

mod common;

use std::process::Output;

use common::Redis;
use common::authority::self_signed;
use common::binary::{hitless, text};
use serde_json::Value;

const PASSWORD: &str = "s3cret-p4ssword";

fn bench(arguments: &[&str]) -> Output {
    let small = ["--requests", "3000", "--key-space", "200", "--shards", "1", "--tasks", "16", "--verify"];
    let output = ["--json", "-", "--connect-timeout", "3s"];
    let mut command = hitless(&[&["bench"], &small[..], arguments, &output].concat());
    command.env("RUST_LOG", "hitless=debug").output().expect("the binary runs")
}

/// The report of a run in which nothing failed.
#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let output = bench(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    let said = format!("{}{stderr}", text(&output.stdout));
    assert!(!said.contains(PASSWORD) && !said.contains("PRIVATE KEY"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (path, count) in [("/commands/failed", 0), ("/commands/answered", 3000), ("/verify/mismatched", 0)] {
        assert_eq!(report.pointer(path), Some(&Value::from(count)), "{report:#}");
    }
    report
}

/// The error of a run that could not connect.
#[track_caller]
fn unreachable(arguments: &[&str]) -> String {
    let output = bench(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {stderr}");
    assert!(!stderr.contains(PASSWORD), "{stderr}");
    stderr.lines().find(|line| line.starts_with("error: ")).expect("an error").to_owned()
}

/// A redis-server that speaks TLS, and its URL.
fn secured(certificate: &str, key: &str, more: &[&str]) -> (Redis, String) {
    let own = ["--port", "0", "--tls-port", "{port}", "--tls-cert-file", certificate, "--tls-key-file", key];
    let redis = Redis::start_with(&[&own[..], more].concat());
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    (redis, url)
}

#[test]
fn tls_connects_to_a_trusted_server_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = self_signed(folder.path(), "redis.test", &["redis.test"]);
    let [stranger, _] = self_signed(folder.path(), "stranger.test", &["stranger.test"]);
    let own = [
        "--tls-ca-cert-file",
        certificate.as_str(),
        "--tls-auth-clients",
        "no",
        "--tls-protocols",
        "TLSv1.2",
    ];
    let (_redis, url) = secured(&certificate, &key, &own);
    let to = |arguments: &[&'static str]| [&["--url", url.as_str()], arguments].concat();

    let named = [&to(&["--tls-server-name", "redis.test"])[..], &["--tls-ca", &certificate]].concat();
    let tls =
        report(&named).pointer("/config/tls").and_then(Value::as_str).expect("the TLS settings").to_owned();
    for part in ["1.2 or later", &certificate, "redis.test"] {
        assert!(tls.contains(part), "{tls}");
    }
    let tls = report(&to(&["--tls-insecure-skip-verify"]));
    assert!(
        tls.pointer("/config/tls").and_then(Value::as_str).is_some_and(|tls| tls.contains("NOT verified"))
    );

    // Each of these fails: a wrong name, a wrong CA, too old a TLS version, and no TLS.
    for arguments in [
        [&to(&[])[..], &["--tls-ca", &certificate]].concat(),
        [&to(&["--tls-server-name", "redis.test"])[..], &["--tls-ca", &stranger]].concat(),
        [&named[..], &["--tls-min-version", "1.3"]].concat(),
        vec!["--url", &url.replace("rediss", "redis")],
    ] {
        unreachable(&arguments);
    }
}

#[test]
fn mutual_tls_needs_a_client_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = self_signed(folder.path(), "127.0.0.1", &["127.0.0.1"]);
    let [known, known_key] = self_signed(folder.path(), "client.test", &["client.test"]);
    let (_redis, url) =
        secured(&certificate, &key, &["--tls-ca-cert-file", &known, "--tls-auth-clients", "yes"]);
    let without_certificate = ["--url", url.as_str(), "--tls-ca", &certificate];
    let report =
        report(&[&without_certificate[..], &["--tls-cert", &known, "--tls-key", &known_key]].concat());
    let tls = report.pointer("/config/tls").and_then(Value::as_str).expect("the TLS settings");
    assert!(tls.contains(&known) && !tls.contains(&known_key), "{tls}");
    unreachable(&without_certificate);
}

#[test]
fn unix_sockets_and_user_names_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock").to_str().expect("a path that is text").to_owned();
    let rights = format!("hitless on >{PASSWORD} ~* +@all");
    let user: Vec<&str> = ["--user"].into_iter().chain(rights.split(' ')).collect();
    let redis = Redis::start_with(&[&["--unixsocket", &path][..], &user].concat());
    report(&["--url", &format!("unix://{path}")]);
    report(&["--url", &format!("redis://hitless:{PASSWORD}@127.0.0.1:{}", redis.port())]);
    let error = unreachable(&["--url", &format!("redis://hitless:{PASSWORD}x@127.0.0.1:{}", redis.port())]);
    assert!(error.contains("WRONGPASS"), "{error}");
}
