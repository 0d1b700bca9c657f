//! Timeouts while maintenance is announced: which commands get more time, how much, and when it is over.

use super::*;

const A: &str = "10.0.0.1:6379";
const B: &str = "10.0.0.2:6379";
const X: EntryId = EntryId(0);
const Y: EntryId = EntryId(1);

/// Two ready connections to one peer, without the events of their handshakes.
fn two() -> (Story, ConnectionId, ConnectionId) {
    let (mut story, ids) = Story::all_ready(config_of(2));
    story.events();
    (story, ids[0], ids[1])
}

/// After how long a command that is written now fails, and which maintenance its failure names.
fn timeout_now(story: &mut Story, entry: EntryId) -> (Duration, Option<&'static str>) {
    story.submit_to(entry, HandleId(0), "PATIENCE", 1);
    let generation = story.pool.entries().active_generation(entry).unwrap();
    let id = ConnectionId { entry, generation };
    assert_eq!(story.written(id), "PATIENCE");
    let (ticket, since) = (story.next_ticket, story.now);
    for _ in 0..100 {
        let at = story.pool.next_timeout().expect("a timeout");
        story.now = story.now.max(at);
        // Other bytes arrive: the connection is alive, only this reply is missing.
        assert!(story.receive(id, b">1\r\n+x\r\n"));
        story.wait(Duration::ZERO);
        if let Some((_, failure)) = story.delivered.failures.iter().find(|(failed, _)| *failed == ticket) {
            let Failure::TimedOut(timed_out) = failure else { panic!("{failure:?}") };
            assert_eq!(timed_out.outcome, Outcome::Ambiguous);
            let told = (story.now.since(since), timed_out.maintenance);
            assert!(story.receive(id, b"+late\r\n"));
            return told;
        }
    }
    panic!("its timer fires and it does not fail");
}

const NORMAL: (Duration, Option<&str>) = (SECOND, None);

#[test]
fn rt_inflight_and_queued_covered() {
    let mut config = config();
    config.connection.in_flight_max = 1;
    let (mut story, id) = Story::ready(config);
    story.submit("sent");
    story.submit("queued");
    assert_eq!(story.written(id), "sent");
    story.run(SECOND / 2);
    story.receive(id, opens("MIGRATING", 5, 2, "1"));
    story.run(SECOND * 7 / 2);
    assert_eq!(story.delivered.failed(), []);
    story.receive(id, b"+sent\r\n");
    assert_eq!(story.written(id), "queued");
    story.receive(id, b"+queued\r\n");
    assert_eq!(story.delivered.answered(), [1, 2]);

    // The relaxed timeout ends as well.
    story.submit("sent");
    story.submit("queued");
    assert_eq!(story.written(id), "sent");
    story.receive(id, opens("FAILING_OVER", 6, 20, "1"));
    story.run(Duration::from_millis(9_999));
    assert_eq!(story.delivered.failed(), []);
    story.run(Duration::from_millis(1));
    assert_eq!(story.delivered.failed(), [(4, Outcome::Unsent), (3, Outcome::Ambiguous)]);
    for (_, failure) in &story.delivered.failures {
        let Failure::TimedOut(timed_out) = failure else { panic!("{failure:?}") };
        assert_eq!((timed_out.after, timed_out.maintenance), (SECOND * 10, Some("FAILING_OVER")));
    }
}

#[test]
fn rt_idle_connection_opens_window() {
    let (mut story, told, untold) = two();
    story.run(SECOND * 100);
    assert!(story.receive(told, moving(1, 15, None)));
    story.run(SECOND);
    for id in [told, untold] {
        story.submit_to(id.entry, HandleId(0), "next", 1);
        assert_eq!(story.written(id), "next");
    }
    story.run(SECOND * 4);
    assert_eq!(story.delivered.failed(), []);
    for id in [told, untold] {
        assert!(story.receive(id, b"+next\r\n"));
    }
    assert_eq!(story.delivered.answered(), [1, 2]);
}

#[test]
fn connection_made_within_a_window_is_relaxed_from_its_dial() {
    let (mut story, told, other) = two();
    story.receive(told, opens("FAILING_OVER", 6, 20, "1"));
    story.close(other);
    let at = story.pool.next_timeout().unwrap();
    story.run(at.since(story.now));
    let (next, _, timeout) = story.dial().unwrap();
    assert_eq!((next.entry, timeout), (other.entry, SECOND * 10));
    story.run(SECOND * 5);
    assert!(story.connect(next, A));
    story.run(SECOND * 4);
    story.serve(next, &Server::new());
    assert_eq!(timeout_now(&mut story, other.entry).1, Some("FAILING_OVER"));
}

