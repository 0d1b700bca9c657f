//! `hitless doctor`: the binary on machines with fewer and fewer permissions.

mod common;

use std::process::{Command, Output};

use common::Redis;
use common::binary::{HITLESS, hitless, isolate, json, run, text};
use common::filter;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use serde_json::Value;

fn doctor(arguments: &[&str]) -> Output {
    run(&[&["doctor"], arguments].concat())
}

/// The same under a limit that `ulimit` sets.
fn limited(limit: &str, arguments: &str) -> Output {
    let script = format!("ulimit {limit} && exec \"$HITLESS\" {arguments}");
    let mut command = Command::new("bash");
    isolate(command.args(["-c", &script]).env("HITLESS", HITLESS)).output().expect("bash runs")
}

/// The JSON on standard output of a run that ended with this code and an empty standard error.
fn report(output: &Output, code: i32) -> Value {
    assert_eq!(text(&output.stderr), "");
    json(output, code)
}

/// The level of a check, and its text with the remedy.
fn finding(report: &Value, part: &str, check: &str) -> (String, String) {
    let findings = report.pointer(&format!("/{part}/findings")).and_then(Value::as_array);
    let found = findings.into_iter().flatten().find(|finding| finding["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check} in {report:#}"));
    (
        found["level"].as_str().unwrap_or_default().to_owned(),
        format!("{} {}", found["found"], found["remedy"]),
    )
}

