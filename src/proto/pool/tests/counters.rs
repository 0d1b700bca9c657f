//! What a pool counts and remembers: losses and their causes, bytes, holds, peers.

use super::story::*;
use super::*;

#[test]
fn loss_names_maintenance_while_it_lasts_a_move_for_longer() {
    for (push, seconds, laid_to) in [
        (opens("MIGRATING", 1, 10, "1"), 9, Some("MIGRATING")),
        (opens("MIGRATING", 1, 10, "1"), 10, None),
        (moving(1, 10, None), 14, Some("MOVING")),
        (moving(1, 10, None), 15, None),
    ] {
        let mut config = config();
        config.connection.command_timeout = SECOND * 60;
        let (mut story, id) = Story::ready(config);
        story.receive(id, &push);
        story.submit("a");
        story.written(id);
        story.run(SECOND * seconds);
        let id =
            ConnectionId { entry: ONLY, generation: story.pool.entries().active_generation(ONLY).unwrap() };
        story.close(id);
        let [(1, Failure::Lost { maintenance, .. })] = &story.delivered.failures[..] else {
            panic!("{push}: {:?}", story.delivered.failures)
        };
        assert_eq!(*maintenance, laid_to, "after {seconds} s");
    }
}

#[test]
fn longest_hold_is_reported() {
    let mut config = config();
    config.connection.command_timeout = SECOND * 60;
    let (mut story, mut id) = Story::ready(config);
    for (number, held) in [(2, 3), (3, 1)] {
        story.submit("before");
        story.written(id);
        let target = format!("10.0.0.{number}:6379");
        story.receive(id, moving(number, 2, Some(&target)));
        story.run(SECOND / 2);
        let next = story.dialed();
        story.accept(next, &target, &Server::new());
        story.submit("after");
        assert_eq!(story.written(next), "");
        story.wait(SECOND * held);
        story.receive(id, b"+before\r\n");
        assert_eq!(story.written(next), "after");
        story.receive(next, b"+after\r\n");
        id = next;
    }
    assert_eq!(story.pool.maintenance().hold_max, SECOND * 3);
}

#[test]
fn new_peer_replaces_the_least_recently_used_one() {
    let mut peers = super::super::peers::Peers::default();
    let peer = |number: u8| SocketAddr::from(([10, 1, 1, number], 6379));
    let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
    for number in 0..64 {
        peers.of(peer(number), at(number.into()));
    }
    peers.of(peer(0), at(100));
    peers.of(peer(64), at(101));
    let known = |number| peers.get(peer(number)).is_some();
    assert_eq!([0, 1, 2, 63, 64].map(known), [true, false, true, true, true]);
}

#[test]
fn bytes_of_closed_connections_are_counted() {
    let (mut story, id) = Story::ready(config());
    let before = story.pool.counters();
    assert!(before.bytes_received > 0 && before.bytes_sent > 0);
    story.close(id);
    let after = story.pool.counters();
    assert_eq!((after.bytes_received, after.bytes_sent), (before.bytes_received, before.bytes_sent));
}

#[test]
fn handoff_results_name_their_reason() {
    use crate::proto::maint::event::HandoffResult;
    assert!(HandoffResult::GaveUp("refused".into()).to_string().contains("refused"));
    for result in [HandoffResult::Succeeded, HandoffResult::Deadline, HandoffResult::BreakerOpen] {
        assert!(!result.to_string().is_empty(), "{}", result.name());
    }
}