#[test]
fn entry_without_a_connection_is_relaxed_as_well() {
    let (mut story, told, other) = two();
    story.close(other);
    let dial = story.redial();
    story.receive(told, opens("FAILING_OVER", 6, 20, "1"));
    story.fail(dial, CloseReason::Dial("refused".into()));
    let at = story.pool.next_timeout().unwrap();
    story.run(at.since(story.now));
    let (_, _, timeout) = story.dial().unwrap();
    assert_eq!(timeout, SECOND * 10);
}

#[test]
fn failed_dials_within_a_window_do_not_end_it() {
    let (mut story, id) = Story::ready(config());
    story.receive(id, opens("FAILING_OVER", 6, 20, "1"));
    story.close(id);
    story.submit("a");
    let end = story.now.after(SECOND * 9);
    while story.now < end {
        let dial = story.redial();
        story.fail(dial, CloseReason::Dial("refused".into()));
    }
    assert_eq!(story.delivered.failed(), [], "it waits as long as with a connection");
    let next = story.redial();
    story.shake_hands(next);
    assert_eq!(story.written(next), "a");
}

#[test]
fn rt_lost_closer() {
    let (mut story, told, _) = two();
    story.receive(told, opens("MIGRATING", 5, 1000, "1"));
    story.run(SECOND * 40);
    assert_eq!(timeout_now(&mut story, Y), (SECOND * 10, Some("MIGRATING")));
    // At 50 s there are 10 s left. A command sent shortly before the end has until then, or its normal time.
    story.run(SECOND * 5);
    assert_eq!(timeout_now(&mut story, X), (SECOND * 5, Some("MIGRATING")));
    assert_eq!(story.pool.maintenance().windows_open, 0);
    assert_eq!([timeout_now(&mut story, X), timeout_now(&mut story, Y)], [NORMAL; 2], "there is no tail");
    assert_eq!(story.announced().len(), 1, "its end is not reported");
    // Its end arrives after all, and ends no window.
    story.receive(told, closes("MIGRATED", 6, "1"));
    assert_eq!(timeout_now(&mut story, X), NORMAL);
}

#[test]
fn announced_end_has_a_tail() {
    let (mut story, told, _) = two();
    story.receive(told, opens("MIGRATING", 5, 30, "1"));
    story.run(SECOND);
    story.receive(told, closes("MIGRATED", 6, "1"));
    assert_eq!(story.pool.maintenance().windows_open, 0);
    story.run(SECOND / 2);
    assert_eq!(timeout_now(&mut story, Y), (SECOND * 19 / 2, Some("MIGRATING")));
    assert_eq!(timeout_now(&mut story, X), NORMAL);
}

#[test]
fn failure_names_the_maintenance_that_still_runs() {
    let (mut story, told, _) = two();
    story.receive(told, opens("MIGRATING", 5, 50, "1"));
    story.receive(told, opens("FAILING_OVER", 6, 12, "1"));
    assert_eq!(timeout_now(&mut story, X), (SECOND * 10, Some("FAILING_OVER")));
    story.run(SECOND * 3);
    assert_eq!(timeout_now(&mut story, X), (SECOND * 10, Some("MIGRATING")));
}

#[test]
fn rt_stray_closer_noop() {
    let (mut story, told, _) = two();
    story.run(SECOND);
    story.receive(told, closes("FAILED_OVER", 3, "21"));
    assert_eq!(story.announced(), []);
    assert!(story.announcement().is_none(), "other shards need not hear of it");
    assert_eq!(story.pool.maintenance().windows_open, 0);
    assert_eq!(timeout_now(&mut story, X), NORMAL);
    story.receive(told, opens("FAILING_OVER", 4, 2, "21"));
    assert_eq!(story.pool.maintenance().windows_open, 1);
    assert_eq!(timeout_now(&mut story, Y), (SECOND * 10, Some("FAILING_OVER")));
    assert_eq!(story.announced().len(), 1);
}

