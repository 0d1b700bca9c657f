//! Rehearsal endpoints with TLS, as clients see them: handshakes, faults and closes.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::authority::Authority;
use common::read_to_end;
use hitless::rehearsal::{Endpoints, EndpointsConfig, NodeId, ServerTls};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

/// Far longer than any of these replies takes: only a bug reaches this limit.
const WAIT_MAX: Duration = Duration::from_secs(20);

type Client = StreamOwned<ClientConnection, TcpStream>;

/// The TLS settings of a listener with this name.
fn server(authority: &Authority, name: &str) -> ServerTls {
    let (chain, key) = authority.sign(&[name]);
    ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("TLS")
}

/// The configuration of a client that trusts this authority and presents this certificate, if any.
fn trusting(authority: &Authority, shown: Option<(String, String)>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
        }
    })
}

fn start(tls: Vec<Option<ServerTls>>) -> Endpoints {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointsConfig { listen: vec![any; 2], tls, ..Default::default() };
    Endpoints::start(config).expect("endpoints start")
}

fn plain(endpoints: &Endpoints, node: usize) -> TcpStream {
    let stream = TcpStream::connect(endpoints.addresses()[node]).expect("endpoint accepts");
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client that starts its handshake with the first byte it writes.
fn client(config: &Arc<ClientConfig>, endpoints: &Endpoints, node: usize, name: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    StreamOwned::new(connection, plain(endpoints, node))
}

#[track_caller]
fn ask(stream: &mut impl ReadWrite, request: &[u8], expected: &[u8]) {
    stream.write_all(request).unwrap();
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn rehearse(endpoints: &Endpoints, node: usize, words: &str) -> String {
    let list: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let done = endpoints.with_server(move |server| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        server.rehearse(NodeId(node), now.as_micros() as u64, &list)
    });
    done.expect("endpoints").unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn sessions(endpoints: &Endpoints) -> usize {
    endpoints.with_server(|server| server.sessions().count()).expect("endpoints")
}

fn wait_for_an_answer(socket: &TcpStream) {
    // Signals of the runtime interrupt the call.
    while socket.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
}

/// `SET` of so many bytes.
fn set(bytes: usize) -> Vec<u8> {
    [format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat()
}

#[test]
fn each_listener_shows_its_own_certificate_over_one_keyspace() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "old.test")), Some(server(&authority, "new.test"))]);
    let config = trusting(&authority, None);
    ask(&mut client(&config, &endpoints, 0, "old.test"), b"SET a 1\r\n", b"+OK\r\n");
    ask(&mut client(&config, &endpoints, 1, "new.test"), b"GET a\r\n", b"$1\r\n1\r\n");
    let refusal =
        client(&config, &endpoints, 1, "old.test").write_all(b"PING\r\n").expect_err("another name");
    assert!(refusal.to_string().contains("not valid for name"), "{refusal}");
}

