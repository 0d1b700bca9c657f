//! Servers that send too much: floods of pushes, and endless replies.

use super::story::*;
use super::*;

const USELESS: &str = ">2\r\n+useless\r\n:1\r\n";

#[test]
fn push_flood_closes_and_is_redialed_later_each_time() {
    let mut waits = Vec::new();
    let (mut story, mut id) = Story::ready(config());
    for _ in 0..6 {
        // The connection was stable before.
        story.run(SECOND * 2);
        let mut sent = 0;
        while story.pool.connection(id).is_alive() {
            story.receive(id, USELESS.repeat(100).as_bytes());
            sent += 100;
            assert!(sent <= 5_100 + 2_000, "{sent} pushes");
        }
        assert!(sent > 5_000, "{sent} pushes");
        assert!(matches!(*story.closed().unwrap(), CloseReason::PushFlood(5_000..)));
        let lost = story.now;
        id = story.redial();
        waits.push(story.now.since(lost));
        story.shake_hands(id);
    }
    let events = story.events();
    let floods =
        events.iter().filter(|event| matches!(event, Event::Flooded { peer: Some(_), pushes: 5_000.. }));
    assert_eq!((floods.count(), story.pool.counters().floods), (6, 6));
    let (first, last): (Duration, Duration) = (waits[..3].iter().sum(), waits[3..].iter().sum());
    assert!(last > first * 2, "{waits:?}");
}

#[test]
fn sc_endless_reply_ends() {
    // Alone, and with every announcement that relaxes timeouts.
    for more in ["", &opens("MIGRATING", 0, 3600, "1")] {
        let mut config = config();
        config.connection.reply_time_max = SECOND * 20;
        config.connection.limits.elements = 1_000_000;
        let (mut story, id) = Story::ready(config);
        story.submit("GET");
        story.written(id);
        story.receive(id, more.as_bytes());
        story.receive(id, b"*?\r\n");
        let begin = story.now;
        while story.pool.connection(id).is_alive() {
            story.receive(id, b":1\r\n");
            story.run(Duration::from_millis(100));
            assert!(story.now.since(begin) <= SECOND * 21, "the connection stays open");
        }
        assert!(story.now.since(begin) >= SECOND * 20, "{more:?}");
        // The caller got its error long before.
        assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
        assert!(story.closed().unwrap().to_string().contains("reply_time_max"));
    }
    // The memory of a frame is bounded, whatever it consists of.
    let mut config = config();
    config.connection.limits.elements = 1_000;
    let (mut story, id) = Story::ready(config);
    story.submit("GET");
    story.written(id);
    story.receive(id, b"*?\r\n");
    for _ in 0..1_001 {
        story.receive(id, b":1\r\n");
    }
    assert!(!story.pool.connection(id).is_alive());
}

#[test]
fn unbroken_stream_of_timely_replies_is_allowed() {
    let mut config = config();
    config.connection.reply_time_max = SECOND;
    let (mut story, id) = Story::ready(config);
    for _ in 0..10 {
        story.submit("GET");
        story.written(id);
        // The end of each reply comes with the beginning of the next.
        story.receive(id, b"$3\r\nab");
        story.run(Duration::from_millis(900));
        story.submit("GET");
        story.written(id);
        story.receive(id, b"c\r\n$3\r\nab");
        story.run(Duration::from_millis(900));
        story.receive(id, b"c\r\n");
        story.run(SECOND * 5);
        assert!(story.pool.connection(id).is_alive());
    }
    assert_eq!(story.delivered.replies.len(), 20);
}

#[test]
fn sc_deadline_kept_in_flood() {
    // Pushes that only relax timeouts, malformed ones, and a reply that does not end.
    for flood in [">3\r\n+MIGRATING\r\n:1\r\n:2\r\n", USELESS, "*?\r\n:1\r\n"] {
        let (mut story, id) = Story::ready(config());
        let position = story.submit("GET");
        story.pool.set_deadline(ONLY, position, Ticket(1), Duration::from_millis(300), story.now);
        story.written(id);
        let mut spent = 0;
        // Just slow enough not to be closed; the driver asks for the timer between two reads.
        while story.delivered.failures.is_empty() {
            story
                .receive(id, if spent == 0 || !flood.starts_with('*') { flood } else { ":1\r\n" }.as_bytes());
            story.run(Duration::from_millis(10));
            spent += 10;
            assert!(spent <= 310, "{flood:?}");
        }
        assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
        assert!(spent >= 300 && story.pool.connection(id).is_alive(), "{flood:?}: {spent} ms");
    }
}
