//! The in-memory endpoint over real sockets; unit tests cover its sans-IO server.

mod common;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::time::Duration;

use common::read_to_end;
use hitless::rehearsal::{Endpoints, EndpointsConfig, ServerConfig};

/// Far longer than any of these replies takes: only a bug reaches this limit.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn start(listeners: usize) -> Endpoints {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointsConfig { listen: vec![any; listeners], ..EndpointsConfig::default() };
    Endpoints::start(config).expect("endpoints start")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("endpoint accepts");
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn listeners_share_one_keyspace() {
    let endpoints = start(2);
    let [first, second] = endpoints.addresses() else { panic!("two addresses") };
    ask(&mut connect(*first), b"SET k v\r\n", b"+OK\r\n");
    ask(&mut connect(*second), b"GET k\r\n", b"$1\r\nv\r\n");
    endpoints.stop().unwrap();
}

#[test]
fn listeners_share_channels_and_blocked_sessions() {
    let endpoints = start(2);
    let [first, second] = endpoints.addresses() else { panic!("two addresses") };
    let (mut here, mut elsewhere) = (connect(*first), connect(*second));
    ask(&mut elsewhere, b"SUBSCRIBE c\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    ask(&mut here, b"PUBLISH c m\r\n", b":1\r\n");
    ask(&mut elsewhere, b"", b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
    ask(&mut elsewhere, b"RESET\r\nBLPOP k 0\r\nPING\r\n", b"+RESET\r\n");
    ask(&mut here, b"RPUSH k v\r\n", b":1\r\n");
    ask(&mut elsewhere, b"", b"*2\r\n$1\r\nk\r\n$1\r\nv\r\n+PONG\r\n");
    ask(&mut elsewhere, b"BLPOP k 0.001\r\n", b"*-1\r\n");
}

#[test]
fn requests_may_arrive_byte_by_byte_or_many_at_once() {
    let endpoints = start(1);
    let mut stream = connect(endpoints.addresses()[0]);
    stream.set_nodelay(true).unwrap();
    for byte in b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    ask(&mut stream, b"", b"$5\r\nhello\r\n");
    ask(&mut stream, &b"PING\r\n".repeat(50_000), &b"+PONG\r\n".repeat(50_000));
}

#[test]
fn a_value_larger_than_one_read_is_intact() {
    let endpoints = start(1);
    let mut stream = connect(endpoints.addresses()[0]);
    let value: Vec<u8> = (0..8_000_000u32).map(|byte| (byte % 251) as u8).collect();
    let bulk = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let set = [&b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n"[..], &bulk].concat();
    ask(&mut stream, &set, b"+OK\r\n");
    ask(&mut stream, b"GET k\r\n", &bulk);
}

#[test]
fn a_client_that_does_not_read_is_throttled_without_loss() {
    const VALUE_BYTES: usize = 1 << 20;
    const REQUESTS: usize = 200;
    let endpoints = start(1);
    let mut stream = connect(endpoints.addresses()[0]);
    ask(&mut stream, format!("SETRANGE k {} x\r\n", VALUE_BYTES - 1).as_bytes(), b":1048576\r\n");
    // One small write asks for 200 MiB of replies. The endpoint buffers less, so the rest waits as unread requests.
    stream.write_all(&b"GET k\r\n".repeat(REQUESTS)).unwrap();
    // Other clients are served meanwhile.
    ask(&mut connect(endpoints.addresses()[0]), b"PING\r\n", b"+PONG\r\n");
    let mut reply = vec![0; VALUE_BYTES + 12];
    for _ in 0..REQUESTS {
        stream.read_exact(&mut reply).unwrap();
        assert!(reply.starts_with(b"$1048576\r\n\0") && reply.ends_with(b"x\r\n"));
    }
    ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_protocol_error_is_answered_and_closes_the_connection() {
    let endpoints = start(1);
    let wrong: [(&[u8], &[u8]); 3] = [
        (b"*1\r\n$2147483648\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*9999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\nx", b"-ERR Protocol error: expected '$', got 'x'\r\n"),
    ];
    for (request, reply) in wrong {
        let mut stream = connect(endpoints.addresses()[0]);
        stream.write_all(&[b"PING\r\n", request].concat()).unwrap();
        assert_eq!(read_to_end(&mut stream), [b"+PONG\r\n", reply].concat());
    }
}

#[test]
fn replies_follow_the_clients_last_byte() {
    let endpoints = start(1);
    let mut stream = connect(endpoints.addresses()[0]);
    stream.write_all(b"PING\r\nECHO hi\r\nGET").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"+PONG\r\n$2\r\nhi\r\n");
}

#[test]
fn clients_that_vanish_leave_no_session() {
    let endpoints = start(1);
    let address = endpoints.addresses()[0];
    for _ in 0..50 {
        connect(address).write_all(&b"*2\r\n$3\r\nGET\r\n$1000\r\nabc".repeat(3)).unwrap();
    }
    let mut stream = connect(address);
    // Each session ends when its task runs; the queries give it time to run.
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let alone = (0..10_000).any(|_| {
        stream.write_all(b"INFO clients\r\n").unwrap();
        let mut clients = replies.by_ref().map(Result::unwrap);
        let connected = clients.find(|line| line.starts_with("connected_clients:")).unwrap();
        connected == "connected_clients:1"
    });
    assert!(alone);
}

#[test]
fn a_killed_client_sees_the_end() {
    let endpoints = start(1);
    let mut victim = connect(endpoints.addresses()[0]);
    ask(&mut victim, b"CLIENT ID\r\n", b":1\r\n");
    ask(&mut connect(endpoints.addresses()[0]), b"CLIENT KILL ID 1\r\n", b":1\r\n");
    assert_eq!(read_to_end(&mut victim), b"");
}

#[test]
fn another_thread_can_push_to_and_close_an_idle_client() {
    const PUSH: &[u8] = b">1\r\n+moving\r\n";
    fn is_shared_between_threads<T: Send + Sync>(_: &T) {}
    let endpoints = start(1);
    let mut idle = connect(endpoints.addresses()[0]);
    ask(&mut idle, b"PING\r\n", b"+PONG\r\n");
    let sessions = endpoints.with_server(|server| {
        let sessions: Vec<_> = server.sessions().collect();
        sessions.iter().for_each(|id| server.push(*id, PUSH));
        sessions
    });
    is_shared_between_threads(&endpoints);
    let [session] = sessions.unwrap()[..] else { panic!("one session") };
    ask(&mut idle, b"", PUSH);
    endpoints.with_server(move |server| server.close(session)).unwrap();
    assert_eq!(read_to_end(&mut idle), b"");
}

#[test]
fn a_call_after_the_endpoints_ended_fails_at_once() {
    let endpoints = start(1);
    let ended = endpoints.with_server::<()>(|_| panic!("on purpose")).unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::BrokenPipe);
    assert_eq!(endpoints.with_server(|_| ()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(endpoints.stop().is_err());
}

#[test]
fn the_server_behaves_as_configured() {
    let server = ServerConfig {
        password: Some("secret".into()),
        databases: NonZeroUsize::MIN,
        ..ServerConfig::default()
    };
    let listen = vec![([127, 0, 0, 1], 0).into()];
    let endpoints = Endpoints::start(EndpointsConfig { listen, server, ..Default::default() }).unwrap();
    let mut stream = connect(endpoints.addresses()[0]);
    ask(&mut stream, b"PING\r\n", b"-NOAUTH Authentication required.\r\n");
    ask(&mut stream, b"AUTH secret\r\nSELECT 1\r\n", b"+OK\r\n-ERR DB index is out of range\r\n");
}

#[test]
fn stopping_closes_connections_and_frees_the_port() {
    let endpoints = start(1);
    let address = endpoints.addresses()[0];
    let mut idle = connect(address);
    ask(&mut idle, b"PING\r\n", b"+PONG\r\n");
    endpoints.stop().unwrap();
    assert_eq!(read_to_end(&mut idle), b"");
    assert!(TcpStream::connect(address).is_err());
    let config = EndpointsConfig { listen: vec![address], ..EndpointsConfig::default() };
    drop(Endpoints::start(config).expect("the port is free again"));
}

#[test]
fn a_taken_port_is_named_in_the_error() {
    let endpoints = start(1);
    let address = endpoints.addresses()[0];
    let config = EndpointsConfig { listen: vec![address], ..EndpointsConfig::default() };
    let error = Endpoints::start(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_core_that_does_not_exist_is_an_error() {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointsConfig { listen: vec![any], core: Some(9_999), ..EndpointsConfig::default() };
    assert!(Endpoints::start(config).is_err());
}
