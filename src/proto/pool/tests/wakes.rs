//! Wake-ups: a connection is woken when it has something to write that no submission caused.

use super::story::*;
use super::*;
use crate::proto::connection::Credentials;

const OTHER: &str = "10.0.0.2:6379";

/// Drops the actions so far.
fn forget(story: &mut Story) {
    while story.action(|_| Some(())).is_some() {}
}

/// Whether this connection was woken since the last call.
fn is_woken(story: &mut Story, id: ConnectionId) -> bool {
    let woken = |action: &Action| matches!(action, Action::Wake { id: woken } if *woken == id).then_some(());
    let is_woken = story.action(woken).is_some();
    while story.action(woken).is_some() {}
    is_woken
}

/// A connection that has replies outstanding to two handles, and its successor, which took over.
fn cut_over() -> (Story, ConnectionId, ConnectionId) {
    let mut config = config();
    config.connection.command_timeout = SECOND * 60;
    let (mut story, old) = Story::ready(config);
    story.submit_to(ONLY, HandleId(1), "a1", 1);
    story.submit_to(ONLY, HandleId(2), "b1", 1);
    story.written(old);
    story.receive(old, moving(1, 2, Some(OTHER)));
    story.run(SECOND);
    let new = story.dialed();
    story.accept(new, OTHER, &Server::new());
    story.submit_to(ONLY, HandleId(1), "a2", 1);
    story.submit_to(ONLY, HandleId(2), "b2", 1);
    assert_eq!(story.written(new), "", "both wait for replies on the predecessor");
    forget(&mut story);
    (story, old, new)
}

#[test]
fn held_command_goes_with_the_last_reply_of_its_handle() {
    let (mut story, old, new) = cut_over();
    story.receive(old, b"+a1\r\n");
    assert!(is_woken(&mut story, new));
    assert_eq!(story.written(new), "a2", "the other handle still waits");
    story.receive(old, b"+b1\r\n");
    assert!(is_woken(&mut story, new));
    assert_eq!(story.written(new), "b2");
}

#[test]
fn held_commands_go_when_the_predecessor_is_lost() {
    let (mut story, old, new) = cut_over();
    story.close(old);
    assert!(is_woken(&mut story, new));
    assert_eq!(story.written(new), "a2 b2");
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous), (2, Outcome::Ambiguous)]);
}

#[test]
fn held_commands_go_when_the_predecessor_is_given_up() {
    let (mut story, old, new) = cut_over();
    // A grace period of 2 s, and 5 s more in which servers close late.
    story.run(SECOND * 7);
    assert!(!story.pool.connection(old).is_alive());
    assert!(is_woken(&mut story, new));
    assert_eq!(story.written(new), "a2 b2");
}

#[test]
fn predecessor_that_holds_nothing_wakes_nothing() {
    let (mut story, old, new) = cut_over();
    story.receive(old, b"+a1\r\n");
    story.written(new);
    story.receive(new, b"+a2\r\n");
    forget(&mut story);
    story.receive(old, b"+b1\r\n");
    story.written(new);
    forget(&mut story);
    story.submit_to(ONLY, HandleId(3), "c", 1);
    assert_eq!(story.written(new), "c");
    assert!(!is_woken(&mut story, new));
}

#[test]
fn idle_connection_is_woken_for_its_ping() {
    let mut config = config();
    config.connection.idle_ping = SECOND * 30;
    let (mut story, id) = Story::ready(config);
    forget(&mut story);
    story.wait(SECOND * 29);
    assert!(!is_woken(&mut story, id));
    story.wait(SECOND);
    assert!(is_woken(&mut story, id));
    assert_eq!(story.written(id), "PING");
}

#[test]
fn connection_is_woken_for_its_login_and_its_opt_in() {
    let (mut story, id) = Story::ready(config());
    forget(&mut story);
    story.pool.renew(Credentials::password("new"), story.now);
    assert!(is_woken(&mut story, id));
    assert_eq!(story.written(id), "AUTH new");

    let mut story = Story::new(config_of(2));
    let (one, other) = (story.dialed(), story.dialed());
    for id in [one, other] {
        assert!(story.connect(id, OTHER));
        story.written(id);
        story.receive(id, HELLO_OK);
    }
    forget(&mut story);
    assert_eq!(story.written(other), "", "it waits for the answer to the first");
    story.written(one);
    story.receive(one, SETTINGS_OK);
    assert!(is_woken(&mut story, other));
    assert!(story.written(other).contains("MAINT_NOTIFICATIONS"));
}

#[test]
fn renewal_without_a_connection_is_over_at_once() {
    let mut story = Story::new(config());
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!(*story.pool.renewal(), Renewal::Done);
    assert_eq!(story.events(), [Event::CredentialsRenewed]);
}

/// The old connection may never answer: only active connections count.
#[test]
fn renewal_ends_when_a_successor_with_it_takes_over() {
    let (mut story, old) = Story::ready(config());
    story.receive(old, moving(1, 2, Some(OTHER)));
    story.run(SECOND);
    let new = story.dialed();
    assert!(story.pool.connection(new).is_successor() && !story.pool.connection(old).is_successor());
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!(story.written(old), "AUTH new");
    assert!(matches!(story.pool.renewal(), Renewal::UnderWay { .. }));
    let said = story.accept(new, OTHER, &Server::new());
    assert!(said[0].starts_with("HELLO 3 AUTH default new"), "{said:?}");
    assert_eq!(*story.pool.renewal(), Renewal::Done);
    assert_eq!(story.events().iter().filter(|event| **event == Event::CredentialsRenewed).count(), 1);
}

/// Both are for the driver's main task, which nothing else wakes.
#[test]
fn pool_with_actions_or_events_says_so() {
    let (mut story, id) = Story::ready(config());
    forget(&mut story);
    story.events();
    assert!(!story.pool.has_actions());
    story.receive(id, opens("MIGRATING", 1, 2, "1"));
    assert!(story.pool.has_actions());
    forget(&mut story);
    assert!(story.pool.has_actions(), "the event has to be polled");
    story.events();
    assert!(!story.pool.has_actions());
    story.pool.renew(Credentials::password("new"), story.now);
    story.events();
    assert!(story.pool.has_actions(), "the action has to be polled");
}
