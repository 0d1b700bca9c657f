//! Events: which are reported, and how often.

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
        // Three copies for each connection, the second time for all together.
        for id in ids.iter().flat_map(|id| [*id; 2]).chain(ids.iter().copied()) {
            assert!(story.receive(id, &push));
        }
        let stats = story.pool.maintenance();
        assert_eq!((stats.notifications, stats.duplicates), (60, 59), "{push:?}");
        assert_eq!((stats.stale, stats.conflicts, stats.malformed), (0, 0, 0));
        assert_eq!(story.announced().len(), 1, "{push:?}");
        let told = story.announcement().expect("a message to the other shards");
        assert!(story.announcement().is_none(), "once");

        // The other shards report it as well; the copies of their own connections are known.
        let (mut other, ids) = Story::all_ready(config_of(2));
        other.events();
        other.pool.handle_announcement(told.clone(), other.now, &mut other.delivered);
        let relaxed = other.pool.maintenance().windows_open;
        assert_eq!(relaxed, story.pool.maintenance().windows_open);
        let before = other.announced().len();
        other.pool.handle_announcement(told, other.now, &mut other.delivered);
        for id in ids {
            other.receive(id, &push);
        }
        assert!(other.announcement().is_none(), "it is not passed on again");
        assert_eq!((before, other.announced().len()), (1, 0));
    }
}

/// Connects all that is dialed at the same moment; returns how many asked for notifications.
fn connect_all(story: &mut Story, server: &Server) -> (Vec<ConnectionId>, usize) {
    let ids: Vec<_> = std::iter::from_fn(|| story.next_dial()).collect();
    for id in &ids {
        story.connect(*id, "10.0.0.1:6379");
    }
    let said = story.serve_all(&ids, server);
    let asked = said.iter().filter(|command| command.contains("MAINT_NOTIFICATIONS")).count();
    (ids, asked)
}

#[test]
fn ob_quiet_on_oss_redis() {
    let server = Server::without_maint();
    let mut story = Story::new(config_of(100));
    let (mut ids, asked) = connect_all(&mut story, &server);
    assert_eq!((asked, story.pool.entries().ready()), (1, (100, 100)));
    let mut events = story.events();
    // All connections are lost and made again from time to time.
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

#[test]
fn unreadable_pushes_are_counted_and_cost_no_reply() {
    let (mut story, id) = Story::ready(config());
    let oversized = format!(">2\r\n$7\r\nmessage\r\n${}\r\n{}\r\n", 2 << 20, "x".repeat(2 << 20));
    let nested = ">4\r\n$6\r\nMOVING\r\n*1\r\n:1\r\n:15\r\n_\r\n";
    let bad_slots = smigrating(1, "1,5-3,99999, 7-9,x");
    for push in [oversized.as_str(), nested, bad_slots.as_str()] {
        story.submit("a");
        story.submit("b");
        story.written(id);
        assert!(story.receive(id, format!("+a\r\n{push}+b\r\n")));
    }
    assert_eq!(story.delivered.answered(), [1, 2, 3, 4, 5, 6]);
    let stats = story.pool.maintenance();
    assert_eq!((stats.oversized, stats.malformed, stats.notifications), (1, 1 + 3, 1));
}

/// A well-formed push with a random meaning.
fn any_push(random: &mut fastrand::Rng) -> String {
    let target = |random: &mut fastrand::Rng| match random.u32(..10) {
        0 => "".to_owned(),
        1 => "db.example:6379".to_owned(),
        _ => format!("10.0.0.{}:6379", random.u32(1..200)),
    };
    let seq = match random.u32(..20) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => random.i64(-2..100),
    };
    let time = [-3, 0, 1, 2, 15, 100][random.usize(..6)];
    let shard = random.u32(..5).to_string();
    match random.u32(..9) {
        0 => moving(seq, time, None),
        1 => moving(seq, time, Some(&target(random))),
        2 => moving(seq, time, Some("10.0.0.1:6379")),
        3 => opens("MIGRATING", seq, time, &shard),
        4 => closes("MIGRATED", seq, &shard),
        5 => opens("FAILING_OVER", seq, time, &shard),
        6 => closes("FAILED_OVER", seq, &shard),
        7 => smigrating(seq, "1-5"),
        _ => smigrated(seq, &[[&target(random), &target(random), "1-5"]]),
    }
}

