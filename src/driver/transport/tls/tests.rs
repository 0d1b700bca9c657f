//! The session between a socket and the driver, record by record: it sends what it has to send by itself, and its turns end.

use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rustls::crypto::cipher::{AeadKey, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::*;
use crate::config::Sockets;
use crate::driver::testing::Wakes;
use crate::shard::reactor::{self, Reactor};

/// Both ends of a session. The test is the server.
struct Rig {
    client: TlsStream<reactor::Socket>,
    reactor: Rc<Reactor>,
    server: ServerConnection,
    far: UnixStream,
    wakes: Arc<Wakes>,
}

impl Rig {
    fn new(version: &'static SupportedProtocolVersion) -> Rig {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        let provider = Arc::new(provider);
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.cert.der().clone()],
                PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into()),
            )
            .unwrap();
        server.enable_secret_extraction = true;
        let (near, far) = UnixStream::pair().unwrap();
        for end in [&near, &far] {
            end.set_nonblocking(true).unwrap();
        }
        let reactor = Reactor::new(Sockets::Auto);
        let socket = reactor::Socket::register(&reactor, near.into()).unwrap();
        let session =
            ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap();
        let received = vec![0; RECEIVE_BUFFER].into_boxed_slice();
        let client = TlsStream { socket, session, received, start: 0, end: 0, broken: None };
        let server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut rig = Rig { client, reactor, server, far, wakes: Arc::default() };
        rig.shake_hands();
        rig
    }

    fn shake_hands(&mut self) {
        for _ in 0..HANDSHAKE_TURNS {
            self.reactor.poll_now();
            let waker = self.wakes.waker();
            if let Poll::Ready(shaken) = self.client.poll_handshake(&mut Context::from_waker(&waker)) {
                shaken.unwrap();
            }
            self.serve();
        }
        assert!(!self.client.session.is_handshaking() && !self.server.is_handshaking());
        // Session tickets, and what else follows the handshake.
        assert!(self.read(&mut [0; 16]).is_pending());
        self.serve();
        self.wakes.take();
    }

    /// The server takes what has come, and sends what it has to send.
    fn serve(&mut self) {
        let records = self.received();
        let mut rest = &records[..];
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets().unwrap();
        }
        let mut records = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut records).unwrap();
        }
        self.far.write_all(&records).unwrap();
    }

    /// Everything that the client has sent.
    fn received(&mut self) -> Vec<u8> {
        let (mut received, mut buffer) = (Vec::new(), [0; 4 << 10]);
        while let Ok(count @ 1..) = self.far.read(&mut buffer) {
            received.extend_from_slice(&buffer[..count]);
        }
        received
    }

    fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reactor.poll_now();
        let waker = self.wakes.waker();
        self.client.poll_read(&mut Context::from_waker(&waker), buffer)
    }
}

/// A server that asks for a renegotiation waits for the refusal, and a client without commands writes nothing else.
#[test]
fn refusal_of_a_renegotiation_is_sent_by_the_same_read() {
    let mut rig = Rig::new(&rustls::version::TLS12);
    assert!(rig.received().is_empty());
    let Rig { mut client, reactor, server, mut far, .. } = rig;
    let secrets = server.dangerous_extract_secrets().unwrap();
    let (sequence, ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets.tx else {
        panic!("the only cipher that is offered")
    };
    let SupportedCipherSuite::Tls12(suite) = cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    else {
        panic!("a suite of TLS 1.2")
    };
    let key = <[u8; 32]>::try_from(key.as_ref()).unwrap();
    let mut encrypter = suite.aead_alg.encrypter(AeadKey::from(key), iv.as_ref(), &[]);
    let hello_request = OutboundPlainMessage {
        typ: ContentType::Handshake,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&[0; 4]),
    };
    far.write_all(&encrypter.encrypt(hello_request, sequence).unwrap().encode()).unwrap();
    reactor.poll_now();
    assert!(client.poll_read(&mut Context::from_waker(Waker::noop()), &mut [0; 16]).is_pending());
    let mut alert = [0; 64];
    assert!(far.read(&mut alert).is_ok_and(|count| count > 0), "nothing was sent");
    assert_eq!(ContentType::from(alert[0]), ContentType::Alert);
}

/// Records without data must not keep the thread, and what follows them must be read.
#[test]
fn many_empty_records_let_other_tasks_run() {
    let mut rig = Rig::new(&rustls::version::TLS13);
    rig.client.received = vec![0; 16].into_boxed_slice();
    rig.server.writer().write_all(&[b'v'; 1000]).unwrap();
    rig.serve();
    let (mut turns, mut buffer) = (0, [0; 2000]);
    let read = loop {
        let read = rig.read(&mut buffer);
        turns += 1;
        // Epoll tells of all of it once: a reactor that does not know of the rest would wait forever.
        rig.reactor.poll_now();
        match rig.wakes.take() {
            0 => break read,
            _ if read.is_ready() => break read,
            _ => {}
        }
    };
    assert!(matches!(read, Poll::Ready(Ok(1000))), "{read:?} after {turns} turns");
    assert_eq!(turns, 1022_usize.div_ceil(16) / EMPTY_READS_MAX + 1, "a record of 1022 bytes");
}

/// A full buffer of the driver leaves the rest for the next read.
#[test]
fn read_that_fills_the_buffer_leaves_the_rest_for_the_next() {
    let mut rig = Rig::new(&rustls::version::TLS13);
    for piece in [[b'a'; 100], [b'b'; 100]] {
        rig.server.writer().write_all(&piece).unwrap();
    }
    rig.serve();
    let (mut taken, mut buffer) = (Vec::new(), [0; 64]);
    while let Poll::Ready(read) = rig.read(&mut buffer) {
        taken.extend_from_slice(&buffer[..read.unwrap()]);
    }
    assert_eq!(taken, [[b'a'; 100], [b'b'; 100]].concat());
}

/// A server that breaks the session gets an alert, and what it sent before is read.
#[test]
fn rest_before_a_broken_record_is_read_and_answered_by_an_alert() {
    let mut rig = Rig::new(&rustls::version::TLS13);
    rig.server.writer().write_all(b"last words").unwrap();
    rig.serve();
    rig.received();
    // A record of application data that no key fits.
    rig.far.write_all(&[23, 3, 3, 0, 20]).unwrap();
    rig.far.write_all(&[7; 20]).unwrap();
    let mut buffer = [0; 64];
    assert!(matches!(rig.read(&mut buffer), Poll::Ready(Ok(10))));
    assert_eq!(&buffer[..10], b"last words");
    assert!(matches!(rig.read(&mut buffer), Poll::Ready(Err(_))));
    assert!(!rig.received().is_empty(), "no alert was sent");
}

#[test]
fn end_of_a_session_sends_a_close_notify() {
    let Rig { client, mut far, mut server, .. } = Rig::new(&rustls::version::TLS13);
    client.end();
    let mut farewell = [0; 64];
    let count = far.read(&mut farewell).unwrap();
    server.read_tls(&mut &farewell[..count]).unwrap();
    assert!(server.process_new_packets().unwrap().peer_has_closed());
}

const HANDSHAKE_TURNS: usize = 4;
