//! Internal commands: `PING` on idle connections and `AUTH` when credentials change; and what follows from replies
//! about the state of a server.

use super::story::*;
use super::*;
use crate::proto::connection::{Credentials, HandshakeConfig, Secret};
use crate::proto::maint::event::HandoffResult;
use crate::proto::resp::Frame;

const IDLE: Duration = Duration::from_secs(30);

fn pinging() -> PoolConfig {
    let mut config = config();
    config.connection.idle_ping = IDLE;
    config
}

fn renewable() -> PoolConfig {
    PoolConfig { renewable: true, ..config() }
}

fn new() -> Credentials {
    Credentials::user("app", "new")
}

#[test]
fn idle_connection_pings_and_delivers_no_reply() {
    let (mut story, id) = Story::ready(pinging());
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(IDLE)));
    story.wait(IDLE - SECOND);
    assert_eq!(story.written(id), "");
    story.wait(SECOND);
    assert!(
        story
            .action(|action| matches!(action, Action::Wake { id: woken } if *woken == id).then_some(()))
            .is_some()
    );
    assert_eq!(story.written(id), "PING");
    // A command that is submitted now gets its own reply.
    story.submit("a");
    assert_eq!(story.written(id), "a");
    assert!(story.receive(id, b"+PONG\r\n+a\r\n"));
    assert_eq!(story.delivered.replies, [(1, Frame::Simple("a".into()))]);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(IDLE)), "the idle time starts anew");
}

#[test]
fn unanswered_ping_closes_after_the_command_timeout() {
    let (mut story, id) = Story::ready(pinging());
    story.wait(IDLE);
    assert_eq!(story.written(id), "PING");
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)));
    story.run(SECOND * 9 / 10);
    assert!(story.pool.connection(id).is_alive());
    story.run(SECOND / 10);
    assert!(matches!(*story.closed().unwrap(), CloseReason::Unresponsive(silence) if silence == SECOND));
    assert!(story.delivered.failures.is_empty());
    story.redial();
}

#[test]
fn busy_or_never_pinging_connection_sends_no_ping() {
    let mut config = pinging();
    config.connection.command_timeout = IDLE * 10;
    let (mut story, id) = Story::ready(config);
    story.submit("a");
    assert_eq!(story.written(id), "a");
    story.run(IDLE * 2);
    assert_eq!(story.written(id), "");
    let (mut story, id) = Story::ready(super::config());
    story.run(IDLE * 1000);
    assert_eq!((story.written(id).as_str(), story.pool.next_timeout()), ("", None));
}

#[test]
fn tombstone_on_an_idle_connection_does_not_close_it() {
    let (mut story, id) = Story::ready(config());
    story.wait(SECOND * 100);
    let position = story.submit("a");
    assert_eq!(story.written(id), "a");
    story.pool.abandon(ONLY, position);
    story.run(SECOND / 2);
    assert!(story.pool.connection(id).is_alive(), "its reply is not overdue yet");
    story.run(SECOND / 2);
    assert!(!story.pool.connection(id).is_alive());
}

#[test]
fn live_connections_log_in_again_between_two_commands() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.submit("b");
    // The first command is 11 bytes long; the second is cut.
    story.written_up_to(id, 16);
    story.pool.renew(new(), story.now);
    assert!(matches!(story.pool.renewal(), Renewal::UnderWay { .. }));
    story.submit("c");
    let rest = story.commands(id);
    assert_eq!(rest[rest.len() - 2..], ["c", "AUTH app new"]);
    story.submit("d");
    assert_eq!(story.written(id), "d");
    story.events();
    assert!(story.receive(id, b"+a\r\n+b\r\n+c\r\n+OK\r\n+d\r\n"));
    assert_eq!(story.delivered.answered(), [1, 2, 3, 4]);
    assert_eq!(*story.pool.renewal(), Renewal::Done);
    assert_eq!(story.events(), [Event::CredentialsRenewed]);
    // The next connection uses them at once.
    story.close(id);
    let next = story.redial();
    story.pool.connection(next).handle_connected(PEER, None, story.now);
    assert!(story.written(next).starts_with("HELLO 3 AUTH app new"));
}

#[test]
fn refused_credentials_are_one_event_and_no_loss() {
    let (mut story, ids) = Story::all_ready(config_of(3));
    story.events();
    story.pool.renew(new(), story.now);
    for id in &ids {
        assert_eq!(story.written(*id), "AUTH app new");
        assert!(story.receive(*id, b"-WRONGPASS invalid\r\n"));
    }
    assert_eq!(story.events(), [Event::CredentialsRefused { reason: "WRONGPASS invalid".into() }]);
    assert_eq!(*story.pool.renewal(), Renewal::Refused("WRONGPASS invalid".into()));
    story.run(SECOND * 100);
    assert!(ids.iter().all(|id| story.pool.connection(*id).is_alive()
        && story.pool.connection(*id).poll_transmit(story.now) == Some(&[])));
}

