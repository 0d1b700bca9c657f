//! Handoffs that no server announced: what they have in common with the others, and what they have not.

use super::story::*;
use super::*;
use crate::proto::maint::event::HandoffResult;

const A: &str = "10.0.0.1:6379";
const B: &str = "10.0.0.2:6379";

/// The answer to a command says that its server is a replica.
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

/// The endpoint may have been the target of a move, and have failed as such.
#[test]
fn endpoint_that_is_dialed_anew_is_dialed_whatever_its_breaker_says() {
    let (mut story, id) = Story::ready(patient());
    for _ in 0..5 {
        story.pool.breakers.of(&config().endpoint).failed(story.now);
    }
    demote(&mut story, id);
    assert!(story.next_dial().is_some());
}

#[test]
fn predecessor_that_nobody_closes_is_waited_for_as_long_as_its_replies_are() {
    let (mut story, id) = Story::ready(patient());
    story.submit("write");
    story.submit("slow");
    story.written(id);
    story.receive(id, b"-READONLY no\r\n");
    let next = story.dialed();
    story.accept(next, A, &Server::new());
    story.run(SECOND * 500);
    assert!(story.pool.is_alive(id));
    story.receive(id, b"+slow\r\n");
    assert_eq!((story.delivered.answered(), story.pool.is_alive(id)), (vec![1, 2], false));
}

#[test]
fn successor_of_a_demoted_server_gets_no_more_time_than_others() {
    let (mut story, id) = Story::ready(config());
    demote(&mut story, id);
    let next = story.dialed();
    story.accept(next, A, &Server::new());
    story.submit("a");
    story.written(next);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)));
}

#[test]
fn server_that_leaves_anyway_is_not_replaced_as_well() {
    let (mut story, id) = Story::ready(patient());
    story.receive(id, moving(1, 60, Some(B)));
    story.events();
    demote(&mut story, id);
    assert!(story.events().is_empty(), "nothing else begins");
    story.run(SECOND);
    let (next, endpoint, _) = story.dial().expect("of the move");
    assert_eq!(endpoint.to_string(), B);
    demote(&mut story, id);
    story.run(SECOND);
    assert!(story.next_dial().is_none());
    story.accept(next, B, &Server::new());
    assert_eq!(story.pool.generation_in_use(ONLY), Some(next.generation));
}

#[test]
fn server_that_has_not_said_where_it_moves_is_not_replaced_either() {
    let mut config = patient();
    config.endpoint = "redis.example:6379".parse().unwrap();
    let (mut story, id) = Story::ready(config);
    story.receive(id, moving(1, 60, None));
    demote(&mut story, id);
    story.run(SECOND);
    assert!(story.next_dial().is_none());
}

#[test]
fn demotions_are_one_while_a_handoff_goes_on_and_none_on_predecessors() {
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
    assert!(story.next_dial().is_none(), "one is on its way");
    story.accept(next, A, &Server::new());
    story.run(SECOND * 11);
    story.receive(id, b"-READONLY no\r\n");
    assert!(story.next_dial().is_none(), "the one that says so is not in use any more");
    let ended = |event: &Event| matches!(event, Event::HandoffEnded { result: HandoffResult::Succeeded, .. });
    assert_eq!(story.events().iter().filter(|event| ended(event)).count(), 1);
}

#[test]
fn nothing_is_replaced_or_asked_for_while_shutting_down() {
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
