//! A `hitless rehearse` process with two listeners, and clients that see its raw frames.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::binary::{hitless, text};

/// A run with two listeners on free ports; it ends with the test.
pub struct Rehearsal {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub listeners: Vec<SocketAddr>,
}

impl Rehearsal {
    pub fn start(arguments: &[&str]) -> Rehearsal {
        Rehearsal::start_with(&[&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// A run whose arguments say where it listens.
    pub fn start_with(arguments: &[&str]) -> Rehearsal {
        let mut child = hitless(&[&["rehearse"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let listeners = line
            .strip_prefix("ready: ")
            .map(|all| all.split_whitespace().map(|address| address.parse().expect("an address")).collect());
        let Some(listeners) = listeners else {
            let output = child.wait_with_output().expect("it ends");
            panic!("not ready but {line:?}: {}", text(&output.stderr));
        };
        Rehearsal { child, stdout, listeners }
    }

    pub fn connect(&self, listener: usize) -> Client {
        Client::open(self.listeners[listener])
    }

    /// Sends a REHEARSE command to a listener.
    pub fn control(&self, listener: usize, words: &str) -> String {
        self.connect(listener).ask(&format!("REHEARSE {words}"))
    }

    pub fn stats(&self) -> Value {
        let reply = self.control(0, "STATS");
        let (_, json) = reply.split_once("\r\n").expect("a bulk string");
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    pub fn signal(&self, signal: i32) {
        super::signal(self.child.id(), signal);
    }

    /// Waits for the end of the process: the exit code, and the rest of both streams.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).map(|_| log)
        });
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        let log = log.join().expect("no panic").expect("text");
        (self.child.wait().expect("it ends").code(), rest, log)
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that returns the raw bytes of frames.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn open(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Client(BufReader::new(stream))
    }

    pub fn send(&mut self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(request.as_bytes()).expect("it reads");
    }

    /// The bytes of the next frame, pushes included.
    pub fn frame(&mut self) -> String {
        let mut frame = Vec::new();
        assert_ne!(self.0.read_until(b'\n', &mut frame).expect("a frame"), 0, "closed");
        let count = || text(&frame[1..]).trim_end().parse::<i64>().expect("a length");
        match frame[0] {
            b'$' | b'=' if count() >= 0 => {
                let mut body = vec![0; usize::try_from(count()).expect("a length") + 2];
                self.0.read_exact(&mut body).expect("a body");
                frame.extend(body);
            }
            kind @ (b'*' | b'>' | b'%' | b'~') => {
                for _ in 0..count() * if kind == b'%' { 2 } else { 1 } {
                    frame.extend(self.frame().into_bytes());
                }
            }
            _ => {}
        }
        text(&frame).to_owned()
    }

    pub fn ask(&mut self, words: &str) -> String {
        self.send(words);
        self.frame()
    }

    /// Switches to RESP3 with this name and subscribes to maintenance notifications.
    pub fn opt_in(&mut self, name: &str) {
        let hello = self.ask(&format!("HELLO 3 SETNAME {name}"));
        assert!(hello.starts_with('%'), "{hello}");
        let reply = self.ask("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip");
        assert_eq!(reply, "+OK\r\n");
    }

    pub fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("a clean close");
        assert_eq!(text(&rest), "");
    }
}

/// The output of redis-cli on both streams.
pub fn redis_cli(arguments: &[&str]) -> (String, String) {
    let output = Command::new("redis-cli").args(arguments).output().expect("redis-cli runs");
    (text(&output.stdout).trim_end().to_owned(), text(&output.stderr).trim_end().to_owned())
}

/// The reply to MOVING without connected clients.
pub const NO_CLIENT_TOLD: &str = "OK: 0 of 0 connections were told";