#[test]
fn a_good_machine_has_no_failed_check() {
    let output = doctor(&["--shards", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    for check in ["kernel", "io_uring", "seccomp", "locked memory", "open files", "cores", "clock source"] {
        assert!(said.contains(check), "{said}");
    }
    assert!(!said.contains('\x1b'), "colors are for terminals");
    let report = report(&doctor(&["--shards", "1", "--json", "-"]), 0);
    assert_eq!(
        (&report["version"], &report["shards"], &report["endpoint"]),
        (&1.into(), &1.into(), &Value::Null)
    );
    assert_eq!(finding(&report, "machine", "io_uring").0, "ok");
}

#[test]
fn doctor_and_client_start_report_too_little_locked_memory() {
    let report = report(&limited("-l 64", "doctor --json -"), 3);
    let (level, said) = finding(&report, "machine", "locked memory");
    assert!(level == "fail" && said.contains("512 KiB"), "{said}");
    for endpoint in ["--url redis://127.0.0.1:1", ""] {
        let bench = limited("-l 64", &format!("bench {endpoint} --requests 1 --quiet"));
        let said = text(&bench.stderr);
        assert_eq!(bench.status.code(), Some(3), "{said}");
        assert!(said.contains("locked memory") && said.contains("raise it to 512 KiB"), "{said}");
    }
}

#[test]
fn doctor_and_client_start_report_too_few_descriptors() {
    let report = report(&limited("-n 64", "doctor --shards 1 --connections 80 --json -"), 3);
    let (level, said) = finding(&report, "machine", "open files");
    assert!(level == "fail" && said.contains("raise it to"), "{said}");
    let bench =
        limited("-n 64", "bench --url redis://127.0.0.1:1 --shards 1 --connections 80 --requests 1 --quiet");
    let said = text(&bench.stderr);
    assert_eq!(bench.status.code(), Some(3), "{said}");
    assert!(said.contains("open files") && said.contains("raise it to"), "{said}");
}

#[test]
fn a_filter_that_forbids_io_uring_is_found() {
    let run = |arguments: &[&str]| {
        let mut command = hitless(arguments);
        filter::without_io_uring(&mut command);
        command.output().expect("the binary runs")
    };
    let report = report(&run(&["doctor", "--json", "-", "--url", "redis://127.0.0.1:1"]), 3);
    for check in ["seccomp", "io_uring"] {
        assert_eq!(finding(&report, "machine", check).0, "fail");
    }
    let (_, said) = finding(&report, "machine", "io_uring");
    assert!(said.contains("--security-opt seccomp=") && said.contains("under a seccomp filter"), "{said}");
    assert_eq!(finding(&report, "endpoint", "connect").0, "warn", "the endpoint is not the cause");
    let bench = run(&["bench", "--url", "redis://127.0.0.1:1"]);
    assert_eq!(bench.status.code(), Some(3));
    assert!(text(&bench.stderr).contains("--security-opt seccomp="), "{}", text(&bench.stderr));
}

#[test]
fn more_shards_than_cores_are_a_warning() {
    let output =
        isolate(Command::new("taskset").args(["-c", "0", HITLESS, "doctor", "--shards", "2", "--json", "-"]))
            .output()
            .expect("taskset runs");
    let report = report(&output, 0);
    let (level, said) = finding(&report, "machine", "cores");
    assert!(level == "warn" && said.contains("may use 1: 0; 2 shards"), "{said}");
    assert_eq!(report["level"], "warn");
}

#[test]
fn an_endpoint_that_announces_maintenance_passes_all_checks() {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let endpoints = Endpoints::start(EndpointsConfig { listen, ..EndpointsConfig::default() }).unwrap();
    let url = format!("redis://{}", endpoints.addresses()[0]);
    let report = report(&doctor(&["--shards", "1", "--url", &url, "--json", "-"]), 0);
    for check in ["connect", "login", "protocol", "maintenance"] {
        assert_eq!(finding(&report, "endpoint", check).0, "ok", "{report:#}");
    }
    // The same with the environment variable, which the process list does not show.
    let output = hitless(&["doctor", "--shards", "1"]).env("HITLESS_URL", &url).output().unwrap();
    assert!(text(&output.stdout).contains("notifications are offered"), "{}", text(&output.stdout));
}

#[test]
fn an_untrusted_certificate_is_found_before_the_login() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), own.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    // Another CA with the same name.
    std::fs::write(path("other.pem"), rcgen::generate_simple_self_signed([]).unwrap().cert.pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let port = ["--port", "0", "--tls-port", "{port}"];
    let tls = [
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &cert,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let redis = Redis::start_with(&[&port[..], &tls].concat());
    let port = redis.port();
    let report = |host: &str, authority: &str, code| {
        let url = format!("rediss://{host}:{port}?ca_file={}", path(authority));
        report(&doctor(&["--shards", "1", "--url", &url, "--json", "-"]), code)
    };
    let good = report("localhost", "cert.pem", 0);
    for check in ["connect", "TLS", "login", "protocol"] {
        assert_eq!(finding(&good, "endpoint", check).0, "ok");
    }
    for (host, authority, problem) in [
        ("localhost", "other.pem", "the server's certificate is not signed by a trusted CA"),
        ("127.0.0.1", "cert.pem", "not for 127.0.0.1"),
    ] {
        let report = report(host, authority, 1);
        assert_eq!(finding(&report, "endpoint", "connect").0, "ok");
        let (level, said) = finding(&report, "endpoint", "TLS");
        assert!(level == "fail" && said.contains(problem), "{said}");
    }
    // A missing CA file is an error in the URL.
    let url = format!("rediss://localhost:{port}?ca_file={}", path("none.pem"));
    assert_eq!(doctor(&["--url", &url]).status.code(), Some(2));
}

#[test]
fn problems_of_an_endpoint_come_with_their_remedy() {
    let redis = Redis::start_with(&["--user", "app", "on", ">pw", "~*", "&*", "+@all"]);
    let url = |info: &str, more: &str| format!("redis://{info}127.0.0.1:{}{more}", redis.port());
    // A password on the command line causes a warning unless --quiet is set.
    let doctor = |url: &str| doctor(&["--shards", "1", "--url", url, "--json", "-", "--quiet"]);
    let report = |url: &str, code| report(&doctor(url), code);
    let said = report(&url("app:pw@", ""), 0);
    assert_eq!(finding(&said, "endpoint", "protocol").0, "ok");
    // Most servers do not offer notifications, and that is no problem.
    let (level, found) = finding(&said, "endpoint", "maintenance");
    assert!(level == "ok" && found.contains("not offered"), "{found}");
    // With maint=enabled the notifications are required.
    assert_eq!(finding(&report(&url("", "?maint=enabled"), 1), "endpoint", "maintenance").0, "fail");
    let (level, switched_off) = finding(&report(&url("", "?maint=disabled"), 0), "endpoint", "maintenance");
    assert!(level == "ok" && switched_off.contains("not asked"), "{switched_off}");
    let (level, refused) = finding(&report(&url("app:wr0ng@", ""), 1), "endpoint", "login");
    assert!(level == "fail" && refused.contains("WRONGPASS") && !refused.contains("wr0ng"), "{refused}");
    let unreachable = format!("redis://127.0.0.1:{}", common::free_port());
    assert_eq!(finding(&report(&unreachable, 1), "endpoint", "connect").0, "fail");
    assert_eq!(finding(&report("unix:///nowhere/redis.sock", 1), "endpoint", "connect").0, "fail");
    let unknown = report("redis://cache.invalid", 1);
    assert_eq!(finding(&unknown, "endpoint", "name").0, "fail");
}

#[test]
fn a_plain_redis_passes_all_checks() {
    let redis = Redis::start();
    let report = report(&doctor(&["--shards", "1", "--url", &redis.url(), "--json", "-"]), 0);
    let findings = report["endpoint"]["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|finding| finding["level"] == "ok"), "{report:#}");
    let output = doctor(&["--shards", "1", "--url", &redis.url()]);
    let said = text(&output.stdout);
    // The machine may have a slow clock source, which is a warning of its own.
    let is_well = report["level"] == "ok";
    assert_eq!(
        said.ends_with("\nAll well: this machine can run the client, and the endpoint works.\n"),
        is_well,
        "{said}"
    );
}

#[test]
fn missing_rights_are_warnings_with_their_remedy() {
    let users = ["--user", "app", "on", ">pw", "~*", "&*", "+@all", "-client|unblock", "-client|tracking"];
    let redis = Redis::start_with(&users);
    let said = |login: &str| {
        let url = redis.url().replace("redis://", &format!("redis://{login}"));
        report(&doctor(&["--shards", "1", "--url", &url, "--json", "-", "--quiet"]), 0)
    };
    let (all, few) = (said(""), said("app:pw@"));
    for (check, permission) in
        [("CLIENT UNBLOCK", "+client|unblock"), ("CLIENT TRACKING", "+client|tracking")]
    {
        let (level, found) = finding(&all, "endpoint", check);
        assert!(level == "ok" && found.starts_with("\"permitted"), "{found}");
        let (level, found) = finding(&few, "endpoint", check);
        assert!(level == "warn" && found.contains("NOPERM") && found.contains(permission), "{found}");
    }
    let url = redis.url();
    let shown = doctor(&["--shards", "1", "--url", &url]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("CLIENT UNBLOCK") && shown.contains("CLIENT TRACKING"), "{shown}");
}

#[test]
fn a_missing_login_and_a_wrong_one_differ() {
    let redis = Redis::start_with(&["--requirepass", "pw"]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "pw\n"), file("wrong", "wr0ng\n"));
    let said = |more: &[&str], code| {
        let url = redis.url();
        let arguments = ["--shards", "1", "--url", &url, "--json", "-"];
        finding(&report(&doctor(&[&arguments[..], more].concat()), code), "endpoint", "login")
    };
    let (level, missing) = said(&[], 1);
    assert!(level == "fail" && missing.contains("wants a password"), "{missing}");
    assert!(missing.contains("--password-file") && missing.contains("NOAUTH"), "{missing}");
    let (level, refused) = said(&["--password-file", &wrong], 1);
    assert!(level == "fail" && refused.contains("WRONGPASS") && !refused.contains("NOAUTH"), "{refused}");
    assert_eq!(said(&["--password-file", &right], 0).0, "ok");
    assert_eq!(said(&["--password-file", &right, "--user", "default"], 0).0, "ok");
}

#[test]
fn tls_options_equal_those_of_bench() {
    let certificates = common::authority::Certificates::new(&["redis.test"]);
    let redis = Redis::start_tls(&certificates, &["--tls-auth-clients", "yes"]);
    let (chain, key) = certificates.authority.sign(&["client.test"]);
    let (chain, key) = (certificates.write("client.pem", &chain), certificates.write("client.key", &key));
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let [ca, ..] = certificates.paths();
    let arguments = ["--shards", "1", "--url", &url, "--json", "-", "--tls-ca", ca];
    let named = [&arguments[..], &["--tls-server-name", "redis.test"]].concat();
    let known = [&named[..], &["--tls-cert", &chain, "--tls-key", &key]].concat();
    assert_eq!(finding(&report(&doctor(&known), 0), "endpoint", "TLS").0, "ok");
    for (arguments, option) in [(&named, "--tls-cert FILE"), (&arguments.to_vec(), "--tls-server-name")] {
        let (level, said) = finding(&report(&doctor(arguments), 1), "endpoint", "TLS");
        assert!(level == "fail" && said.contains(option), "{said}");
    }
    let unsafe_one =
        ["--shards", "1", "--url", &url, "--tls-insecure-skip-verify", "--tls-min-version", "1.3"];
    let identity = ["--tls-cert", chain.as_str(), "--tls-key", key.as_str(), "--json", "-"];
    let (level, said) =
        finding(&report(&doctor(&[&unsafe_one[..], &identity].concat()), 0), "endpoint", "TLS");
    assert!(level == "ok" && said.contains("NOT verified") && said.contains("1.3"), "{said}");
    for (arguments, why) in [
        (&["--tls-ca", ca][..], "--tls-ca: no connection uses TLS; add --url rediss://"),
        (&["--url", "redis://h", "--tls-ca", ca], "--tls-ca: the URL does not use TLS"),
        (&["--url", "rediss://h", "--tls-ca", "/nonexistent/ca.pem"], "--tls-ca: /nonexistent/ca.pem"),
    ] {
        let output = doctor(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}

#[test]
fn invalid_options_exit_with_2_and_quiet_prints_nothing() {
    for arguments in
        [&["--shards", "0"][..], &["--connections", "x"], &["--url", "redis://h?tiemout=1s"], &["x"]]
    {
        assert_eq!(doctor(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let quiet = doctor(&["--shards", "1", "--quiet"]);
    assert_eq!((quiet.status.code(), text(&quiet.stdout)), (Some(0), ""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("findings.json");
    let written = doctor(&["--shards", "1", "--quiet", "--json", file.to_str().unwrap()]);
    assert_eq!((written.status.code(), text(&written.stdout)), (Some(0), ""));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(finding(&report, "machine", "io_uring").0, "ok");
}
