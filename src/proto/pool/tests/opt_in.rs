//! The request for notifications: what servers answer to it, which connections ask, and what is reported.

use super::handshake::*;
use super::*;
use crate::proto::connection::Notifications;
use crate::proto::maint::mode::Mode;

#[test]
fn hs_auto_unknown_subcommand() {
    for reply in [
        format!("-{UNKNOWN}\r\n"),
        "-ERR wrong number of arguments for 'client|maint_notifications' command\r\n".into(),
        "-ERR maintenance notifications are disabled on this server\r\n".into(),
        "+QUEUED\r\n".into(),
        ":1\r\n".into(),
        "*0\r\n".into(),
    ] {
        let server = Server::with_maint(&reply);
        let mut story = Story::new(config_of(3));
        let [a, b, c] = [story.dialed(), story.dialed(), story.dialed()];
        assert_eq!(asks(&story.accept(a, A, &server)), 1);
        assert_works(&mut story, a, &server);
        let told = refusals(&mut story);
        let [(peer, false, reason)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(peer.to_string(), A);
        assert!(
            !reply.starts_with('-') || reply.contains(reason.as_str()),
            "with the server's reply: {reason}"
        );
        // No other connection has to ask this server.
        assert_eq!(asks(&story.accept(b, A, &server)), 0);
        assert_works(&mut story, b, &server);
        // The refusal does not hold for other servers.
        assert_eq!(asks(&story.accept(c, B, &Server::new())), 1);
        assert_eq!(story.pool.connection(c).negotiated().unwrap().notifications, Notifications::On);
        let mut id = b;
        for (waited, asked) in [(0, 0), (59, 0), (2, 1), (0, 0)] {
            story.run(SECOND * waited);
            story.close(id);
            id = story.redial();
            assert_eq!(asks(&story.accept(id, A, &server)), asked, "{waited} s later");
            assert_works(&mut story, id, &server);
        }
        assert_eq!(refusals(&mut story), [], "once per endpoint");
    }
}

#[test]
fn unknown_endpoint_type_is_left_out() {
    for mode in [Mode::Auto, Mode::Enabled] {
        let mut story = Story::new(config_with(HandshakeConfig { database: 2, ..in_mode(mode) }));
        let id = story.dialed();
        let named = Server::with_maint("-ERR Invalid moving-endpoint-type 'internal-ip'\r\n");
        story.connect(id, A);
        story.written(id);
        story.receive(id, HELLO_OK);
        let replies: Vec<_> = story.commands(id).iter().flat_map(|command| named.answer(command)).collect();
        story.receive(id, replies);
        assert_eq!(story.commands(id), ["CLIENT MAINT_NOTIFICATIONS ON"]);
        story.receive(id, b"+OK\r\n");
        assert_eq!(story.pool.connection(id).negotiated().unwrap().notifications, Notifications::On);
        assert_works(&mut story, id, &Server::new());
    }
}

#[test]
fn hs_enabled_unknown_subcommand() {
    for (reply, told) in [
        (error(UNKNOWN), UNKNOWN),
        (error("ERR maintenance notifications are disabled"), "ERR maintenance notifications are disabled"),
        (b":1\r\n".to_vec(), "neither OK nor an error"),
    ] {
        let mut story = Story::new(config_with(in_mode(Mode::Enabled)));
        story.submit("a");
        let id = story.dialed();
        assert_eq!(asks(&story.accept(id, A, &Server::with_maint(reply))), 1);
        assert!(!story.pool.connection(id).is_alive());
        let [(1, Failure::Refused(reason))] = &story.delivered.failures[..] else {
            panic!("{:?}", story.delivered.failures)
        };
        assert!(matches!(&**reason, CloseReason::MaintRefused(text) if text.contains(told)), "{reason}");
        // The next attempt asks again: the mode requires notifications.
        let next = story.redial();
        assert_eq!(asks(&story.accept(next, A, &Server::new())), 1);
        assert_works(&mut story, next, &Server::new());
    }
}

#[test]
fn hs_noperm_auto_warns_once() {
    let server = Server::with_maint(error(NOPERM));
    let mut story = Story::new(config_of(10));
    let mut ids = story.accept_all(&server);
    assert_eq!(ids.len(), 10);
    let told = refusals(&mut story);
    assert_eq!(told, [(A.parse().unwrap(), true, NOPERM.to_owned())]);
    // It is not reported again when each connection was refused.
    for id in &mut ids {
        story.run(SECOND * 61);
        story.close(*id);
        *id = story.redial();
        assert_eq!(asks(&story.accept(*id, A, &server)), 1);
    }
    assert_eq!(story.pool.maintenance().refused, 11);
    assert_eq!(refusals(&mut story), []);
    for id in ids {
        assert_works(&mut story, id, &server);
    }
}

#[test]
fn missing_permission_is_reported_after_a_missing_feature() {
    let (mut story, mut id) = (Story::new(config()), None);
    for reply in [error(UNKNOWN), error(NOPERM), error(UNKNOWN), error(NOPERM)] {
        if let Some(id) = id {
            story.run(SECOND * 61);
            story.close(id);
        }
        let next = if id.is_some() { story.redial() } else { story.dialed() };
        story.accept(next, A, &Server::with_maint(reply));
        id = Some(next);
    }
    let told: Vec<_> = refusals(&mut story).into_iter().map(|(_, denied, _)| denied).collect();
    assert_eq!(told, [false, true]);
}

#[test]
fn hs_noperm_enabled_fails() {
    let server = Server::with_maint(error(NOPERM));
    let mut story = Story::new(config_with(in_mode(Mode::Enabled)));
    story.submit("a");
    let mut id = story.dialed();
    let mut attempts = Vec::new();
    while story.now < Instant::from_nanos(31_000_000_000) {
        attempts.push(story.now);
        assert_eq!(asks(&story.accept(id, A, &server)), 1);
        let reason = story.closed().unwrap();
        assert!(matches!(&*reason, CloseReason::MaintDenied(text) if text == NOPERM), "{reason:?}");
        assert!(reason.to_string().contains("client|maint_notifications"), "it names the permission");
        id = story.redial();
    }
    assert!(matches!(&story.delivered.failures[..], [(1, Failure::Refused(_))]));
    let apart = attempts.windows(2).map(|pair| pair[1].since(pair[0])).min().unwrap();
    assert!(apart >= SECOND * 2, "no storm: {apart:?}");
}

#[test]
fn hs_maint_eof_or_timeout_fails_conn() {
    for mode in [Mode::Auto, Mode::Enabled] {
        for (answered, hangs) in [(0, false), (1, false), (2, false), (0, true), (2, true)] {
            let mut story = Story::new(config_with(in_mode(mode)));
            story.submit("a");
            let id = story.dialed();
            story.connect(id, A);
            story.written(id);
            story.receive(id, HELLO_OK);
            assert!(story.written(id).contains("MAINT_NOTIFICATIONS"));
            story.receive(id, &b"+OK\r\n+OK\r\n"[..answered * 5]);
            // Half of a reply is no reply.
            story.receive(id, b"+O");
            match hangs {
                true => story.wait(SECOND * 2),
                false => story.close(id),
            }
            assert!(story.closed().is_some());
            assert!(!story.receive(id, b"K\r\n+OK\r\n"), "a late reply has no effect");
            assert!(story.pool.connection(id).poll_transmit(story.now).is_none());
            assert_eq!(refusals(&mut story), [], "silence is no refusal");
            let next = story.redial();
            story.submit("b");
            let said = story.accept(next, A, &Server::new());
            assert_eq!(asks(&said), 1, "it is asked again");
            assert_eq!(said.last().unwrap(), "b");
            assert!(story.delivered.answered().contains(&2));
        }
    }
}

#[test]
fn hs_auto_never_promotes() {
    let mut story = Story::new(config_of(4));
    let ids = [story.dialed(), story.dialed(), story.dialed(), story.dialed()];
    let hello_unknown = Server { hello: error("ERR unknown command 'HELLO'"), ..Server::new() };
    for (id, peer, server) in [
        (ids[0], A, Server::new()),
        (ids[1], B, Server::without_maint()),
        (ids[2], "10.0.0.3:6379", hello_unknown),
        (ids[3], "10.0.0.4:6379", Server::new()),
    ] {
        story.accept(id, peer, &server);
        assert_works(&mut story, id, &server);
    }
    let on = ids.map(|id| story.pool.connection(id).negotiated().unwrap().notifications == Notifications::On);
    assert_eq!(on, [true, false, false, true], "a refusal holds for one peer only");
    // A server that offered notifications may refuse them the next time.
    story.close(ids[0]);
    let again = story.redial();
    story.accept(again, A, &Server::without_maint());
    assert_works(&mut story, again, &Server::new());
}

#[test]
fn waiting_opt_in_continues_when_the_asker_is_lost() {
    let mut story = Story::new(config_of(3));
    let [a, b, c] = [story.dialed(), story.dialed(), story.dialed()];
    for id in [a, b, c] {
        story.connect(id, A);
        story.written(id);
        story.receive(id, HELLO_OK);
    }
    assert!(story.written(a).contains("MAINT_NOTIFICATIONS"));
    assert_eq!((story.written(b), story.written(c)), (String::new(), String::new()));
    story.close(a);
    assert!(story.written(b).contains("MAINT_NOTIFICATIONS"), "the next one asks");
    assert_eq!(story.written(c), "");
    story.receive(b, SETTINGS_OK);
    assert!(story.written(c).contains("MAINT_NOTIFICATIONS"));
    story.receive(c, SETTINGS_OK);
    assert_eq!(story.pool.entries().ready(), (2, 3));
}
