//! The proxy: endpoints in front of a real redis-server.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use common::{Redis, read_to_end};
use hitless::rehearsal::{Endpoints, EndpointsConfig, UpstreamConfig, UpstreamTls};

/// Far longer than any of these replies takes: only a bug reaches this limit.
const WAIT_MAX: Duration = Duration::from_secs(20);
const PUSH: &[u8] = b">4\r\n$6\r\nMOVING\r\n:0\r\n:15\r\n_\r\n";

fn start(upstream: UpstreamConfig) -> Endpoints {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointsConfig { listen: vec![any; 2], upstream: Some(upstream), ..Default::default() };
    Endpoints::start(config).expect("endpoints start")
}

fn start_before(redis: &Redis) -> Endpoints {
    start(UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() })
}

fn connect(endpoints: &Endpoints, node: usize) -> TcpStream {
    let stream = TcpStream::connect(endpoints.addresses()[node]).expect("endpoint accepts");
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[track_caller]
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    if reply != expected {
        let shown = |bytes: &[u8]| bytes[..bytes.len().min(2_000)].escape_ascii().to_string();
        assert_eq!(shown(&reply), shown(expected));
        panic!("they differ after the first 2000 bytes");
    }
}

#[track_caller]
fn ask(stream: &mut TcpStream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    expect(stream, expected);
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn set(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&b"*3\r\n$3\r\nSET\r\n"[..], &bulk(key), &bulk(value)].concat()
}

#[test]
fn all_listeners_lead_to_one_upstream() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    ask(&mut connect(&endpoints, 0), b"SET k \"a quoted value\"\r\n", b"+OK\r\n");
    ask(&mut connect(&endpoints, 1), b"GET k\r\n", b"$14\r\na quoted value\r\n");
    let mut direct = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    ask(&mut direct, b"GET k\r\n", b"$14\r\na quoted value\r\n");
}

#[test]
fn upstream_may_speak_tls_or_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().expect("a path that is text").to_owned();
    let made = rcgen::generate_simple_self_signed(["redis.test".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let redis = Redis::start_with(
        &[
            &[
                "--unixsocket",
                &path("socket"),
                "--port",
                "0",
                "--tls-port",
                "{port}",
                "--tls-auth-clients",
                "no",
            ][..],
            &["--tls-cert-file", &path("cert.pem"), "--tls-key-file", &path("key.pem")],
            &["--tls-ca-cert-file", &path("cert.pem"), "--requirepass", "s3cret"],
        ]
        .concat(),
    );
    let password = Some("s3cret".to_owned());
    let unix = UpstreamConfig { path: Some(path("socket").into()), password, ..UpstreamConfig::default() };
    let trust = |name: &str| UpstreamTls::trusting(made.cert.pem().as_bytes(), name).unwrap();
    let tls =
        UpstreamConfig { path: None, port: redis.port(), tls: Some(trust("redis.test")), ..unix.clone() };
    for (upstream, count) in [(&unix, b":1\r\n"), (&tls, b":2\r\n")] {
        upstream.check(WAIT_MAX).unwrap();
        let endpoints = start(upstream.clone());
        let mut stream = connect(&endpoints, 0);
        ask(&mut stream, b"INCR n\r\n", count);
        let value = vec![b'x'; 300_000];
        ask(&mut stream, &set(b"k", &value), b"+OK\r\n");
        ask(&mut stream, b"GET k\r\n", &bulk(&value));
    }

    let wrong = UpstreamConfig { tls: Some(trust("other.test")), ..tls.clone() };
    let none = UpstreamConfig { tls: None, ..tls };
    for upstream in [wrong, none] {
        upstream.check(WAIT_MAX).expect_err("a wrong name or no TLS");
        // The client is disconnected, and the endpoints keep running.
        let endpoints = start(upstream);
        let mut stream = connect(&endpoints, 0);
        stream.write_all(b"PING\r\n").unwrap();
        read_to_end(&mut stream);
    }
}

#[test]
fn a_pipeline_may_be_cut_at_every_byte() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    let requests = [
        &set(b"k", b"\r\n$1\r\n\0\xff")[..],
        b"*0\r\n\r\nGET k\n*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n",
        b"MULTI\r\nINCR n\r\nLRANGE none 0 -1\r\nEXEC\r\nNOSUCH\r\nDEL n\r\n",
    ]
    .concat();
    let replies = b"+OK\r\n$8\r\n\r\n$1\r\n\0\xff\r\n$-1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n*0\r\n\
        -ERR unknown command 'NOSUCH', with args beginning with: \r\n:1\r\n";
    for cut in 0..requests.len() {
        stream.write_all(&requests[..cut]).unwrap();
        // Once a later request on another connection is answered, the first part has passed through.
        ask(&mut connect(&endpoints, 0), b"PING\r\n", b"+PONG\r\n");
        ask(&mut stream, &requests[cut..], replies);
    }
    for byte in &requests {
        stream.write_all(&[*byte]).unwrap();
    }
    expect(&mut stream, replies);
}