#[test]
fn rt_stale_opener() {
    let (mut story, a, b) = two();
    story.receive(a, smigrated(19, &[[A, B, "1-5"]]));
    assert_eq!(story.announced().len(), 1, "only the end says where slots are");
    story.receive(b, smigrating(18, "1-5"));
    assert_eq!(story.announced(), []);
    let stats = story.pool.maintenance();
    assert_eq!((stats.windows_open, stats.stale, stats.notifications), (0, 1, 2));
    assert_eq!([timeout_now(&mut story, X), timeout_now(&mut story, Y)], [NORMAL; 2]);
    // The next opener is not stale.
    story.receive(b, smigrating(20, "1-5"));
    assert_eq!(timeout_now(&mut story, X), (SECOND * 10, Some("SMIGRATING")));
    // In the order in which they were sent, the first one is not stale either.
    let (mut story, a, b) = two();
    story.receive(b, smigrating(18, "1-5"));
    assert_eq!(story.pool.maintenance().windows_open, 1);
    story.receive(a, smigrated(19, &[[A, B, "1-5"]]));
    assert_eq!(story.pool.maintenance().windows_open, 0);
}

#[test]
fn window_outlives_its_connection_if_others_reported_it() {
    // (which connections read it, which one is lost, whether the other one stays relaxed)
    for (told, dies, relaxed) in
        [(&[0][..], 0, false), (&[0, 1], 0, true), (&[0, 1], 1, true), (&[1, 0, 1], 1, true)]
    {
        let (mut story, ids) = Story::all_ready(config_of(3));
        let opener = opens("MIGRATING", 5, 30, "1");
        for index in told {
            story.receive(ids[*index], &opener);
        }
        story.close(ids[dies]);
        let (_, maintenance) = timeout_now(&mut story, ids[2].entry);
        assert_eq!(maintenance.is_some(), relaxed, "{told:?} read it, {dies} is lost");
        assert_eq!(story.announced().len(), 1);
    }
}

#[test]
fn copy_after_the_end_opens_no_window() {
    let (mut story, a, b) = two();
    story.receive(a, opens("MIGRATING", 5, 30, "1"));
    story.receive(a, closes("MIGRATED", 6, "1"));
    story.run(SECOND * 10);
    story.receive(b, opens("MIGRATING", 5, 30, "1"));
    story.receive(b, closes("MIGRATED", 6, "1"));
    assert_eq!(story.pool.maintenance().windows_open, 0);
    assert_eq!(timeout_now(&mut story, Y), NORMAL);
}

#[test]
fn rt_post_handoff_window() {
    for target in [Some(B), None] {
        let mut config = config();
        config.endpoint = "redis.example:6379".parse().unwrap();
        let (mut story, old) = Story::ready(config);
        story.receive(old, moving(1, 30, target));
        if target.is_none() {
            story.run(SECOND * 15);
            story.resolve(&[A, B]);
        }
        story.run(SECOND);
        let (new, endpoint, timeout) = story.dial().unwrap();
        assert_eq!(endpoint.to_string(), B);
        assert!(timeout >= SECOND * 14, "{timeout:?}");
        // The dial, and each step of the handshake, may take longer than normally.
        story.run(SECOND * 3);
        assert!(story.connect(new, B));
        for replies in [HELLO_OK, SETTINGS_OK] {
            assert!(!story.written(new).is_empty());
            story.run(SECOND * 3);
            assert!(story.receive(new, replies), "at {:?}", story.now);
        }
        assert_eq!(story.pool.entries().active_generation(ONLY), Some(new.generation));
        // From here on it is relaxed for 20 s.
        story.run(SECOND * 5);
        assert_eq!(timeout_now(&mut story, ONLY), (SECOND * 10, Some("MOVING")));
        assert_eq!(timeout_now(&mut story, ONLY), (SECOND * 5, Some("MOVING")), "until the end");
        assert_eq!(timeout_now(&mut story, ONLY), NORMAL);
    }
}

#[test]
fn connection_lost_soon_after_a_handoff_is_dialed_relaxed() {
    let (mut story, old) = Story::ready(config());
    story.receive(old, moving(1, 2, Some(B)));
    story.run(SECOND);
    let new = story.dialed();
    story.accept(new, B, &Server::new());
    // The window of the move is over by then.
    story.run(SECOND * 12);
    assert_eq!(story.pool.maintenance().windows_open, 0);
    story.close(new);
    story.run(SECOND / 20);
    let (_, _, timeout) = story.dial().expect("a dial");
    assert_eq!(timeout, SECOND * 10);
}