#[test]
fn internal_commands_end_with_their_connection() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.pool.renew(new(), story.now);
    // Neither is written: only the command goes to the next connection.
    assert!(story.pool.connection(id).poll_transmit(story.now).is_some());
    story.close(id);
    assert_eq!(*story.pool.renewal(), Renewal::Done, "no connection is left to wait for");
    let next = story.redial();
    story.shake_hands(next);
    assert_eq!(story.written(next), "a");
    assert!(story.receive(next, b"+a\r\n"));
    assert_eq!(story.delivered.answered(), [1]);
}

#[test]
fn mv_session_state_carried_with_a_rotated_password() {
    let greeting =
        HandshakeConfig { password: Some(Secret("old".into())), database: 2, ..HandshakeConfig::default() };
    let (mut story, id) = {
        let mut story = Story::new(config_with(greeting));
        let id = story.dialed();
        let said = story.accept(id, "10.0.0.1:6379", &Server::new());
        assert!(said[0].starts_with("HELLO 3 AUTH default old"), "{said:?}");
        (story, id)
    };
    // A successor whose handshake began with the old password sends the new one once it is ready.
    story.receive(id, moving(1, 2, Some("10.0.0.2:6379")));
    story.run(SECOND);
    let successor = story.dialed();
    assert!(story.connect(successor, "10.0.0.2:6379"));
    let mut said = story.commands(successor);
    story.receive(successor, HELLO_OK);
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!(story.written(id), "AUTH new", "the active connection sends it at once");
    said.extend(story.serve(successor, &Server::new()));
    assert!(said[0].starts_with("HELLO 3 AUTH default old"), "{said:?}");
    assert!(said.contains(&"SELECT 2".to_owned()), "{said:?}");
    assert_eq!(said.last().unwrap(), "AUTH new", "{said:?}");
    assert!(story.events().contains(&Event::CredentialsRenewed));
    // The next connection begins with it.
    story.receive(successor, moving(2, 2, Some("10.0.0.3:6379")));
    story.run(SECOND);
    let last = story.dialed();
    let said = story.accept(last, "10.0.0.3:6379", &Server::new());
    assert!(said[0].starts_with("HELLO 3 AUTH default new"), "{said:?}");
    assert!(said.contains(&"SELECT 2".to_owned()) && !said.iter().any(|said| said.starts_with("AUTH")));
}

#[test]
fn refused_login_is_retried_with_backoff_if_renewable() {
    let mut story = Story::new(renewable());
    let mut id = story.dialed();
    story.submit("a");
    let (mut dials, end) = (0, story.now.after(SECOND * 60));
    while story.now < end {
        story.pool.connection(id).handle_connected(PEER, Some(Credentials::password("old")), story.now);
        assert!(story.written(id).contains("old"));
        story.receive(id, b"-WRONGPASS invalid\r\n");
        dials += 1;
        assert!(!story.pool.entries().is_any_rejected(), "the driver can obtain other credentials");
        id = loop {
            let at = story.pool.next_timeout().expect("a time to dial again");
            story.wait(at.since(story.now));
            if let Some(id) = story.next_dial() {
                break id;
            }
        };
    }
    assert!((20..120).contains(&dials), "{dials} dials in a minute");
    let Failure::TimedOut(timed_out) = &story.delivered.failures[0].1 else { panic!() };
    let last_error = timed_out.last_error.as_ref().expect("the reason");
    assert!(last_error.to_string().starts_with("the server refused the credentials: WRONGPASS invalid"));
    // New credentials are used at once.
    story.fail(id, CloseReason::Auth("WRONGPASS".into()));
    story.pool.renew(new(), story.now);
    story.wait(Duration::ZERO);
    let id = story.dialed();
    story.pool.connection(id).handle_connected(PEER, None, story.now);
    assert!(story.written(id).starts_with("HELLO 3 AUTH app new"));
}

#[test]
fn logged_out_connection_asks_for_credentials_rarely() {
    let asked = |story: &mut Story| {
        story.action(|action| matches!(action, Action::AskCredentials).then_some(())).is_some()
    };
    for provided in [true, false] {
        let (mut story, id) = Story::ready(if provided { renewable() } else { config() });
        for turn in 0..20 {
            story.submit("a");
            story.written(id);
            assert!(story.receive(id, b"-NOAUTH Authentication required.\r\n"));
            assert_eq!(asked(&mut story), provided && turn % 10 == 0, "{turn}");
            story.run(SECOND);
        }
        assert_eq!(story.delivered.replies.len(), 20);
    }
}