#[test]
fn values_of_any_size_and_any_bytes_pass() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    for size in [0, 1, 16 << 10, (64 << 10) - 1, 64 << 10, 1 << 20, 10 << 20] {
        let value: Vec<u8> = (0..size).map(|index: usize| (index * 31 % 256) as u8).collect();
        ask(&mut stream, &set(b"k", &value), b"+OK\r\n");
        let pipeline = b"GET k\r\n".repeat(3);
        ask(&mut stream, &pipeline, &bulk(&value).repeat(3));
    }
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    const REPLIES: usize = 300;
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    ask(&mut stream, &set(b"k", &[b'x'; 1 << 20]), b"+OK\r\n");
    stream.write_all(&b"GET k\r\n".repeat(REPLIES)).unwrap();
    // 300 MiB are more than all buffers on the way hold.
    ask(&mut connect(&endpoints, 0), b"PING\r\n", b"+PONG\r\n");
    let reply = bulk(&[b'x'; 1 << 20]);
    for _ in 0..REPLIES {
        expect(&mut stream, &reply);
    }
}

#[test]
fn pushes_arrive_only_between_replies() {
    const REPLIES: usize = 2_000;
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    let value = vec![b'v'; 50_000];
    ask(&mut stream, &set(b"k", &value), b"+OK\r\n");
    stream.write_all(&b"GET k\r\n".repeat(REPLIES)).unwrap();
    let (reply, mut pushes) = (bulk(&value), 0);
    for index in 0..REPLIES {
        if index % 20 == 0 {
            let push = |server: &mut hitless::rehearsal::Server| {
                let sessions: Vec<_> = server.sessions().collect();
                sessions.into_iter().for_each(|session| server.push(session, PUSH));
            };
            endpoints.with_server(push).unwrap();
        }
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        while first == *b">" {
            expect(&mut stream, &PUSH[1..]);
            pushes += 1;
            stream.read_exact(&mut first).unwrap();
        }
        assert_eq!(first, *b"$");
        expect(&mut stream, &reply[1..]);
    }
    stream.write_all(b"PING\r\n").unwrap();
    while pushes < REPLIES / 20 {
        expect(&mut stream, PUSH);
        pushes += 1;
    }
    expect(&mut stream, b"+PONG\r\n");
}

#[test]
fn rehearse_commands_are_answered_in_order() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    let ours = b"REHEARSE NOSUCH\r\n";
    stream.write_all(ours).unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
    }
    assert!(reply.starts_with(b"-ERR"), "{}", reply.escape_ascii());
    let requests = [b"ECHO a\r\n", &ours[..], b"ECHO b\r\nECHO c\r\n", ours, ours].concat();
    let replies = [b"$1\r\na\r\n", &reply[..], b"$1\r\nb\r\n$1\r\nc\r\n", &reply, &reply].concat();
    ask(&mut stream, &requests.repeat(100), &replies.repeat(100));
}

#[test]
fn login_errors_of_the_upstream_reach_the_client() {
    let redis = Redis::start_with(&["--requirepass", "secret"]);
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    ask(&mut stream, b"GET k\r\n", b"-NOAUTH Authentication required.\r\n");
    ask(&mut stream, b"AUTH secret\r\nGET k\r\n", b"+OK\r\n$-1\r\n");
}

#[test]
fn configured_credentials_and_database_come_first() {
    let redis = Redis::start_with(&["--requirepass", "secret"]);
    let upstream = UpstreamConfig {
        host: "localhost".into(),
        port: redis.port(),
        username: Some("default".into()),
        password: Some("secret".into()),
        database: 3,
        ..UpstreamConfig::default()
    };
    let endpoints = start(upstream.clone());
    let mut stream = connect(&endpoints, 0);
    ask(
        &mut stream,
        b"SET k v\r\nSELECT 0\r\nGET k\r\nSELECT 3\r\nGET k\r\n",
        b"+OK\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\nv\r\n",
    );
    let endpoints = start(UpstreamConfig { password: Some("wrong".into()), ..upstream });
    let mut stream = connect(&endpoints, 0);
    stream.write_all(b"GET k\r\n").unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
}

