//! What test programs share: a real redis-server, of which each test starts its own, on a free port, with nothing on
//! disk, and ends it; and sockets read to their ends.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module of several test programs, none of which uses all of it"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub mod authority;
#[cfg(feature = "cli")]
pub mod stage;

use authority::Certificates;

pub struct Redis {
    child: Child,
    port: u16,
    options: Vec<String>,
    /// What it writes all the same, such as what a replica is given, goes with it.
    folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// With more options than those that keep it on loopback and off the disk. `{port}` in one of them stands for the
    /// port.
    pub fn start_with(options: &[&str]) -> Redis {
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        for _ in 0..20 {
            // Between here and there somebody else may take the port: then another one is tried.
            let port = free_port();
            if let Some(child) = launch(port, folder.path(), &options) {
                return Redis { child, port, options, folder };
            }
        }
        panic!("redis-server found no free port");
    }

    /// One that speaks TLS, with this certificate and key, and asks clients for certificates of the authority if it is
    /// to.
    pub fn start_tls(certificates: &Certificates, options: &[&str]) -> Redis {
        let [ca, chain, key] = certificates.paths();
        let mut all = vec!["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
        all.extend(["--tls-cert-file", chain, "--tls-key-file", key, "--tls-ca-cert-file", ca]);
        all.extend(options);
        Redis::start_with(&all)
    }

    /// One that is plain and one that speaks TLS, with what a client takes to speak with it.
    #[cfg(feature = "tls")]
    pub fn plain_and_tls(options: &[&str]) -> [(Redis, hitless::Config); 2] {
        let config = |redis: &Redis| hitless::Config::from_url(&redis.url()).expect("a URL");
        let plain = Redis::start_with(options);
        let certificates = Certificates::new(&["127.0.0.1"]);
        let secure = Redis::start_tls(&certificates, options);
        let tls = hitless::net::Tls::new().ca_pem(certificates.authority.pem());
        let (config, tls) = (config(&plain), config(&secure).tls(tls));
        [(plain, config), (secure, tls)]
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server can be waited for");
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.child =
            launch(self.port, self.folder.path(), &self.options).expect("its port was free a moment ago");
    }

    #[expect(unsafe_code, reason = "the standard library sends no signal but one")]
    pub fn signal(&self, signal: i32) {
        let pid = self.child.id().try_into().expect("a process id");
        // SAFETY: `kill` takes two numbers and touches no memory of ours; the process has not been waited for, so that
        // its number is nobody else's.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything up to the end of the connection, which must come; a reset is an end, too.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    all
}

/// A port of loopback that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// A server that accepts connections, or nothing if it could not have the port.
fn launch(port: u16, folder: &Path, options: &[String]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .args(options.iter().map(|option| option.replace("{port}", &port.to_string())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is on the PATH (scripts/test installs it)");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    for line in output.lines() {
        // What it says later goes nowhere: the pipe is closed then, which it does not mind.
        if line.expect("its output is text").contains("Ready to accept connections") {
            return Some(child);
        }
    }
    child.wait().expect("redis-server can be waited for");
    None
}