#[test]
fn random_pushes_resolve_commands_once_and_counters_agree() {
    let mut begun = 0;
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut config = PoolConfig { seed, ..config_of(4) };
        if random.bool() {
            config.endpoint = "redis.example:6379".parse().unwrap();
        }
        let mut story = Story::new(config);
        let (server, mut live) = (Server::new(), Vec::new());
        for _ in 0..1000 {
            let text = format!("w{}", story.next_ticket + 1);
            match random.u32(..10) {
                0..3 => {
                    let entry = EntryId(random.u32(..4));
                    story.submit_to(entry, HandleId(random.u32(..3)), &text, 1);
                }
                3..5 => {
                    if let Some((id, endpoint, _)) = story.dial() {
                        let peer = endpoint.socket_addr().unwrap_or(PEER.unwrap());
                        match random.u32(..4) {
                            0 => story.fail(id, CloseReason::Dial("refused".into())),
                            _ if story.pool.connection(id).handle_connected(Some(peer), None, story.now) => {
                                live.push(id)
                            }
                            _ => {}
                        }
                    }
                }
                5 => {
                    let time = Duration::from_millis(random.u64(..2000));
                    story.run(time);
                }
                6 => {
                    if let Some(lookup) = story.lookup() {
                        let addresses = (1..random.u16(1..4)).map(|port| ([10, 0, 0, 1], 6378 + port).into());
                        story.pool.handle_resolved(
                            lookup,
                            Ok(addresses.collect()),
                            story.now,
                            &mut story.delivered,
                        );
                    }
                }
                _ if live.is_empty() => {}
                7 => {
                    let id = live[random.usize(..live.len())];
                    let push = any_push(&mut random);
                    story.receive(id, push);
                }
                _ => {
                    let id = live[random.usize(..live.len())];
                    story.serve(id, &server);
                }
            }
            live.retain(|id| story.pool.connection(*id).is_alive());
        }
        // Nothing is announced any more: everything must settle.
        for _ in 0..200 {
            while let Some((id, endpoint, _)) = story.dial() {
                let peer = endpoint.socket_addr().unwrap_or(PEER.unwrap());
                if story.pool.connection(id).handle_connected(Some(peer), None, story.now) {
                    live.push(id);
                }
            }
            for id in live.clone() {
                story.serve(id, &server);
            }
            story.run(SECOND);
        }
        let stats = story.pool.maintenance();
        let left = (stats.windows_open, stats.permits_in_use, stats.handoffs_queued, stats.draining);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}");
        assert_eq!(
            (story.pool.entries().ready(), story.pool.entries().depth()),
            ((4, 4), (0, 0)),
            "seed {seed}"
        );
        for (ticket, frame) in &story.delivered.replies {
            assert_eq!(*frame, Frame::Simple(format!("w{ticket}").into()), "seed {seed}");
        }
        let mut resolved = story.delivered.answered();
        resolved.extend(story.delivered.failed().iter().map(|(ticket, _)| *ticket));
        resolved.sort_unstable();
        assert_eq!(resolved, (1..=story.next_ticket).collect::<Vec<_>>(), "seed {seed}: each ticket once");
        assert_eq!(
            handoffs(&story.events()),
            (stats.handoffs_started, stats.handoffs_started),
            "seed {seed}"
        );
        begun += stats.handoffs_started;
    }
    assert!(begun > 100, "{begun} handoffs: too few to prove anything");
}

/// How many handoffs were begun, and how many of these ended.
fn handoffs(events: &[Event]) -> (u64, u64) {
    let (mut started, mut ended) = (0, 0);
    for event in events {
        match event {
            Event::HandoffStarted { .. } => started += 1,
            // A handoff whose target was never dialed was not begun.
            Event::HandoffEnded { attempts: 1.., .. } => ended += 1,
            _ => {}
        }
    }
    (started, ended)
}
