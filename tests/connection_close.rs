//! How endpoints close, refuse, stall and delay connections, as a client's socket sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hitless::rehearsal::{Endpoints, EndpointsConfig};

/// Far longer than any of these replies takes: only a bug reaches this limit.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn start() -> Endpoints {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointsConfig { listen: vec![any; 2], ..EndpointsConfig::default() };
    Endpoints::start(config).expect("endpoints start")
}

fn connect(endpoints: &Endpoints, node: usize) -> TcpStream {
    let stream = TcpStream::connect(endpoints.addresses()[node]).expect("endpoint accepts");
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream
}

/// A connection that has been served, not only accepted.
fn served(endpoints: &Endpoints, node: usize) -> TcpStream {
    let mut stream = connect(endpoints, node);
    ask(&mut stream, "PING", "+PONG\r\n");
    stream
}

#[track_caller]
fn ask(stream: &mut TcpStream, line: &str, expected: &str) {
    stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply.escape_ascii().to_string(), expected.escape_default().to_string());
}

/// Sends a REHEARSE command for node 0 through node 1.
#[track_caller]
fn rehearse(endpoints: &Endpoints, words: &str) {
    ask(&mut connect(endpoints, 1), &format!("REHEARSE NODE 0 {words}"), "+OK\r\n");
}

/// The bytes up to the end, and whether the end was a reset.
fn read_to_end(stream: &mut TcpStream) -> (String, bool) {
    let mut all = Vec::new();
    let is_reset = match stream.read_to_end(&mut all) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("not closed: {error}"),
    };
    (String::from_utf8(all).unwrap(), is_reset)
}

#[test]
fn a_close_is_a_fin_even_with_unread_input() {
    let endpoints = start();
    let mut idle = served(&endpoints, 0);
    let mut busy = served(&endpoints, 0);
    rehearse(&endpoints, "FAULT stall");
    busy.write_all(b"PING\r\nPING\r\n").unwrap();
    rehearse(&endpoints, "CLOSE fin");
    assert_eq!(read_to_end(&mut idle), (String::new(), false));
    assert_eq!(read_to_end(&mut busy), (String::new(), false));
    // CLOSE closes connections; the node still listens.
    rehearse(&endpoints, "FAULT off");
    served(&endpoints, 0);
}

#[test]
fn close_rst_resets_the_connection() {
    let endpoints = start();
    let mut stream = served(&endpoints, 0);
    rehearse(&endpoints, "CLOSE rst");
    assert_eq!(read_to_end(&mut stream), (String::new(), true));
}

#[test]
fn half_closed_connections_are_read_until_the_client_closes() {
    let endpoints = start();
    let mut stream = served(&endpoints, 0);
    rehearse(&endpoints, "CLOSE half");
    assert_eq!(read_to_end(&mut stream), (String::new(), false));
    // More than the socket buffers hold: the write succeeds only when the endpoint reads.
    stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
    stream.write_all(&vec![b'x'; 64 << 20]).unwrap();
    let address = stream.local_addr().unwrap();
    let mut other = connect(&endpoints, 1);
    let mut is_listed = |text: &mut Vec<u8>| {
        other.write_all(b"CLIENT LIST\r\nPING\r\n").unwrap();
        text.clear();
        let mut part = [0; 4_096];
        while !text.ends_with(b"+PONG\r\n") {
            let read = other.read(&mut part).unwrap();
            text.extend_from_slice(&part[..read]);
        }
        String::from_utf8_lossy(text).contains(&format!("addr={address} "))
    };
    let mut text = Vec::new();
    assert!(is_listed(&mut text));
    drop(stream);
    assert!((0..10_000).any(|_| !is_listed(&mut text)));
}

