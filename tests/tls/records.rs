//! TLS records as a hostile peer may send them: cut anywhere, with new keys at any time, and with every kind of end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::block_on;
use hitless::net::Tls;
use hitless::{Client, Config, ErrorKind as Kind};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::common::authority::Authority;
use crate::common::drivers::start;
use crate::common::{Redis, WAIT_MAX};

/// How long the proxy reads from one side before it turns to the other.
const TURN: Duration = Duration::from_millis(1);

/// How the proxy ends a connection after the server's first [`REPLY_BYTES_BEFORE_END`].
#[derive(Clone, Copy)]
enum End {
    Never,
    /// With a TLS close_notify.
    CloseNotify,
    /// Without a close_notify.
    Cut,
    /// With a record that does not decrypt.
    Garbage,
}

/// A TLS proxy in front of a plain server, for one connection after the other, that cuts records and changes keys.
struct TlsProxy {
    address: SocketAddr,
    authority: Authority,
}

impl TlsProxy {
    fn open(redis: &Redis, ends: Vec<End>) -> TlsProxy {
        let authority = Authority::new();
        let (chain, key) = authority.sign(&["127.0.0.1"]);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM")],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("a certificate and its key");
        let (config, port) = (Arc::new(config), redis.port());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for end in ends {
                let (client, _) = listener.accept().expect("a client");
                let server = TcpStream::connect(("127.0.0.1", port)).expect("redis-server");
                pass(client, server, ServerConnection::new(config.clone()).expect("TLS"), end);
            }
        });
        TlsProxy { address, authority }
    }

    fn client(&self) -> Client {
        let config = Config::new(self.address.into()).tls(Tls::new().ca_pem(self.authority.pem()));
        let client = start(config.shards(1).connections_per_shard(1)).expect("it starts");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        client
    }
}

/// The bytes received within a turn; `None` at the end.
fn receive(socket: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match socket.read(buffer) {
        Ok(0) => None,
        Ok(count) => Some(count),
        // A read with a timeout is not restarted by the kernel.
        Err(error) if NOTHING_YET.contains(&error.kind()) => Some(0),
        Err(_) => None,
    }
}

const NOTHING_YET: [ErrorKind; 3] = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Interrupted];

fn pass(mut client: TcpStream, mut server: TcpStream, mut tls: ServerConnection, end: End) {
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(TURN)).expect("a timeout");
        socket.set_nodelay(true).expect("an option");
    }
    tls.set_buffer_limit(None);
    let (mut buffer, mut answered, mut turn) = (vec![0; 3 << 10], 0, 0_usize);
    while let Some(count) = receive(&mut client, &mut buffer) {
        turn += 1;
        let mut received = &buffer[..count];
        while !received.is_empty() {
            tls.read_tls(&mut received).expect("room");
            let taken = tls.process_new_packets().expect("TLS").plaintext_bytes_to_read();
            let mut plain = vec![0; taken];
            tls.reader().read_exact(&mut plain).expect("it is there");
            server.write_all(&plain).expect("redis-server");
        }
        if !tls.is_handshaking() {
            let Some(count) = receive(&mut server, &mut buffer) else { return };
            answered += count;
            // Records of one byte, of seven, and of up to 16 KiB.
            for piece in buffer[..count].chunks([1, 7, 16 << 10][turn % 3]) {
                tls.writer().write_all(piece).expect("no limit");
            }
            if turn.is_multiple_of(4) {
                tls.refresh_traffic_keys().expect("TLS 1.3");
            }
        }
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records).expect("memory");
        }
        // Cuts the records, in few enough pieces to keep the test short.
        for piece in records.chunks([records.len().max(1), 1 + records.len() / 5, 5 << 10][turn % 3]) {
            if client.write_all(piece).is_err() {
                return;
            }
        }
        if answered > REPLY_BYTES_BEFORE_END {
            match end {
                End::Never => continue,
                End::CloseNotify => tls.send_close_notify(),
                End::Cut => return,
                End::Garbage => client.write_all(&[23, 3, 3, 0, 32].repeat(8)).expect("it is there"),
            }
            while tls.wants_write() {
                tls.write_tls(&mut client).expect("it is there");
            }
            // Closing with unread input would reset the connection and lose bytes on the way.
            client.set_read_timeout(None).expect("a timeout");
            crate::common::read_to_end(&mut client);
            return;
        }
    }
}

/// More than the replies to the client's own handshake commands.
const REPLY_BYTES_BEFORE_END: usize = 64 << 10;

#[test]
fn cut_records_and_key_changes_are_handled() {
    let redis = Redis::start();
    let client = TlsProxy::open(&redis, vec![End::Never]).client();
    let value: Bytes = (0..50_000_u32).map(|byte| (byte % 251) as u8).collect::<Vec<_>>().into();
    block_on(client.set("large", &value)).expect("it is set");
    for round in 0..5_i64 {
        let counted: Vec<_> = (0..100).map(|_| client.incr("counter")).collect();
        let large = client.get::<Bytes>("large");
        for (index, reply) in counted.into_iter().enumerate() {
            assert_eq!(block_on(reply).expect("a reply"), round * 100 + index as i64 + 1);
        }
        assert!(block_on(large).expect("a reply") == value);
    }
    assert_eq!(block_on(client.stats()).expect("it runs")[0].connected, 1);
}

#[test]
fn every_end_is_detected_and_the_client_reconnects() {
    for (end, says) in [
        (End::CloseNotify, "the server closed the connection"),
        (End::Cut, "the server closed the connection"),
        (End::Garbage, "decrypt"),
    ] {
        let redis = Redis::start();
        let client = TlsProxy::open(&redis, vec![end, End::Never]).client();
        let value: Bytes = vec![b'x'; 10_000].into();
        block_on(client.set("key", &value)).expect("it is set");
        let error = loop {
            match block_on(client.get::<Bytes>("key")) {
                Ok(found) => assert!(found == value),
                Err(error) => break error,
            }
        };
        // The client sees the end itself, not a timeout.
        assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        block_on(client.ready(WAIT_MAX)).expect("it connects again");
        block_on(client.ping()).expect("it serves");
    }
}