#[test]
fn plain_and_tls_listeners_coexist() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test")), None]);
    ask(&mut client(&trusting(&authority, None), &endpoints, 0, "a.test"), b"PING\r\n", b"+PONG\r\n");
    ask(&mut plain(&endpoints, 1), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn many_records_both_ways_arrive_whole() {
    const BYTES: usize = 5 << 20;
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let mut stream = client(&trusting(&authority, None), &endpoints, 0, "a.test");
    ask(&mut stream, &set(BYTES), b"+OK\r\n");
    let reply = [format!("${BYTES}\r\n").as_bytes(), &vec![b'x'; BYTES], b"\r\n"].concat();
    // More than the socket and TLS buffers hold, so the endpoint has to wait for the client halfway.
    stream.write_all(&b"GET k\r\n".repeat(4)).unwrap();
    let mut replies = vec![0; reply.len() * 4];
    stream.read_exact(&mut replies).unwrap();
    assert!(replies == reply.repeat(4), "they differ");
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let name = ServerName::try_from("a.test").expect("a name");
    let mut connection = ClientConnection::new(trusting(&authority, None), name).expect("a client");
    let mut socket = plain(&endpoints, 0);
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    for byte in hello {
        socket.write_all(&[byte]).unwrap();
    }
    ask(&mut StreamOwned::new(connection, socket), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn required_client_certificates_are_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    let tls = server(&authority, "a.test").require_client_certificate(authority.pem().as_bytes());
    let endpoints = start(vec![Some(tls.expect("a root"))]);
    let known = trusting(&authority, Some(authority.sign(&["client.test"])));
    ask(&mut client(&known, &endpoints, 0, "a.test"), b"PING\r\n", b"+PONG\r\n");
    for stranger in [trusting(&authority, None), trusting(&authority, Some(other.sign(&["client.test"])))] {
        let mut stream = client(&stranger, &endpoints, 0, "a.test");
        // In TLS 1.3 the client may write before it learns of the rejection.
        let result = stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut [0]));
        let alert = result.expect_err("rejected").to_string();
        assert!(alert.contains("alert"), "{alert}");
    }
    ask(&mut client(&known, &endpoints, 0, "a.test"), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn an_endpoint_can_be_limited_to_tls_12() {
    let authority = Authority::new();
    let old = server(&authority, "a.test").tls12_only().expect("TLS 1.2");
    let endpoints = start(vec![Some(old), Some(server(&authority, "a.test"))]);
    for (node, version) in [(0, ProtocolVersion::TLSv1_2), (1, ProtocolVersion::TLSv1_3)] {
        let mut stream = client(&trusting(&authority, None), &endpoints, node, "a.test");
        ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
        assert_eq!(stream.conn.protocol_version(), Some(version));
    }
}

#[test]
fn garbage_instead_of_tls_closes_only_its_connection() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let mut served = client(&trusting(&authority, None), &endpoints, 0, "a.test");
    ask(&mut served, b"SET a 1\r\n", b"+OK\r\n");
    let huge = [&[22, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    for garbage in
        [&b"PING\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0; 100], &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0], &huge]
    {
        let mut stream = plain(&endpoints, 0);
        // The endpoint may close before all is written.
        let _ = stream.write_all(garbage);
        let sent = read_to_end(&mut stream);
        assert!(sent.is_empty() || sent[0] == 21, "no more than an alert: {sent:?}");
    }
    // A client that closes during the handshake, and one that sends nothing.
    let mut half = plain(&endpoints, 0);
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut half);
    let _silent = plain(&endpoints, 0);
    ask(&mut served, b"GET a\r\n", b"$1\r\n1\r\n");
    ask(&mut client(&trusting(&authority, None), &endpoints, 0, "a.test"), b"GET a\r\n", b"$1\r\n1\r\n");
}

#[test]
fn garbage_after_the_handshake_closes_only_its_connection() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let mut stream = client(&trusting(&authority, None), &endpoints, 0, "a.test");
    ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
    stream.sock.write_all(b"PING\r\nPING\r\nPING\r\n").unwrap();
    read_to_end(&mut stream.sock);
    ask(&mut client(&trusting(&authority, None), &endpoints, 0, "a.test"), b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn two_hundred_tls_connections_are_served() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let config = trusting(&authority, None);
    let mut streams: Vec<Client> = (0..200).map(|_| client(&config, &endpoints, 0, "a.test")).collect();
    // Every client has sent its command before the first one reads.
    for stream in &mut streams {
        stream.write_all(b"INCR n\r\n").unwrap();
    }
    let mut counts: Vec<u32> = streams
        .iter_mut()
        .map(|stream| {
            let mut reply = Vec::new();
            while !reply.ends_with(b"\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                reply.extend(byte);
            }
            std::str::from_utf8(&reply[1..]).unwrap().trim_end().parse().unwrap()
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=200).collect::<Vec<_>>());
    assert_eq!(sessions(&endpoints), 200);
}

#[test]
fn clean_and_truncated_closes_differ() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let connect = || {
        let mut stream = client(&trusting(&authority, None), &endpoints, 0, "a.test");
        ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
        stream
    };
    let end = |stream: &mut Client| stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());

    let mut stream = connect();
    rehearse(&endpoints, 0, "CLOSE");
    assert_eq!(end(&mut stream), Ok(0), "close_notify, then a FIN");
    let mut stream = connect();
    rehearse(&endpoints, 0, "CLOSE rst");
    assert_eq!(end(&mut stream), Err(ErrorKind::ConnectionReset));
    let mut stream = connect();
    rehearse(&endpoints, 0, "CLOSE half");
    assert_eq!(end(&mut stream), Ok(0));
    stream.write_all(b"PING\r\n").expect("the other direction is open");

    let mut stream = connect();
    rehearse(&endpoints, 0, "FAULT truncate 3");
    stream.write_all(b"PING\r\n").unwrap();
    let mut reply = Vec::new();
    let cut = stream.read_to_end(&mut reply).map_err(|error| error.kind());
    assert_eq!((reply.as_slice(), cut), (&b"+PO"[..], Err(ErrorKind::UnexpectedEof)), "no close_notify");
}

#[test]
fn replies_and_close_notify_follow_the_clients_close_notify() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let mut stream = client(&trusting(&authority, None), &endpoints, 0, "a.test");
    stream.write_all(b"PING\r\nPING\r\n").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).expect("a close_notify");
    assert_eq!(replies, b"+PONG\r\n+PONG\r\n");
}

#[test]
fn a_stalled_node_delays_the_handshake() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    rehearse(&endpoints, 0, "FAULT stall");
    let mut stream = client(&trusting(&authority, None), &endpoints, 0, "a.test");
    stream.sock.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let waits = stream.write_all(b"PING\r\n").map_err(|error| error.kind());
    assert_eq!(waits, Err(ErrorKind::WouldBlock));
    rehearse(&endpoints, 0, "FAULT off");
    stream.sock.set_read_timeout(Some(WAIT_MAX)).unwrap();
    ask(&mut stream, b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn a_push_during_the_handshake_comes_after_it() {
    let authority = Authority::new();
    let endpoints = start(vec![Some(server(&authority, "a.test"))]);
    let name = ServerName::try_from("a.test").expect("a name");
    let mut connection = ClientConnection::new(trusting(&authority, None), name).expect("a client");
    let mut socket = plain(&endpoints, 0);
    connection.write_tls(&mut socket).unwrap();
    // The endpoint has answered, so the handshake is under way.
    wait_for_an_answer(&socket);
    rehearse(&endpoints, 0, "PUSH >1\\r\\n+hello\\r\\n");
    ask(&mut StreamOwned::new(connection, socket), b"PING\r\n", b">1\r\n+hello\r\n+PONG\r\n");

    // A connection that is closed before its handshake ends.
    let mut socket = plain(&endpoints, 0);
    let name = ServerName::try_from("a.test").expect("a name");
    ClientConnection::new(trusting(&authority, None), name)
        .expect("a client")
        .write_tls(&mut socket)
        .unwrap();
    wait_for_an_answer(&socket);
    rehearse(&endpoints, 0, "PUSH >1\\r\\n+hello\\r\\n");
    rehearse(&endpoints, 0, "CLOSE");
    read_to_end(&mut socket);
}