#[test]
fn demoted_server_is_left_without_losing_a_command() {
    for (reply, code) in [("READONLY You can't write", "READONLY"), ("MASTERDOWN Link with", "MASTERDOWN")] {
        let (mut story, id) = Story::ready(config());
        story.events();
        story.submit("a");
        story.written(id);
        story.receive(id, format!("-{reply}\r\n"));
        assert_eq!(story.delivered.answered(), [1], "the caller gets the error");
        let peer = PEER.unwrap();
        let told = Event::Demoted { peer, code };
        assert!(story.events().contains(&told));
        let (successor, endpoint, _) = story.dial().expect("the endpoint is dialed again");
        assert_eq!(endpoint, config().endpoint);
        story.submit("slow");
        assert_eq!(story.written(id), "slow", "the old connection keeps serving");
        story.accept(successor, "10.0.0.1:6379", &Server::new());
        story.submit("b");
        assert_eq!(story.written(id), "");
        story.receive(id, b"+slow\r\n");
        assert_eq!(story.written(successor), "b");
        story.receive(successor, b"+b\r\n");
        assert_eq!((story.delivered.answered(), story.delivered.failures.len()), (vec![1, 2, 3], 0));
        assert!(matches!(*story.closed().unwrap(), CloseReason::Replaced));
        let is_over =
            |event: &Event| matches!(event, Event::HandoffEnded { result: HandoffResult::Succeeded, .. });
        assert_eq!(story.events().iter().filter(|event| is_over(event)).count(), 1);
    }
}

#[test]
fn server_that_stays_demoted_is_dialed_rarely() {
    let (mut story, mut id) = Story::ready(config());
    let mut dials = 0;
    for _ in 0..600 {
        story.submit("a");
        story.written(id);
        story.receive(id, b"-READONLY no\r\n");
        while let Some((successor, ..)) = story.dial() {
            dials += 1;
            story.accept(successor, "10.0.0.1:6379", &Server::new());
            id = successor;
        }
        story.run(SECOND / 10);
    }
    assert_eq!(dials, 6, "once in ten seconds, for a minute");
    assert!(story.delivered.failures.is_empty());
    assert_eq!(story.delivered.replies.len(), 600);
}

#[test]
fn other_server_states_only_reach_the_caller() {
    let (mut story, id) = Story::ready(config());
    story.events();
    for reply in
        ["LOADING wait", "BUSY script", "TRYAGAIN soon", "CLUSTERDOWN no", "NOPERM no", "WRONGTYPE x"]
    {
        story.submit("a");
        story.written(id);
        assert!(story.receive(id, format!("-{reply}\r\n")));
    }
    assert_eq!(story.delivered.replies.len(), 6);
    assert!(story.dial().is_none() && story.events().is_empty());
}

/// How often a server that does this to every connection is dialed within a minute.
fn dials_in_a_minute(mut meet: impl FnMut(&mut Story, ConnectionId)) -> usize {
    let mut story = Story::new(config());
    let end = story.now.after(SECOND * 60);
    let mut dials = 0;
    while story.now < end {
        while let Some(id) = story.next_dial() {
            dials += 1;
            meet(&mut story, id);
        }
        let at = story.pool.next_timeout().expect("a timeout");
        story.wait(at.since(story.now));
    }
    dials
}

#[test]
fn flapping_server_is_dialed_with_backoff() {
    let refused = dials_in_a_minute(|story, id| story.fail(id, CloseReason::Dial("refused".into())));
    let served = dials_in_a_minute(|story, id| {
        story.shake_hands(id);
        story.close(id);
    });
    for dials in [refused, served] {
        assert!((30..120).contains(&dials), "{dials} dials in a minute");
    }
    // An error that a person has to fix is retried with the longest delay.
    let turned_away = dials_in_a_minute(|story, id| {
        story.pool.connection(id).handle_connected(PEER, None, story.now);
        story.receive(id, b"-NOAUTH HELLO must be called\r\n");
    });
    assert_eq!(turned_away, 30);
}

#[test]
fn temporary_refusal_is_retried_and_named() {
    for (reply, words) in [
        ("LOADING Redis is loading", "it is loading its data"),
        ("MASTERDOWN Link with MASTER", "it is a replica that has lost its master"),
        ("BUSY Redis is busy", "it is busy with a script"),
        ("TRYAGAIN later", "it is moving this data"),
        ("ERR max number of clients reached", "it has as many clients as its `maxclients` allows"),
    ] {
        let mut story = Story::new(config());
        story.submit("a");
        let id = story.dialed();
        story.pool.connection(id).handle_connected(PEER, None, story.now);
        story.written(id);
        story.receive(id, format!("-{reply}\r\n"));
        let text = story.closed().unwrap().to_string();
        assert_eq!(
            text,
            format!("the server refused HELLO because {words}, and will be tried again: {reply}")
        );
        assert!(story.delivered.failures.is_empty(), "commands wait");
        let next = story.redial();
        story.shake_hands(next);
        assert_eq!(story.written(next), "a");
    }
}
