//! Which credentials a connection uses when the driver, the configuration and a renewal each have some.

use super::story::*;
use super::*;
use crate::proto::connection::Credentials;

const B: &str = "10.0.0.2:6379";

/// Credentials that the driver obtained for a dial are newer than an earlier renewal.
#[test]
fn newer_credentials_of_a_connection_are_kept() {
    let (mut story, id) = Story::ready(config());
    story.pool.renew(Credentials::password("first"), story.now);
    assert_eq!(story.written(id), "AUTH first");
    story.receive(id, b"+OK\r\n");
    for is_successor in [false, true] {
        let current = story.pool.entries().active_generation(ONLY).unwrap();
        let current = ConnectionId { entry: ONLY, generation: current };
        let next = match is_successor {
            false => {
                story.close(current);
                story.redial()
            }
            true => {
                story.receive(current, moving(1, 2, Some(B)));
                story.run(SECOND);
                story.dialed()
            }
        };
        let own = Some(Credentials::password("second"));
        assert!(story.pool.connection(next).handle_connected(PEER, own, story.now));
        let said = story.serve(next, &Server::new());
        assert!(said[0].contains("AUTH default second"), "{said:?}");
        assert!(!said.iter().any(|command| command.starts_with("AUTH")), "{is_successor}: {said:?}");
    }
}

/// The renewal was over when the connection became ready: its refusal is reported all the same, once.
#[test]
fn refusal_after_the_renewal_is_reported_once() {
    let mut story = Story::new(config_of(2));
    let late = [story.dialed(), story.dialed()];
    for id in late {
        assert!(story.connect(id, "10.0.0.1:6379"));
        story.written(id);
    }
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!(*story.pool.renewal(), Renewal::Done, "none was ready");
    story.events();
    let mut server = Server::new();
    server.auth = b"-WRONGPASS no\r\n".to_vec();
    for id in late {
        story.receive(id, HELLO_OK);
    }
    let said = story.serve_all(&late, &server);
    assert_eq!(said.iter().filter(|command| *command == "AUTH new").count(), 2, "{said:?}");
    let refused = Event::CredentialsRefused { reason: "WRONGPASS no".into() };
    assert_eq!(story.events().iter().filter(|event| **event == refused).count(), 1);
    assert!(late.iter().all(|id| story.pool.connection(*id).is_alive()));
}

#[test]
fn renewal_ends_when_all_connections_have_answered() {
    let (mut story, ids) = Story::all_ready(config_of(3));
    story.pool.renew(Credentials::password("new"), story.now);
    for id in &ids {
        assert_eq!(story.written(*id), "AUTH new");
    }
    for id in &ids {
        assert!(matches!(story.pool.renewal(), Renewal::UnderWay { .. }));
        story.receive(*id, b"+OK\r\n");
    }
    assert_eq!(*story.pool.renewal(), Renewal::Done);
}

/// New credentials help only where the old ones were refused.
#[test]
fn renewal_redials_only_entries_with_a_refused_login() {
    for (reason, at_once) in
        [(CloseReason::Auth("WRONGPASS".into()), true), (CloseReason::Dial("refused".into()), false)]
    {
        let mut config = config();
        config.backoff_first = SECOND * 100;
        config.backoff_max = SECOND * 100;
        let mut story = Story::new(config);
        let id = story.dialed();
        story.fail(id, reason);
        story.pool.renew(Credentials::password("new"), story.now);
        story.wait(Duration::ZERO);
        assert_eq!(story.next_dial().is_some(), at_once);
    }
}

#[test]
fn kinds_of_refused_logins_are_distinguished() {
    for (reply, problem) in [
        ("WRONGPASS no", "the server refused the credentials"),
        ("NOAUTH no", "the server wants a password"),
        ("NOPERM no", "the server does not allow this user to connect"),
    ] {
        let text = CloseReason::Auth(reply.into()).to_string();
        assert!(text.contains(reply) && text.starts_with(problem), "{text}");
    }
}
