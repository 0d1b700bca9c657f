//! A run that cannot start ends with one error: it names the cause and the option that fixes it.

mod common;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use common::Redis;
use common::authority::Certificates;
use common::binary::run;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// A server of another protocol: it sends these bytes to every client and closes the connection.
struct ForeignServer {
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ForeignServer {
    fn start(words: &'static [u8]) -> ForeignServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // The client may have closed already.
                if client.write_all(words).is_ok() && client.shutdown(std::net::Shutdown::Write).is_ok() {
                    common::read_to_end(&mut client);
                }
            }
        });
        ForeignServer { address, stop, thread: Some(thread) }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread waits in accept(); a connection wakes it.
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends");
        }
    }
}

/// The error of a run, which must be its only output.
#[track_caller]
fn error(arguments: &[&str]) -> String {
    error_within("3s", arguments)
}

#[track_caller]
fn error_within(time: &str, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--connect-timeout", time, "--shards", "2"]].concat());
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(said.starts_with("error: "), "{said}");
    for word in ["hitless::", "Config::", "`ca_file`", "client_certificate_files", "0x"] {
        assert!(!said.contains(word), "{said}");
    }
    said
}

/// Every command reports the same error, with and without --quiet.
#[track_caller]
fn refused(url: &str, more: &[&str], says: &[&str]) {
    for command in [&["bench"][..], &["bench", "--quiet"], &["tune"], &["tune", "--quiet"]] {
        let said = error(&[command, &["--url", url], more].concat());
        assert!(says.iter().all(|words| said.contains(words)), "{command:?}: {said}");
    }
}

#[test]
fn a_missing_or_wrong_login_names_the_options() {
    let redis = Redis::start_with(&["--requirepass", "s3cret"]);
    refused(&redis.url(), &[], &["the server wants a password", "NOAUTH", "--password-file"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    std::fs::write(&path, "wr0ng\n").expect("a file");
    let file = ["--password-file", path.to_str().expect("text"), "--quiet"];
    let said = error(&[&["bench", "--url", &redis.url()][..], &file].concat());
    assert!(said.contains("WRONGPASS") && said.contains("--user"), "{said}");
    assert!(!said.contains("wr0ng"), "{said}");
}

#[test]
fn a_server_of_another_protocol_is_named() {
    for (words, named) in [
        (&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH"),
        (b"ERROR\r\nERROR\r\n", "memcached"),
        (b"220 mail.example ESMTP\r\n", "SMTP"),
    ] {
        let server = ForeignServer::start(words);
        for scheme in ["redis", "rediss"] {
            let ca = Certificates::new(&["127.0.0.1"]);
            let trust = ["--tls-ca", ca.paths()[0]];
            let more = if scheme == "rediss" { &trust[..] } else { &[] };
            let said = error(&[&["bench", "--url", &server.url(scheme)][..], more].concat());
            assert!(
                said.contains(&format!("the server speaks {named}")) && said.contains("not Redis"),
                "{said}"
            );
            assert!(said.contains("check the host and the port"), "{said}");
        }
    }
}

#[test]
fn tls_on_one_side_only_names_the_other_scheme() {
    let alert = ForeignServer::start(b"\x15\x03\x03\0\x02\x02\x46");
    refused(&alert.url("redis"), &[], &["the server speaks TLS", "write rediss://"]);
    let certificates = Certificates::new(&["127.0.0.1"]);
    let plain = ForeignServer::start(b"-DENIED Redis is running in protected mode\r\n");
    let trust = ["--tls-ca", certificates.paths()[0]];
    refused(&plain.url("rediss"), &trust, &["without TLS", "write redis://"]);
}

/// A certificate for 127.0.0.1 that is a CA's, as `openssl req -x509` creates, and its key, as files.
fn ca_as_server(folder: &Path) -> [String; 2] {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    [("cert.pem", certificate), ("key.pem", key.serialize_pem())].map(|(name, pem)| {
        let path = folder.join(name);
        std::fs::write(&path, pem).expect("a file");
        path.to_str().expect("text").to_owned()
    })
}

#[test]
fn a_rejected_certificate_is_reported_with_its_fix() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = ca_as_server(folder.path());
    let port = common::free_port().to_string();
    let tls = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", certificate.as_str(), "--tls-auth-clients", "no"];
    let _redis = Redis::start_with(&[&tls[..], &more].concat());
    let url = format!("rediss://127.0.0.1:{port}");
    let remedy = ["certificate belongs to a CA", "basicConstraints=critical,CA:FALSE", "--tls-ca"];
    refused(&url, &["--tls-ca", &certificate], &remedy);

    let certificates = Certificates::new(&["redis.test"]);
    let other = Certificates::new(&["127.0.0.1"]);
    let signed = Redis::start_tls(&certificates, &[]);
    let url = format!("rediss://127.0.0.1:{}", signed.port());
    refused(&url, &["--tls-ca", other.paths()[0]], &["not signed by a trusted CA", "--tls-ca FILE"]);
    let trust = ["--tls-ca", certificates.paths()[0]];
    refused(&url, &trust, &["is not for 127.0.0.1", "--tls-server-name"]);
}

#[test]
fn a_server_that_wants_a_certificate_names_the_options() {
    let certificates = Certificates::new(&["127.0.0.1"]);
    let redis = Redis::start_tls(&certificates, &["--tls-auth-clients", "yes"]);
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let trust = ["--tls-ca", certificates.paths()[0]];
    refused(&url, &trust, &["requires a client certificate", "--tls-cert FILE"]);
}

#[test]
fn an_address_where_nothing_listens_is_one_error() {
    let url = format!("redis://127.0.0.1:{}", common::free_port());
    for command in [&["bench"][..], &["bench", "--quiet"], &["tune"]] {
        let said = error_within("300ms", &[command, &["--url", &url]].concat());
        assert!(said.contains("Connection refused"), "{said}");
    }
}
