//! The handshake with old and new servers, and what their answers do to a connection.

use std::net::SocketAddr;

use super::*;
use crate::proto::connection::{Notifications, Protocol};
use crate::proto::maint::mode::{EndpointType, Mode};

pub(super) const UNKNOWN: &str = "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.";
pub(super) const NOPERM: &str =
    "NOPERM this user has no permissions to run the 'client|maint_notifications' command";
pub(super) const A: &str = "10.0.0.1:6379";
pub(super) const B: &str = "10.0.0.2:6379";

pub(super) fn full() -> HandshakeConfig {
    HandshakeConfig {
        password: Some(Secret("s3cret".into())),
        client_name: Some("app".into()),
        database: 2,
        ..HandshakeConfig::default()
    }
}

pub(super) fn in_mode(mode: Mode) -> HandshakeConfig {
    HandshakeConfig { mode, ..HandshakeConfig::default() }
}

pub(super) fn error(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

pub(super) fn asks(commands: &[String]) -> usize {
    commands.iter().filter(|command| command.starts_with("CLIENT MAINT_NOTIFICATIONS")).count()
}

pub(super) fn refusals(story: &mut Story) -> Vec<(SocketAddr, bool, String)> {
    let told = |event| match event {
        Event::NotOffered { peer, denied, reason } => Some((peer, denied, reason)),
        _ => None,
    };
    story.events().into_iter().filter_map(told).collect()
}

/// Whether a command gets its own reply.
pub(super) fn assert_works(story: &mut Story, id: ConnectionId, server: &Server) {
    let before = story.delivered.replies.len();
    story.submit_to(id.entry, HandleId(0), "ECHO", 1);
    assert_eq!(story.serve(id, server), ["ECHO"]);
    assert_eq!(story.delivered.replies[before..], [(story.next_ticket, Frame::Simple("ECHO".into()))]);
}

#[test]
fn hs_order() {
    let mut story = Story::new(config_with(full()));
    let id = story.dialed();
    story.submit("early");
    assert_eq!(story.wire(id, usize::MAX), b"", "nothing is written before the connection");
    story.connect(id, A);
    assert_eq!(
        String::from_utf8_lossy(&story.wire(id, usize::MAX)),
        "*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\ns3cret\r\n\
         $7\r\nSETNAME\r\n$3\r\napp\r\n"
    );
    let (last, all_but) = HELLO_OK.split_last().unwrap();
    story.receive(id, all_but);
    assert_eq!(story.wire(id, usize::MAX), b"", "HELLO is not answered yet");
    story.receive(id, [*last]);
    let version = env!("CARGO_PKG_VERSION");
    let second = format!(
        "*4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$8\r\nLIB-NAME\r\n$7\r\nhitless\r\n\
         *4\r\n$6\r\nCLIENT\r\n$7\r\nSETINFO\r\n$7\r\nLIB-VER\r\n${}\r\n{version}\r\n\
         *5\r\n$6\r\nCLIENT\r\n$19\r\nMAINT_NOTIFICATIONS\r\n$2\r\nON\r\n\
         $20\r\nmoving-endpoint-type\r\n$11\r\ninternal-ip\r\n\
         *2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n",
        version.len()
    );
    // The rest is one write.
    assert_eq!(String::from_utf8_lossy(story.pool.connection(id).poll_transmit(story.now).unwrap()), second);
    story.pool.connection(id).handle_written(second.len());
    for _ in 0..3 {
        story.receive(id, b"+OK\r\n");
        assert_eq!(story.wire(id, usize::MAX), b"", "no command before the last reply");
    }
    story.receive(id, b"+OK\r\n");
    assert_eq!(story.written(id), "early");

    // Without a password and a name, HELLO carries none.
    let mut bare = Story::new(config());
    let id = bare.dialed();
    bare.connect(id, A);
    assert_eq!(bare.wire(id, usize::MAX), b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
}

#[test]
fn hs_bare_on_in_cluster() {
    let greeting =
        HandshakeConfig { endpoint_type: EndpointType::ServerDefault, ..HandshakeConfig::default() };
    let mut story = Story::new(config_with(greeting));
    let id = story.dialed();
    story.connect(id, A);
    story.wire(id, usize::MAX);
    story.receive(id, HELLO_OK);
    let second = String::from_utf8(story.wire(id, usize::MAX)).unwrap();
    assert!(second.ends_with("*3\r\n$6\r\nCLIENT\r\n$19\r\nMAINT_NOTIFICATIONS\r\n$2\r\nON\r\n"), "{second}");
    story.receive(id, SETTINGS_OK);
    assert_eq!(story.pool.connection(id).negotiated().unwrap().notifications, Notifications::On);
}

#[test]
fn hs_disabled_sends_nothing() {
    let mut story = Story::new(config_with(in_mode(Mode::Disabled)));
    let id = story.dialed();
    let said = story.accept(id, A, &Server::new());
    assert_eq!(asks(&said), 0, "{said:?}");
    story.events();
    assert!(story.receive(id, moving(1, 15, Some(B))));
    story.run(SECOND * 15);
    assert!(story.dial().is_none() && story.announcement().is_none());
    assert!(story.events().is_empty());
    let stats = story.pool.maintenance();
    assert_eq!((stats.ignored, stats.notifications, stats.windows_open), (1, 0, 0));
    assert_eq!(story.delivered.pushes, 0, "the application does not get it");
    assert_works(&mut story, id, &Server::new());
}

#[test]
fn hs_auto_hello_unknown_resp2() {
    for (hello, login) in [
        ("-ERR unknown command 'HELLO', with args beginning with: '3'\r\n", true),
        ("-NOPROTO unsupported protocol version\r\n", true),
        // It took the credentials, and answered in RESP2.
        ("*2\r\n$5\r\nproto\r\n:2\r\n", false),
    ] {
        let server = Server { hello: hello.into(), ..Server::new() };
        let mut story = Story::new(config_with(full()));
        let id = story.dialed();
        let said = story.accept(id, A, &server);
        let logins = ["AUTH s3cret", "CLIENT SETNAME app"].map(|word| said.iter().any(|said| said == word));
        assert_eq!((logins, asks(&said)), ([login; 2], 0), "{said:?}");
        let agreed = story.pool.connection(id).negotiated().unwrap();
        assert_eq!((agreed.protocol, &agreed.notifications), (Protocol::Resp2, &Notifications::Off));
        assert_works(&mut story, id, &server);
    }
}

#[test]
fn hs_enabled_hello_unknown_fails() {
    for hello in ["-ERR unknown command 'HELLO'\r\n", "-NOPROTO no\r\n", "*2\r\n$5\r\nproto\r\n:2\r\n"] {
        let server = Server { hello: hello.into(), ..Server::new() };
        let mut story = Story::new(config_with(HandshakeConfig { mode: Mode::Enabled, ..full() }));
        story.submit("a");
        let id = story.dialed();
        let said = story.accept(id, A, &server);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(matches!(*story.closed().unwrap(), CloseReason::Resp3NotNegotiated));
        let [(1, Failure::Refused(reason))] = &story.delivered.failures[..] else {
            panic!("{:?}", story.delivered.failures)
        };
        assert!(matches!(**reason, CloseReason::Resp3NotNegotiated));
        assert!(story.next_dial().is_none(), "one attempt is enough");
    }
}

#[test]
fn hs_wrongpass_not_masked() {
    for mode in [Mode::Disabled, Mode::Auto, Mode::Enabled] {
        for refusal in ["WRONGPASS invalid username-password pair", "NOAUTH HELLO must be called with AUTH"] {
            let server = Server { hello: error(refusal), ..Server::new() };
            let mut story = Story::new(config_with(HandshakeConfig { mode, ..full() }));
            let id = story.dialed();
            let said = story.accept(id, A, &server);
            assert_eq!(said, ["HELLO 3 AUTH default s3cret SETNAME app"], "nothing is tried in RESP2");
            let reason = story.closed().unwrap();
            assert!(matches!(&*reason, CloseReason::Auth(text) if text == refusal), "{reason:?}");
            let next = story.redial();
            story.connect(next, A);
            assert!(story.written(next).starts_with("HELLO 3 AUTH"));
        }
    }
}

/// Each flight of the exchange, with a push before and after each reply, is read in two pieces.
#[test]
fn hs_push_between_replies() {
    let push = format!(">2\r\n+x\r\n:7\r\n{}", opens("MIGRATING", 5, 2, "1"));
    let flight = |replies: &[&[u8]]| {
        let mut wire = push.clone().into_bytes();
        for reply in replies {
            wire.extend_from_slice(reply);
            wire.extend_from_slice(push.as_bytes());
        }
        wire
    };
    let first = flight(&[HELLO_OK]);
    let second = flight(&[&b"+OK\r\n"[..]; 4]);
    let assert_shaken = |story: &mut Story, id| {
        assert_eq!(story.pool.connection(id).negotiated().unwrap().notifications, Notifications::On);
        assert_eq!(story.delivered.pushes, 7, "the pushes that no part of the client handles");
        let stats = story.pool.maintenance();
        assert_eq!((stats.notifications, stats.duplicates, stats.malformed), (7, 6, 0));
        assert_eq!(story.announced().len(), 1);
        assert_works(story, id, &Server::new());
    };
    let begin = || {
        let mut story = Story::new(config_with(full()));
        let id = story.dialed();
        story.connect(id, A);
        assert!(story.written(id).starts_with("HELLO"));
        (story, id)
    };
    for split in 0..first.len().max(second.len()) {
        let (mut story, id) = begin();
        let (start, end) = first.split_at(split.min(first.len()));
        assert!(story.receive(id, start) && story.receive(id, end));
        assert!(story.written(id).ends_with("SELECT 2"));
        let (start, end) = second.split_at(split.min(second.len()));
        assert!(story.receive(id, start) && story.receive(id, end));
        assert_shaken(&mut story, id);
    }
    let (mut story, id) = begin();
    assert!(first.iter().all(|byte| story.receive(id, [*byte])));
    assert!(story.written(id).ends_with("SELECT 2"));
    assert!(second.iter().all(|byte| story.receive(id, [*byte])));
    assert_shaken(&mut story, id);
}

#[test]
fn hs_retained_completion_is_history() {
    let retained =
        [closes("MIGRATED", 1, "27"), closes("FAILED_OVER", 1, "21"), smigrated(19, &[[A, B, "1-5"]])];
    for (push, database) in retained.iter().flat_map(|push| [(push, 0), (push, 2)]) {
        let maint = format!("+OK\r\n{push}");
        let mut config = config_with(HandshakeConfig { database, ..HandshakeConfig::default() });
        // With a name: the end of an old migration causes no look-up.
        config.endpoint = "redis.example:6379".parse().unwrap();
        let mut story = Story::new(config);
        let id = story.dialed();
        story.accept(id, A, &Server::with_maint(&maint));
        let events = story.events();
        assert!(matches!(&events[..], [Event::Connected { .. }]), "{events:?}");
        let stats = MaintenanceStats { opted_in: 1, ..MaintenanceStats::default() };
        assert_eq!(story.pool.maintenance(), stats);
        assert_eq!(story.delivered.pushes, 0);
        assert!(story.lookup().is_none() && story.announcement().is_none());
        story.submit("a");
        story.written(id);
        assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)), "nothing is relaxed");
        // It was not recorded either: the same number is new when it is live.
        story.receive(id, opens("MIGRATING", 0, 2, "27"));
        assert_eq!((story.announced().len(), story.pool.maintenance().windows_open), (1, 1));
    }
}