#[test]
fn a_node_refuses_connections_until_it_listens_again() {
    let endpoints = start();
    for (off, on) in [("LISTEN off", "LISTEN on"), ("FAULT refuse", "FAULT off")] {
        for _ in 0..20 {
            let mut stays = served(&endpoints, 0);
            rehearse(&endpoints, off);
            let refused = TcpStream::connect(endpoints.addresses()[0]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            ask(&mut stays, "PING", "+PONG\r\n");
            rehearse(&endpoints, on);
            served(&endpoints, 0);
        }
    }
    rehearse(&endpoints, "LISTEN off");
    let address = endpoints.addresses()[0];
    endpoints.stop().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_stalled_endpoint_accepts_and_answers_later() {
    let endpoints = start();
    let mut before = served(&endpoints, 0);
    rehearse(&endpoints, "FAULT stall");
    let mut after = connect(&endpoints, 0);
    before.write_all(b"PING\r\n").unwrap();
    after.write_all(b"PING\r\n").unwrap();
    // A later client of the other node has been served, so time has passed.
    served(&endpoints, 1);
    for stream in [&mut before, &mut after] {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
        stream.set_nonblocking(false).unwrap();
    }
    rehearse(&endpoints, "FAULT off");
    ask(&mut before, "ECHO a", "+PONG\r\n$1\r\na\r\n");
    ask(&mut after, "ECHO a", "+PONG\r\n$1\r\na\r\n");
}

#[test]
fn a_dropping_endpoint_accepts_and_closes() {
    let endpoints = start();
    rehearse(&endpoints, "FAULT drop");
    assert_eq!(read_to_end(&mut connect(&endpoints, 0)), (String::new(), false));
    rehearse(&endpoints, "FAULT off");
    served(&endpoints, 0);
}

#[test]
fn output_ends_at_the_configured_byte() {
    let endpoints = start();
    rehearse(&endpoints, "FAULT close-at-byte 4");
    let mut stream = connect(&endpoints, 0);
    stream.write_all(b"PING\r\nPING\r\n").unwrap();
    assert_eq!(read_to_end(&mut stream), ("+PON".to_owned(), false));
    rehearse(&endpoints, "FAULT off");
    rehearse(&endpoints, "FAULT reset 4");
    let mut stream = connect(&endpoints, 0);
    stream.write_all(b"PING\r\nPING\r\n").unwrap();
    let (said, is_reset) = read_to_end(&mut stream);
    // A reset may overtake the bytes before it.
    assert!("+PON".starts_with(&said) && is_reset, "{said:?}");
}

#[test]
fn split_output_arrives_complete() {
    let endpoints = start();
    rehearse(&endpoints, "FAULT split");
    let mut stream = connect(&endpoints, 0);
    ask(&mut stream, &"ECHO abcdefgh\r\n".repeat(100), &"$8\r\nabcdefgh\r\n".repeat(100));
}

#[test]
fn delayed_output_keeps_its_order_after_a_half_close() {
    const DELAY: Duration = Duration::from_millis(30);
    let endpoints = start();
    rehearse(&endpoints, "FAULT delay 30");
    let mut stream = connect(&endpoints, 0);
    let asked = Instant::now();
    stream.write_all(b"PING\r\nECHO a\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), ("+PONG\r\n$1\r\na\r\n".to_owned(), false));
    assert!(asked.elapsed() >= DELAY, "{:?}", asked.elapsed());
}

#[test]
fn service_time_adds_up_across_connections() {
    let endpoints = start();
    let mut streams = [connect(&endpoints, 0), connect(&endpoints, 0)];
    rehearse(&endpoints, "FAULT service 500us");
    let asked = Instant::now();
    for stream in &mut streams {
        stream.write_all(b"PING\r\n".repeat(20).as_slice()).unwrap();
    }
    for stream in &mut streams {
        ask(stream, "", &"+PONG\r\n".repeat(20));
    }
    assert!(asked.elapsed() >= Duration::from_millis(20), "{:?}", asked.elapsed());
}

#[test]
fn a_moving_node_notifies_subscribers_and_closes_connections() {
    let endpoints = start();
    let mut subscribed = connect(&endpoints, 0);
    subscribed.write_all(b"HELLO 3\r\nCLIENT MAINT_NOTIFICATIONS ON\r\nPING\r\n").unwrap();
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"+OK\r\n+PONG\r\n") {
        let mut byte = [0];
        subscribed.read_exact(&mut byte).unwrap();
        greeting.push(byte[0]);
    }
    let mut other = served(&endpoints, 0);
    let mut elsewhere = served(&endpoints, 1);
    // A distant timer must not hide a nearer one.
    rehearse(&endpoints, "AFTER 1000000 CLOSE");
    rehearse(&endpoints, "CLOSING fin delay 20 refuse");
    let target = endpoints.addresses()[1];
    let answer = "+OK: 1 of 2 connections were told\r\n";
    ask(&mut connect(&endpoints, 1), &format!("REHEARSE NODE 0 MOVING 0 {target}"), answer);
    let target = target.to_string();
    let moving = format!(">4\r\n$6\r\nMOVING\r\n:0\r\n:0\r\n${}\r\n{target}\r\n", target.len());
    assert_eq!(read_to_end(&mut subscribed), (moving, false));
    assert_eq!(read_to_end(&mut other), (String::new(), false));
    let refused = TcpStream::connect(endpoints.addresses()[0]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    ask(&mut elsewhere, "PING", "+PONG\r\n");
}
