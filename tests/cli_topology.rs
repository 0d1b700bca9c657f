//! `bench` and `tune` reject a cluster node and a Sentinel before they start, and the doctor names them.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use common::binary::{json, run, stderr};
use common::{Redis, fixture};

/// A Sentinel that monitors a primary under the name `app`.
struct Sentinel {
    child: Child,
    port: u16,
    /// The Sentinel rewrites its configuration file here.
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(primary: u16) -> Sentinel {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, port) = (folder.path().join("sentinel.conf"), common::free_port());
        let config = format!("port {port}\nbind 127.0.0.1\nsentinel monitor app 127.0.0.1 {primary} 1\n");
        std::fs::write(&path, config).expect("a file");
        let mut command = Command::new("redis-server");
        command
            .arg(&path)
            .arg("--sentinel")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().expect("redis-server is on the PATH (scripts/test installs it)");
        let sentinel = Sentinel { child, port, _folder: folder };
        fixture::eventually("the Sentinel listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        sentinel
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster node that owns the slots from 0 to this one.
fn cluster_node(last_slot: u16) -> Redis {
    let bus = common::free_port().to_string();
    let node = Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let answer = ask(&node, &format!("CLUSTER ADDSLOTSRANGE 0 {last_slot}"));
    assert!(answer.starts_with("+OK"), "{answer}");
    node
}

fn hitless(arguments: &[&str]) -> Output {
    run(&[arguments, &["--shards", "1"]].concat())
}

/// The server's reply to a command, read to the end of the connection.
fn ask(redis: &Redis, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("a server");
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).expect("it reads");
    String::from_utf8_lossy(&common::read_to_end(&mut stream)).into_owned()
}

/// `bench` and `tune` end before they start, with one error that contains all of these texts.
#[track_caller]
fn refused(port: u16, says: &[&str]) {
    for command in ["bench", "tune"] {
        let output = hitless(&[command, "--url", &format!("redis://127.0.0.1:{port}")]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
        assert!(said.contains(&format!("127.0.0.1:{port}: ")), "{command}: {said}");
        assert!(says.iter().all(|words| said.contains(words)), "{command}: {said}");
    }
}

/// The doctor's finding about the keys: its level, and its text with the remedy.
fn keys(port: u16, code: i32) -> (String, String) {
    let output = hitless(&["doctor", "--url", &format!("redis://127.0.0.1:{port}"), "--json", "-"]);
    let report = json(&output, code);
    let findings = report["endpoint"]["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["check"] == "keys").expect("it looks at the keys");
    (found["level"].as_str().expect("a level").to_owned(), format!("{} {}", found["found"], found["remedy"]))
}

#[test]
fn a_cluster_node_is_named_before_a_command_is_sent() {
    // Half of the slots, as in a cluster of two nodes.
    let node = cluster_node(8191);
    refused(node.port(), &["node of a cluster", "MOVED", "--url"]);
    let (level, said) = keys(node.port(), 1);
    assert!(level == "fail" && said.contains("node of a cluster"), "{said}");
    assert!(!ask(&node, "INFO commandstats").contains("cmdstat_set"), "nothing was written");
}

#[test]
fn a_cluster_node_without_info_is_named_by_its_error() {
    let node = cluster_node(8191);
    assert!(ask(&node, "ACL SETUSER default -info").starts_with("+OK"));
    let output = hitless(&["bench", "--url", &node.url(), "--key-space", "100"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CLUSTERDOWN") && said.contains("node of a cluster"), "{said}");
}

#[test]
fn a_single_node_with_all_slots_is_accepted() {
    let node = cluster_node(16383);
    fixture::eventually("the cluster is up", || ask(&node, "CLUSTER INFO").contains("cluster_state:ok"));
    let output = hitless(&["bench", "--url", &node.url(), "--requests", "200", "--key-space", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(keys(node.port(), 0).0, "ok");
}

#[test]
fn a_sentinel_is_named_with_its_primary() {
    let primary = Redis::start();
    let sentinel = Sentinel::start(primary.port());
    refused(sentinel.port, &["is a Sentinel", &format!("redis://127.0.0.1:{}", primary.port()), "app"]);
    let (level, said) = keys(sentinel.port, 1);
    assert!(level == "fail" && said.contains("is a Sentinel"), "{said}");
}

#[test]
fn a_replica_is_a_warning_of_the_doctor() {
    let primary = Redis::start();
    let replica = Redis::start_with(&["--replicaof", &format!("127.0.0.1 {}", primary.port())]);
    let (level, said) = keys(replica.port(), 0);
    assert!(level == "warn" && said.contains("is a replica"), "{said}");
}

#[test]
fn a_server_that_forbids_info_is_accepted() {
    let server = Redis::start_with(&["--user", "default", "on", "nopass", "~*", "&*", "+@all", "-info"]);
    let output = hitless(&["bench", "--url", &server.url(), "--requests", "200", "--key-space", "100"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(keys(server.port(), 0).0, "ok");
}