/// The next connection has read no announcement yet.
#[test]
fn queued_command_keeps_the_relaxed_timeout_of_the_lost_one() {
    let (mut story, id) = Story::ready(config());
    story.receive(id, opens("MIGRATING", 1, 30, "1"));
    story.close(id);
    let next = story.redial();
    story.submit("a");
    assert!(story.pool.connection(next).poll_transmit(story.now).is_some());
    let submitted = story.now;
    while story.delivered.failures.is_empty() {
        let at = story.pool.next_timeout().expect("a timeout");
        story.wait(at.since(story.now));
    }
    assert_eq!(story.now.since(submitted), SECOND * 10);
}

#[test]
fn successor_that_takes_over_early_is_relaxed_as_well() {
    let (mut story, old) = Story::ready(config());
    // The window of the move is over soon.
    story.pool.parts.ctx.config.maint.window_max = SECOND;
    story.receive(old, moving(1, 15, Some(B)));
    story.run(SECOND);
    let new = story.dialed();
    story.close(old);
    story.submit("a");
    story.run(SECOND * 5);
    assert_eq!(story.delivered.failed(), []);
    story.accept(new, B, &Server::new());
    assert_eq!(story.delivered.answered(), [1]);
    assert_eq!(timeout_now(&mut story, ONLY), (SECOND * 10, Some("MOVING")));
}

#[test]
fn late_close_is_attributed_to_the_move() {
    for (closes_at, moved, maintenance) in [
        (9, false, Some("MOVING")),
        (17, false, Some("MOVING")),
        (17, true, Some("MOVING")),
        (21, false, None),
    ] {
        let mut config = config();
        config.connection.command_timeout = SECOND * 20;
        let (mut story, old) = Story::ready(config);
        story.receive(old, moving(1, 15, Some(B)));
        story.run(SECOND * 2);
        story.submit("a");
        assert_eq!(story.written(old), "a");
        if moved {
            let new = story.dialed();
            story.accept(new, B, &Server::new());
        }
        story.run(SECOND * (closes_at - 2));
        story.close(old);
        let [(1, Failure::Lost { maintenance: told, .. })] = &story.delivered.failures[..] else {
            panic!("{:?}", story.delivered.failures)
        };
        assert_eq!(*told, maintenance, "at {closes_at}, moved: {moved}");
        assert_eq!(story.pool.maintenance().orphaned, u64::from(maintenance.is_some()));
    }
}

#[test]
fn rt_user_deadline_wins() {
    let mut config = config();
    config.connection.in_flight_max = 1;
    let (mut story, id) = Story::ready(config);
    story.receive(id, opens("MIGRATING", 5, 30, "1"));
    let after = Duration::from_millis(500);
    for text in ["sent", "queued"] {
        let position = story.submit(text);
        let ticket = Ticket(story.next_ticket);
        story.pool.set_deadline(ONLY, position, ticket, after, story.now);
    }
    assert_eq!(story.written(id), "sent");
    story.submit("patient");
    story.run(Duration::from_millis(499));
    assert_eq!(story.delivered.failed(), []);
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(Duration::from_millis(1))));
    story.run(Duration::from_millis(1));
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous), (2, Outcome::Unsent)]);
    for (_, failure) in &story.delivered.failures {
        let Failure::TimedOut(timed_out) = failure else { panic!("{failure:?}") };
        assert_eq!((timed_out.after, timed_out.maintenance), (after, Some("MIGRATING")));
    }
    story.receive(id, b"+sent\r\n");
    assert_eq!(story.written(id), "patient", "the other one was given up");
    story.receive(id, b"+patient\r\n");
    assert_eq!(story.delivered.answered(), [3]);
}

#[test]
fn unlimited_timeout_stays_unlimited_within_a_window() {
    let mut config = config();
    config.connection.command_timeout = Duration::MAX;
    config.connection.in_flight_max = 1;
    let (mut story, id) = Story::ready(config);
    story.submit("sent");
    story.submit("queued");
    assert_eq!(story.written(id), "sent");
    assert_eq!(story.pool.next_timeout(), None);
    story.receive(id, opens("MIGRATING", 5, 30, "1"));
    story.run(SECOND * 3600);
    assert_eq!(story.delivered.failed(), []);
    story.receive(id, b"+sent\r\n");
    assert_eq!(story.written(id), "queued");
    story.receive(id, b"+queued\r\n");
    assert_eq!(story.delivered.answered(), [1, 2]);
}
