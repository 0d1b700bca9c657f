//! Helpers of the test programs: a real server for each test, on a free port and without files, and sockets that are
//! read to their end.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program uses only a part of this module"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub mod authority;
#[cfg(feature = "cli")]
pub mod binary;
pub mod cluster;
#[cfg(feature = "glommio")]
pub mod drivers;
#[cfg(feature = "cli")]
pub mod filter;
#[cfg(feature = "cli")]
pub mod fixture;
pub mod hostile;
#[cfg(feature = "cli")]
pub mod log;
pub mod pauses;
#[cfg(feature = "cli")]
pub mod rehearsal;
pub mod servers;

use authority::Certificates;
use futures_lite::future::block_on;
use hitless::{Client, Error};
use servers::Server;

/// Longer than every test step, even on a machine that pauses for seconds: only a bug reaches this limit.
pub const WAIT_MAX: Duration = Duration::from_secs(100);

/// A running Redis or Valkey server.
pub struct Redis {
    pub server: &'static Server,
    child: Child,
    port: u16,
    options: Vec<String>,
    /// The server's working directory, for files such as a replica's copy of the data.
    folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// Starts a server with more options than those for loopback and no persistence. `{port}` in an option stands for
    /// the port. The server is the first one that supports the options.
    pub fn start_with(options: &[&str]) -> Redis {
        Redis::start_on(servers::with(&servers::features_for(options)), options)
    }

    /// Starts this server with these options.
    pub fn start_on(server: &'static Server, options: &[&str]) -> Redis {
        let started = Redis::try_start(server, options);
        started.unwrap_or_else(|said| panic!("{} does not start with {options:?}: {said}", server.name))
    }

    /// A TLS server with this certificate and key. It asks clients for certificates of the authority only if the
    /// options say so.
    pub fn start_tls(certificates: &Certificates, options: &[&str]) -> Redis {
        Redis::start_with(&[&certificates.options()[..], options].concat())
    }

    /// Starts the server on a free port.
    ///
    /// # Errors
    /// The last output of the server, if it does not start.
    fn try_start(server: &'static Server, options: &[&str]) -> Result<Redis, String> {
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut said = String::new();
        for _ in 0..PORTS_MAX {
            let port = free_port();
            match launch(server, port, folder.path(), &options) {
                Ok(child) => return Ok(Redis { server, child, port, options, folder }),
                Err(error) => said = error,
            }
            // Another program may have taken the port, so another port is tried.
            if !said.contains("Address already in use") {
                break;
            }
        }
        Err(said)
    }

    /// A plain server and a TLS server, each with the configuration of a client.
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

    /// The server's `INFO commandstats`.
    pub fn statistics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a server");
        stream.write_all(b"INFO commandstats\r\nQUIT\r\n").expect("it reads");
        String::from_utf8(read_to_end(&mut stream)).expect("text")
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server can be waited for");
    }

    /// Starts the server again on the same port.
    pub fn restart(&mut self) {
        self.child = launch(self.server, self.port, self.folder.path(), &self.options)
            .unwrap_or_else(|said| panic!("its port was free a moment ago: {said}"));
    }

    pub fn signal(&self, signal: i32) {
        self::signal(self.child.id(), signal);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // The process may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test's future on its own executor.
#[cfg(feature = "glommio")]
pub fn run_on_executor<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    let executor = glommio::LocalExecutorBuilder::default().spawn(|| async move { test().await });
    executor.expect("an executor").join().expect("no panic");
}

/// Sends a signal to a child process that has not been waited for.
#[expect(unsafe_code, reason = "the standard library sends no signal but one")]
pub fn signal(child: u32, signal: i32) {
    let pid = i32::try_from(child).expect("a process id");
    // SAFETY: `kill` takes two numbers and accesses no memory. The process has not been waited for, so no other process
    // has its number.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// The bytes up to the end of the connection, which must come; a reset counts as an end.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("not closed: {error}"),
    }
    all
}

/// Waits until the error of a client that cannot connect contains this text. Before the first attempt has failed, the
/// error has no cause.
#[track_caller]
pub fn last_error(client: &Client, says: &str) -> Error {
    let begin = Instant::now();
    loop {
        let error = block_on(client.ready(Duration::from_millis(20))).expect_err(says);
        if error.to_string().contains(says) {
            return error;
        }
        assert!(begin.elapsed() < WAIT_MAX, "the error never contains {says:?}: {error}");
    }
}

/// Polls the condition until it holds.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < WAIT_MAX, "never happened: {what}");
        pause();
    }
}

/// Lets other threads run before the next poll.
pub fn pause() {
    let (_sender, nothing) = mpsc::channel::<()>();
    // The channel stays empty; this waits a moment.
    let _ = nothing.recv_timeout(Duration::from_millis(5));
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Starts a server and waits until it accepts connections.
///
/// # Errors
/// The last output of the server, if it ends instead.
fn launch(server: &Server, port: u16, folder: &Path, options: &[String]) -> Result<Child, String> {
    let mut child = Command::new(&server.program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(folder)
        .args(options.iter().map(|option| option.replace("{port}", &port.to_string())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program has just said its version");
    let output = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut said = Vec::new();
    for line in output.lines() {
        let line = line.expect("its output is text");
        // Later output is lost: this closes the pipes, and the server ignores that.
        if line.contains("Ready to accept connections") {
            child.stderr = None;
            return Ok(child);
        }
        said.push(line);
    }
    child.wait().expect("it can be waited for");
    let mut errors = child.stderr.take().expect("its errors are piped");
    let mut complaint = String::new();
    errors.read_to_string(&mut complaint).expect("its errors are text");
    said.extend(complaint.lines().map(str::to_owned));
    Err(said.split_off(said.len().saturating_sub(LAST_LINES)).join("\n"))
}

const LAST_LINES: usize = 6;
const PORTS_MAX: usize = 20;
