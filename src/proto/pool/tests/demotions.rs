//! Replacements of demoted servers: handoffs that no server announced.

use super::story::*;
use super::*;
use crate::proto::maint::event::HandoffResult;

const A: &str = "10.0.0.1:6379";
const B: &str = "10.0.0.2:6379";

/// A reply says that the server is a replica.
fn demote(story: &mut Story, id: ConnectionId) {
    story.submit("write");
    assert!(story.written(id).contains("write"));
    story.receive(id, b"-READONLY no\r\n");
}

fn patient() -> PoolConfig {
    let mut config = config();
    config.connection.command_timeout = SECOND * 600;
    config
}

/// The endpoint may have been the failed target of a move.
#[test]
fn replacement_ignores_the_breaker_of_its_endpoint() {
    let (mut story, id) = Story::ready(patient());
    for _ in 0..5 {
        story.pool.parts.handoffs.breakers.of(&config().endpoint).failed(story.now);
    }
    demote(&mut story, id);
    assert!(story.next_dial().is_some());
}

#[test]
fn predecessor_of_a_replacement_has_no_close_deadline() {
    let (mut story, id) = Story::ready(patient());
    story.submit("write");
    story.submit("slow");
    story.written(id);
    story.receive(id, b"-READONLY no\r\n");
    let next = story.dialed();
    story.accept(next, A, &Server::new());
    story.run(SECOND * 500);
    assert!(story.pool.connection(id).is_alive());
    story.receive(id, b"+slow\r\n");
    assert_eq!((story.delivered.answered(), story.pool.connection(id).is_alive()), (vec![1, 2], false));
}

#[test]
fn replacement_of_a_demoted_server_is_not_relaxed() {
    let (mut story, id) = Story::ready(config());
    demote(&mut story, id);
    let next = story.dialed();
    story.accept(next, A, &Server::new());
    story.submit("a");
    story.written(next);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)));
}

#[test]
fn moving_server_is_not_replaced_as_well() {
    let (mut story, id) = Story::ready(patient());
    story.receive(id, moving(1, 60, Some(B)));
    story.events();
    demote(&mut story, id);
    assert!(story.events().is_empty(), "no other handoff begins");
    story.run(SECOND);
    let (next, endpoint, _) = story.dial().expect("the dial of the move");
    assert_eq!(endpoint.to_string(), B);
    demote(&mut story, id);
    story.run(SECOND);
    assert!(story.next_dial().is_none());
    story.accept(next, B, &Server::new());
    assert_eq!(story.pool.entries().active_generation(ONLY), Some(next.generation));
}

#[test]
fn server_moving_without_a_target_is_not_replaced() {
    let mut config = patient();
    config.endpoint = "redis.example:6379".parse().unwrap();
    let (mut story, id) = Story::ready(config);
    story.receive(id, moving(1, 60, None));
    demote(&mut story, id);
    story.run(SECOND);
    assert!(story.next_dial().is_none());
}

#[test]
fn demotions_count_once_per_handoff_and_not_on_predecessors() {
    let (mut story, id) = Story::ready(patient());
    for _ in 0..3 {
        story.submit("write");
    }
    story.submit("slow");
    story.written(id);
    story.receive(id, b"-READONLY no\r\n");
    let next = story.dialed();
    story.run(SECOND * 11);
    story.receive(id, b"-READONLY no\r\n");
    assert!(story.next_dial().is_none(), "one is being dialed");
    story.accept(next, A, &Server::new());
    story.run(SECOND * 11);
    story.receive(id, b"-READONLY no\r\n");
    assert!(story.next_dial().is_none(), "a predecessor is not replaced");
    let ended = |event: &Event| matches!(event, Event::HandoffEnded { result: HandoffResult::Succeeded, .. });
    assert_eq!(story.events().iter().filter(|event| ended(event)).count(), 1);
}

#[test]
fn shutdown_replaces_nothing_and_asks_for_no_credentials() {
    let mut config = patient();
    config.renewable = true;
    let (mut story, id) = Story::ready(config);
    for _ in 0..3 {
        story.submit("write");
    }
    story.written(id);
    story.pool.shut_down(story.now, story.now.after(SECOND * 60), &mut story.delivered);
    story.receive(id, b"-READONLY no\r\n-NOAUTH Authentication required.\r\n");
    assert!(story.next_dial().is_none());
    assert!(story.action(|action| matches!(action, Action::AskCredentials).then_some(())).is_none());
    let new = crate::proto::connection::Credentials::password("new");
    story.pool.renew(new, story.now);
    assert_eq!(story.written(id), "");
    assert_eq!(*story.pool.renewal(), Renewal::Done);
    assert!(!story.events().contains(&Event::CredentialsRenewed), "nothing was renewed");
}
