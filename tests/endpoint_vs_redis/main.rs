//! A real server and the in-memory endpoint reply to the same commands with the same bytes.

#[path = "../common/mod.rs"]
mod common;

mod scripts;
mod sessions;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::Redis;
use hitless::rehearsal::{Endpoints, EndpointsConfig};

/// Sends `line` and a marker, and reads the reply up to the marker's echo.
fn ask(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(&[request(line), request(&format!("ECHO {MARKER}"))].concat()).unwrap();
    // In a transaction the server queues the echo.
    read_reply(stream, line, &[&bulk(MARKER), "+QUEUED\r\n"])
}

/// The request with the words of `line`. The word `''` is an empty argument.
fn request(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').map(|word| if word == "''" { "" } else { word }).collect();
    let bulks: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{bulks}", words.len()).into_bytes()
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Reads up to the first of `ends`, and returns what is before it.
fn read_reply(stream: &mut TcpStream, line: &str, ends: &[&str]) -> String {
    let mut reply = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&reply);
        for end in ends {
            if let Some(head) = text.strip_suffix(end)
                && (*end != "+QUEUED\r\n" || !head.is_empty())
            {
                return head.to_owned();
            }
        }
        let read = match stream.read(&mut chunk) {
            // A read with a timeout is not restarted by the kernel.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result.unwrap(),
        };
        assert!(read > 0, "{line}: closed after {text:?}");
        reply.extend_from_slice(&chunk[..read]);
    }
}

/// Sorts the lines of replies whose order Redis does not define.
fn comparable(line: &str, reply: String) -> String {
    let unordered = ["SMEMBERS", "SUNION", "SINTER", "SDIFF", "KEYS", "SCAN", "SSCAN", "HGETALL"];
    if line.split(' ').next().is_some_and(|name| unordered.contains(&name)) {
        let mut lines: Vec<&str> = reply.split("\r\n").collect();
        lines.sort_unstable();
        return lines.join("\r\n");
    }
    reply
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn compare(first: &[&str]) {
    let real = Redis::start();
    let is_valkey = real.server.name.starts_with("Valkey");
    let chosen = scripts::ALL.iter().chain(scripts::ONLY_AS_REDIS.iter().filter(|_| !is_valkey));
    let config = EndpointsConfig { listen: vec![([127, 0, 0, 1], 0).into()], ..EndpointsConfig::default() };
    let ours = Endpoints::start(config).unwrap();
    let mut streams = [SocketAddr::from(([127, 0, 0, 1], real.port())), ours.addresses()[0]].map(connect);
    let mut differences = Vec::new();
    for script in chosen {
        for stream in &mut streams {
            ask(stream, "FLUSHALL");
            first.iter().for_each(|line| drop(ask(stream, line)));
        }
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [real, ours] = streams.each_mut().map(|stream| comparable(line, ask(stream, line)));
            if real != ours {
                differences.push(format!("{line}\n   redis {real:?}\n   ours  {ours:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn the_same_bytes_in_resp2() {
    compare(&["HELLO 2"]);
}

#[test]
fn the_same_bytes_in_resp3() {
    compare(&["HELLO 3"]);
}

/// One word behind each command; its echo is the end of the reply.
const MARKER: &str = "~end-of-reply~";
