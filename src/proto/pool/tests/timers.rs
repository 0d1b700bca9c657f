//! Timers: the pool asks for a timeout for everything that has to happen at some time.

use super::story::*;
use super::*;
use crate::proto::connection::Credentials;

/// The driver of a connection that is being dialed stamps the commands that are submitted meanwhile.
#[test]
fn queued_command_has_a_timer_before_any_connection() {
    let mut story = Story::new(config());
    let id = story.dialed();
    story.submit("a");
    assert!(story.pool.connection(id).poll_transmit(story.now).is_some());
    assert_eq!(
        story.pool.next_timeout(),
        Some(story.now.after(SECOND)),
        "long before the timeout of the dial"
    );
    assert_eq!(story.next_timeout_of(ONLY), story.pool.next_timeout());
    story.fail(id, CloseReason::Dial("refused".into()));
    let redial = story.redial();
    story.run(SECOND);
    assert_eq!(story.delivered.failed(), [(1, Outcome::Unsent)]);
    assert!(story.pool.connection(redial).is_alive());
}

#[test]
fn written_command_has_a_timer_of_its_entry() {
    let (mut story, id) = Story::ready(config());
    assert_eq!(story.next_timeout_of(ONLY), None);
    story.submit("a");
    story.written(id);
    assert_eq!(story.next_timeout_of(ONLY), Some(story.now.after(SECOND)));
    assert_eq!(story.pool.next_timeout(), story.next_timeout_of(ONLY));
}

#[test]
fn end_of_a_shutdown_has_a_timer() {
    let mut config = config();
    config.connection.command_timeout = SECOND * 60;
    let (mut story, id) = Story::ready(config);
    story.submit("a");
    story.written(id);
    let until = story.now.after(SECOND * 3);
    story.pool.shut_down(story.now, until, &mut story.delivered);
    assert_eq!(story.pool.next_timeout(), Some(until));
    story.pool.shut_down(story.now, until.after(SECOND), &mut story.delivered);
    assert_eq!(story.pool.next_timeout(), Some(until), "a later call does not extend it");
    story.pool.shut_down(story.now, story.now.after(SECOND), &mut story.delivered);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)));
}

#[test]
fn deadline_of_one_call_has_a_timer_until_it_is_cleared() {
    let (mut story, id) = Story::ready(config());
    let position = story.submit("a");
    let soon = SECOND / 100;
    let deadline = story.pool.set_deadline(ONLY, position, Ticket(1), soon, story.now);
    story.written(id);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(soon)));
    story.pool.clear_deadline(deadline);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)));
    story.wait(soon);
    assert!(story.delivered.failures.is_empty());
}

/// A connection that was lost before the shutdown is dialed again only for a command that waits.
#[test]
fn shutdown_stops_dialing_once_nothing_waits() {
    let mut config = config_of(2);
    config.connection.command_timeout = SECOND;
    config.backoff_first = SECOND * 100;
    config.backoff_max = SECOND * 100;
    let (mut story, ids) = Story::all_ready(config);
    story.submit_to(ids[0].entry, HandleId(0), "slow", 1);
    let patience = story.pool.set_deadline(ids[0].entry, Position(0), Ticket(1), SECOND * 3600, story.now);
    story.written(ids[0]);
    story.close(ids[1]);
    let waiting = story.submit_to(ids[1].entry, HandleId(0), "waits", 1);
    story.pool.shut_down(story.now, story.now.after(SECOND * 3000), &mut story.delivered);
    assert!(story.next_dial().is_none());
    story.pool.abandon(ids[1].entry, waiting);
    // Replies on the other connection keep the pool open past the time of the redial.
    for _ in 0..400 {
        story.wait(SECOND / 2);
        story.receive(ids[0], b">1\r\n+alive\r\n");
    }
    assert!(story.next_dial().is_none(), "nothing waits for it");
    story.pool.clear_deadline(patience);
}

#[test]
fn awaited_login_has_a_timer() {
    let (mut story, id) = Story::ready(config());
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!(story.written(id), "AUTH new");
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND)), "silence closes the connection");
}
