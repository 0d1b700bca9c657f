//! Many connections, many copies, many shards: which shards hear of it, how many dial at once, and that all arrive.

use super::*;
use crate::proto::maint::queue::HandoffLimits;

#[test]
fn mv_idle_unread_connections_move() {
    let mut world = World::of(50);
    world.push_on((17, 1), &moving_to(0, 15, B));
    world.run(SECOND * 14);
    assert!(world.all_at(B));
    assert!(world.connected_to(A).is_empty(), "idle connections close at once");
    assert_eq!((world.dials.len(), world.pool.counters().lost), (50, 0));
    assert_eq!(world.take_results(), ["ok"; 50]);
}

#[test]
fn mv_cross_core_broadcast() {
    let shard = |seed| World::ready(PoolConfig { seed, ..config_of(3) });
    let mut shards: Vec<World> = (0..16).map(shard).collect();
    shards[3].push_on((1, 1), &moving_to(0, 15, B));
    shards[3].run(ms(0));
    let messages = std::mem::take(&mut shards[3].announcements);
    assert_eq!(messages.len(), 1, "one message, however many connections");
    for (index, shard) in shards.iter_mut().enumerate() {
        if index != 3 {
            shard.pool.handle_announcement(messages[0].clone(), shard.now, &mut shard.outcomes);
        }
        shard.run(SECOND * 5);
        assert!(shard.all_at(B) && shard.dials.len() == 3, "shard {index}");
        assert!(shard.announcements.is_empty(), "shard {index} repeats the message");
        assert_eq!(shard.announced(), 1);
    }
    // Their first dials do not happen at the same moment.
    let mut first: Vec<_> = shards.iter().map(|shard| shard.dials[0].at).collect();
    first.sort_unstable();
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]) && first[15].since(first[0]) < SECOND);
    // A message that arrives again is no new one.
    for shard in &mut shards {
        shard.pool.handle_announcement(messages[0].clone(), shard.now, &mut shard.outcomes);
        shard.run(SECOND * 5);
        assert_eq!((shard.announced(), shard.dials.len()), (1, 3));
    }
}

/// How many items a pool holds.
fn size(pool: &Pool) -> usize {
    format!("{pool:#?}").lines().count()
}

#[test]
fn mv_storm_1000() {
    let permits = HandoffLimits::derive(500, None, None).workers;
    let mut shards = [World::of(500), World::of(500)];
    let mut sizes = Vec::new();
    for (round, (from, to)) in (0..).zip([(A, B), (B, A), (A, B), (B, A)]) {
        let start = shards[0].now;
        for shard in &mut shards {
            shard.dials.clear();
            shard.events.clear();
            // Every connection reads three copies, new ones another, and the other shard hears of it once one has
            // read it.
            shard.server(from).with_opt_in = moving_to(round, 15, to);
            shard.server(to).with_opt_in.clear();
            for _ in 0..3 {
                shard.push(from, &moving_to(round, 15, to));
            }
        }
        shards[0].run(ms(0));
        let messages = std::mem::take(&mut shards[0].announcements);
        assert_eq!(messages.len(), 1);
        let now = shards[1].now;
        shards[1].pool.handle_announcement(messages[0].clone(), now, &mut shards[1].outcomes);
        for shard in &mut shards {
            shard.run_until(start, SECOND * 14);
            assert_eq!((shard.announced(), shard.dials.len()), (1, 500), "round {round}");
            assert!(shard.all_at(to) && shard.most_in_progress <= permits, "{}", shard.most_in_progress);
            assert!(shard.connected_to(from).is_empty());
            let stats = shard.pool.maintenance();
            assert_eq!((stats.permits_in_use, stats.handoffs_queued, stats.draining), (0, 0, 0));
            assert_eq!(stats.permits_in_use_max, permits);
            shard.run_until(start, SECOND * 150);
            assert_eq!(shard.pool.maintenance().windows_open, 0);
        }
        assert!(shards[1].announcements.is_empty(), "it had been told");
        sizes.push((size(&shards[0].pool), size(&shards[1].pool)));
        let stats = shards[1].pool.maintenance();
        assert_eq!(stats.duplicates, stats.notifications, "all of its own copies came after the message");
    }
    assert_eq!(sizes[1], sizes[3], "a storm leaves nothing behind");
}

#[test]
fn permits_follow_the_pool_size_or_the_setting() {
    for (connections, workers, permits) in
        [(1, None, 1), (10, None, 3), (100, None, 10), (50, Some(5), 10), (50, Some(15), 15)]
    {
        let mut config = config_of(connections);
        config.maint.handoff_workers = workers;
        let mut world = World::ready(config);
        world.server(B).reachability = Reachability::Silent;
        world.push(A, &moving_to(0, 15, B));
        world.run(SECOND * 12);
        assert_eq!((world.dials.len(), world.pool.maintenance().permits_in_use), (permits, permits));
        // Permits are returned although no handoff succeeded.
        world.run(SECOND * 5);
        assert_eq!((world.all_at(A), world.pool.maintenance().permits_in_use), (true, 0));
    }
}

#[test]
fn mv_queue_full_defers() {
    let mut config = config_of(1000);
    config.maint.handoff_queue = Some(100);
    let mut world = World::ready(config);
    let start = world.now;
    world.push_on((0, 1), &moving_to(0, 15, B));
    world.run_until_dials(400);
    assert!(world.pool.maintenance().handoffs_queued > 100 + 10, "most are deferred");
    for entry in 0..1000 {
        world.submit(entry, 0, &entry.to_string());
    }
    while !world.all_at(B) {
        world.run(ms(1));
        assert!(world.now.since(start) < SECOND * 14);
        assert_eq!(world.pool.entries().ready(), (1000, 1000), "no connection is closed for it");
    }
    world.run(ms(5));
    world.assert_unharmed();
    assert_eq!((world.most_in_progress, world.dials.len()), (10, 1000));
    assert!(world.closes.iter().all(|closed| matches!(*closed.reason, CloseReason::Replaced)));
    assert_eq!(world.take_results(), vec!["ok"; 1000]);
}

#[test]
fn mv_deadline_bypass() {
    // Three connections share one permit, and the first dial gets no answer.
    let mut world = World::of(3);
    world.server(B).reachability = Reachability::Silent;
    let start = world.now;
    world.push(A, &moving_to(0, 10, B));
    world.run_until(start, ms(7_999));
    assert_eq!((world.dials.len(), world.pool.maintenance().permits_in_use), (1, 1));
    world.server(B).reachability = Reachability::Open;
    world.run_until(start, SECOND * 8);
    let dials = world.take_dials(start);
    assert_eq!(dials.len(), 3);
    assert!(dials[1..].iter().all(|(at, to)| *at == SECOND * 8 && *to == B.to_string()), "{dials:?}");
    world.run_until(start, ms(8_010));
    assert_eq!(world.peers().iter().filter(|peer| **peer == Some(B)).count(), 2);
    assert_eq!(world.pool.maintenance().permits_in_use_max, 1, "the other two held none");
}