#[test]
fn subscribers_get_messages_and_may_send_rehearse_commands() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    ask(&mut stream, b"SUBSCRIBE news\r\n", b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    ask(&mut connect(&endpoints, 1), b"PUBLISH news hi\r\n", b":1\r\n");
    expect(&mut stream, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
    ask(&mut stream, b"REHEARSE NOSUCH\r\n", b"-ERR");
}

#[test]
fn replies_follow_the_clients_last_byte() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    stream.write_all(b"PING\r\nECHO hi\r\nGET").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"+PONG\r\n$2\r\nhi\r\n");
}

#[test]
fn protocol_errors_come_from_the_upstream() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    for wrong in [&b"*1\r\n$2147483648\r\n"[..], b"*9999999999\r\n", b"*1\r\nx\r\n", b"*1\r\n*1\r\n"] {
        let mut stream = connect(&endpoints, 0);
        stream.write_all(&[b"PING\r\n", wrong].concat()).unwrap();
        let said = read_to_end(&mut stream);
        assert!(said.starts_with(b"+PONG\r\n-ERR Protocol error"), "{}", said.escape_ascii());
    }
    ask(&mut connect(&endpoints, 0), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn an_upstream_may_die_and_return() {
    let mut redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut stream = connect(&endpoints, 0);
    ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
    redis.kill();
    assert_eq!(read_to_end(&mut stream), b"");
    assert_eq!(read_to_end(&mut connect(&endpoints, 0)), b"");
    redis.restart();
    ask(&mut connect(&endpoints, 0), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_closed_client_closes_its_upstream_connection() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    for request in
        [&b"PING\r\n"[..], b"*2\r\n$3\r\nGET\r\n$100\r\nabc", b"BLPOP none 0\r\n", b"SUBSCRIBE a\r\n"]
    {
        let mut stream = connect(&endpoints, 0);
        stream.write_all(&[b"PING\r\n", request].concat()).unwrap();
        expect(&mut stream, b"+PONG\r\n");
    }
    let mut direct = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    // Each connection ends when both event loops have run; the queries give them time to run.
    let mut text = vec![0; 1 << 16];
    let is_alone = (0..10_000).any(|_| {
        direct.write_all(b"INFO clients\r\n").unwrap();
        let read = direct.read(&mut text).unwrap();
        String::from_utf8_lossy(&text[..read]).contains("connected_clients:1\r\n")
    });
    assert!(is_alone);
}

#[test]
fn a_client_that_never_reads_delays_no_other() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut greedy = connect(&endpoints, 0);
    ask(&mut greedy, &set(b"k", &[b'x'; 1 << 20]), b"+OK\r\n");
    greedy.set_nonblocking(true).unwrap();
    // Writes until neither the endpoint nor the kernel takes more; another client gets a reply between the attempts.
    let mut other = connect(&endpoints, 0);
    let (requests, mut blocked) = (b"GET k\r\n".repeat(10_000), 0);
    while blocked < 50 {
        match greedy.write(&requests) {
            Ok(_) => blocked = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => blocked += 1,
            Err(error) => panic!("{error}"),
        }
        ask(&mut other, b"PING\r\n", b"+PONG\r\n");
    }
    other.write_all(b"INFO memory\r\n").unwrap();
    let mut text = String::new();
    while !text.contains("used_memory_peak_human") {
        let mut part = [0; 4_096];
        let read = other.read(&mut part).unwrap();
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    let peak = text.lines().find_map(|line| line.strip_prefix("used_memory_peak:")).unwrap();
    assert!(peak.parse::<u64>().unwrap() < 2 << 30, "upstream kept {peak} bytes");
}

#[test]
fn garbage_delays_no_other_client() {
    let redis = Redis::start();
    let endpoints = start_before(&redis);
    let mut other = connect(&endpoints, 0);
    let deep = b"*1\r\n".repeat(100_000);
    let noise: Vec<u8> =
        (0..100_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for hostile in [&deep[..], &noise, &b"*1048576\r\n$536870912\r\nab"[..], &[b'a'; 200_000]] {
        let mut stream = connect(&endpoints, 0);
        // The upstream may close before all is sent.
        let _ = stream.write_all(hostile);
        ask(&mut other, b"PING\r\n", b"+PONG\r\n");
    }
}
