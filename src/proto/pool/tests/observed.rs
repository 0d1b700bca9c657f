//! What those who watch are told, and how often.

use super::*;

#[test]
fn ob_one_event() {
    for push in [
        moving(0, 15, Some("10.0.0.2:6379")),
        moving(0, 15, None),
        opens("MIGRATING", 0, 2, "27"),
        opens("FAILING_OVER", 0, 2, "21"),
        smigrating(0, "1-5"),
        smigrated(0, &[["10.0.0.1:6379", "10.0.0.2:6379", "1-5"]]),
    ] {
        let (mut story, ids) = Story::all_ready(config_of(20));
        story.events();
        // Three to each connection, the second time all are told together.
        for id in ids.iter().flat_map(|id| [*id; 2]).chain(ids.iter().copied()) {
            assert!(story.receive(id, &push));
        }
        let stats = story.pool.maintenance();
        assert_eq!((stats.notifications, stats.duplicates), (60, 59), "{push:?}");
        assert_eq!((stats.stale, stats.conflicts, stats.malformed), (0, 0, 0));
        assert_eq!(story.announced().len(), 1, "{push:?}");
        let told = story.announcement().expect("the other shards are told");
        assert!(story.announcement().is_none(), "once");

        // They tell their watchers nothing, and what their own connections read is known to them.
        let (mut other, ids) = Story::all_ready(config_of(2));
        other.events();
        other.pool.handle_announcement(told.clone(), other.now);
        let relaxed = other.pool.maintenance().windows_open;
        assert_eq!(relaxed, story.pool.maintenance().windows_open);
        let before = other.announced().len();
        other.pool.handle_announcement(told, other.now);
        for id in ids {
            other.receive(id, &push);
        }
        assert!(other.announcement().is_none(), "nor do they pass it on");
        assert_eq!((before, other.announced().len()), (1, 0));
    }
}

/// Connects whatever is dialed, all at the same moment, and says how many have asked for notifications.
fn connect_all(story: &mut Story, server: &Server) -> (Vec<ConnectionId>, usize) {
    let ids: Vec<_> = std::iter::from_fn(|| story.next_dial()).collect();
    for id in &ids {
        story.connect(*id, "10.0.0.1:6379");
    }
    let mut asked = 0;
    loop {
        let said: Vec<_> = ids.iter().flat_map(|id| story.serve(*id, server)).collect();
        if said.is_empty() {
            return (ids, asked);
        }
        asked += said.iter().filter(|command| command.contains("MAINT_NOTIFICATIONS")).count();
    }
}

#[test]
fn ob_quiet_on_oss_redis() {
    let server = Server::without_maint();
    let mut story = Story::new(config_of(100));
    let (mut ids, asked) = connect_all(&mut story, &server);
    assert_eq!((asked, story.pool.ready()), (1, (100, 100)));
    let mut events = story.events();
    // All are lost, and connect again, from time to time.
    for (wait, expected) in [(0, 0), (30, 0), (29, 0), (2, 1), (0, 0), (58, 0), (2, 1)] {
        story.run(SECOND * wait);
        ids.into_iter().for_each(|id| story.close(id));
        story.run(SECOND / 10);
        let (again, asked) = connect_all(&mut story, &server);
        assert_eq!((again.len(), asked), (100, expected), "{wait} s later");
        ids = again;
        events.extend(story.events());
    }
    let told: Vec<_> = events.iter().filter(|event| matches!(event, Event::NotOffered { .. })).collect();
    assert!(matches!(told[..], [Event::NotOffered { denied: false, .. }]), "{told:?}");
    assert_eq!(story.pool.maintenance().refused, 3);
}
