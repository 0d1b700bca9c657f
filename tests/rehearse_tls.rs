//! `hitless rehearse` with TLS: towards its clients and towards the server behind it.

mod common;

use common::Redis;
use common::authority::self_signed;
use common::binary::{run, text};
use common::rehearsal::{NO_CLIENT_TOLD, Rehearsal, redis_cli};
use serde_json::Value;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

#[test]
fn redis_cli_controls_the_rehearsal_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = self_signed(folder.path(), "server", &NAMES);
    let rehearsal = Rehearsal::start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let [old, new] = [0, 1].map(|index| rehearsal.listeners[index]);
    let (old_port, new_port) = (old.port().to_string(), new.port().to_string());
    let secure = |words: &[&str]| {
        let (output, error) = redis_cli(&[&["--tls", "--cacert", certificate.as_str()], words].concat());
        assert_eq!(error, "");
        output
    };
    assert_eq!(secure(&["-3", "-p", &old_port, "SET", "a", "1"]), "OK");
    assert_eq!(secure(&["-p", &old_port, "REHEARSE", "MOVING", "60", &new.to_string()]), NO_CLIENT_TOLD);
    assert_eq!(secure(&["-p", &new_port, "GET", "a"]), "1");

    // Clients without TLS, or with another CA, fail without harm to the endpoint.
    assert_eq!(redis_cli(&["-p", &old_port, "PING"]).0, "", "no TLS");
    let [stranger, _] = self_signed(folder.path(), "stranger", &NAMES);
    let (_, error) = redis_cli(&["--tls", "--cacert", &stranger, "-p", &old_port, "PING"]);
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
    let [certificate, key] = self_signed(folder.path(), "server", &NAMES);
    let [known, known_key] = self_signed(folder.path(), "client", &NAMES);
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-client-ca", &known];
    let rehearsal = Rehearsal::start(&[&options[..], &["--log"]].concat());
    let port = rehearsal.listeners[0].port().to_string();
    let common = ["--tls", "--cacert", &certificate, "-p", &port];
    let shown = ["--cert", known.as_str(), "--key", &known_key];
    assert_eq!(redis_cli(&[&common[..], &shown, &["PING"]].concat()), ("PONG".to_owned(), String::new()));
    let (output, error) = redis_cli(&[&common[..], &["PING"]].concat());
    assert_eq!(output, "", "{error}");
    rehearsal.signal(libc::SIGINT);
    let (_, _, log) = rehearsal.end();
    assert!(log.contains("TLS handshake failed") && log.contains("peer sent no certificates"), "{log}");
}

#[test]
fn a_proxied_redis_is_served_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = self_signed(folder.path(), "server", &NAMES);
    let redis = Redis::start();
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--quiet", "--upstream", &redis.url()];
    let rehearsal = Rehearsal::start(&options);
    let port = rehearsal.listeners[1].port().to_string();
    let common = ["--tls", "--cacert", &certificate, "-p", &port];
    assert_eq!(
        redis_cli(&[&common[..], &["ZADD", "z", "1", "a"]].concat()).0,
        "1",
        "the in-memory keyspace has no sorted sets"
    );
    assert_eq!(redis_cli(&["-p", &redis.port().to_string(), "ZCARD", "z"]).0, "1");
}

#[test]
fn the_upstream_may_use_tls_or_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = self_signed(folder.path(), "redis", &NAMES);
    let socket = folder.path().join("redis.sock").to_str().expect("a path that is text").to_owned();
    let redis = Redis::start_with(&[
        "--unixsocket",
        &socket,
        "--port",
        "0",
        "--tls-port",
        "{port}",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
    ]);
    let trusted = format!("rediss://127.0.0.1:{}?ca_file={certificate}", redis.port());
    for (url, count) in [(trusted, ":1\r\n"), (format!("unix://{socket}"), ":2\r\n")] {
        let rehearsal = Rehearsal::start(&["--quiet", "--upstream", &url]);
        assert_eq!(rehearsal.connect(0).ask("INCR n"), count, "{url}");
    }
    let [stranger, _] = self_signed(folder.path(), "stranger", &NAMES);
    let untrusted = format!("rediss://127.0.0.1:{}?ca_file={stranger}", redis.port());
    let output = run(&["rehearse", "--listen", "127.0.0.1:0", "--upstream", &untrusted]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cannot reach the upstream") && stderr.contains("certificate"), "{stderr}");
}