#[test]
fn hs_unix_socket_skips() {
    let mut story = Story::new(config_with(full()));
    let id = story.dialed();
    assert!(story.pool.connection(id).handle_connected(None, None, story.now));
    let said = story.serve(id, &Server::without_maint());
    assert_eq!((asks(&said), said.last().map(String::as_str)), (0, Some("SELECT 2")), "{said:?}");
    assert_eq!(story.pool.connection(id).negotiated().unwrap().notifications, Notifications::Off);
    assert_eq!(refusals(&mut story), []);
    assert_works(&mut story, id, &Server::new());
    // A push that arrives all the same has no effect.
    assert!(story.receive(id, moving(1, 15, Some(B))));
    assert!(story.dial().is_none());
    assert_works(&mut story, id, &Server::new());
}

#[test]
fn hs_socket_dies_mid_handshake() {
    let mut steps: Vec<&[u8]> = vec![b"", HELLO_OK];
    steps.extend([&b"+OK\r\n"[..]; 3]);
    for died_after in 0..=steps.len() {
        let mut story = Story::new(config_with(full()));
        story.submit("a");
        let id = story.dialed();
        if died_after > 0 {
            story.connect(id, A);
        }
        for reply in &steps[..died_after] {
            story.written(id);
            assert!(story.receive(id, reply));
        }
        story.close(id);
        assert!(matches!(*story.closed().expect("it is closed at once"), CloseReason::ClosedByServer));
        assert!(!story.pool.connection(id).is_alive());
        let at = story.pool.next_timeout().unwrap();
        assert!(at.since(story.now) <= Duration::from_millis(50), "the loop goes on");
        let next = story.redial();
        assert_eq!(story.accept(next, A, &Server::new()).last().unwrap(), "a");
        assert_eq!((story.delivered.answered(), story.delivered.failed()), (vec![1], vec![]));
    }
}
