//! Random announcements, servers that come and go, and random losses. In every run each command is resolved once and
//! runs at most once, each handle keeps its order, and in the end no handoff, permit or window is left.

use std::collections::BTreeMap;

use super::world::Key;
use super::*;

const SERVERS: [SocketAddr; 3] = [A, B, C];
const ENTRIES: u32 = 6;

/// One random event.
fn disturb(world: &mut World, random: &mut fastrand::Rng, seq: &mut i64) {
    let server = SERVERS[random.usize(..3)];
    let target = SERVERS[random.usize(..3)];
    let grace = random.i64(0..20);
    match random.u32(..20) {
        0..4 => {
            *seq += random.i64(0..3);
            let push = match random.u32(..4) {
                0 => moving_somewhere(*seq, grace),
                1 if random.bool() => moving(*seq, grace, Some("redis.example:6379")),
                // Without a number.
                1 => moving_to(*seq, grace, target).replacen(&format!(":{seq}\r\n"), "_\r\n", 1),
                _ => moving_to(*seq, grace, target),
            };
            match random.bool() {
                true => world.announce(server, &push),
                false => world.push(server, &push),
            }
        }
        4 => world.push(server, &opens("MIGRATING", *seq, grace, "1")),
        5 => world.push(server, &closes("MIGRATED", *seq + 1, "1")),
        6 => world.server(server).with_opt_in.clear(),
        7..9 => {
            world.server(server).reachability =
                [Reachability::Open, Reachability::Refusing, Reachability::Silent][random.usize(..3)]
        }
        9 => world.server(server).is_stalled = true,
        10..12 => world.reply_at_last(server),
        12 => world.hang_up(server),
        13 => {
            let open: Vec<Key> = SERVERS.iter().flat_map(|server| world.connected_to(*server)).collect();
            if !open.is_empty() {
                world.lose(open[random.usize(..open.len())]);
            }
        }
        14 => {
            world.dns = match random.u32(..5) {
                0 => Err("timed out".into()),
                1 => Ok(vec![A, target]),
                _ => Ok(vec![target]),
            }
        }
        15 => {
            for key in world.connected_to(server) {
                world.take_more(key, random.usize(..40));
            }
        }
        _ => {
            for key in world.connected_to(server) {
                world.take_more(key, usize::MAX);
            }
        }
    }
}

/// All servers work again.
fn heal(world: &mut World) {
    world.dns = Ok(vec![A]);
    for server in SERVERS {
        world.server(server).reachability = Reachability::Open;
        world.server(server).with_opt_in.clear();
        world.reply_at_last(server);
        for key in world.connected_to(server) {
            world.take_more(key, usize::MAX);
        }
    }
}

fn judge(world: &mut World, seed: u64, submitted: u32) {
    let mut resolved = world.outcomes.tickets();
    resolved.extend(world.outcomes.failed.iter().map(|(ticket, _)| *ticket));
    resolved.sort_unstable();
    assert!(resolved.into_iter().eq(0..submitted), "seed {seed}: each is resolved once");
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for one in &world.executed {
        let (handle, number) = one.text.split_once(' ').unwrap();
        let number = number.parse().unwrap();
        let before = last.insert(handle, number);
        assert!(before < Some(number), "seed {seed}: {} after {before:?}", one.text);
    }
    let ran: Vec<u32> =
        world.executed.iter().map(|one| one.text.split_once(' ').unwrap().1.parse().unwrap()).collect();
    for (ticket, failure) in &world.outcomes.failed {
        assert!(failure.outcome() != Outcome::Unsent || !ran.contains(ticket), "seed {seed}: {ticket} ran");
    }
    let stats = world.pool.maintenance();
    let left = (stats.permits_in_use, stats.handoffs_queued, stats.windows_open, stats.draining);
    assert_eq!(left, (0, 0, 0, 0), "seed {seed}");
    let count = |is: fn(&Event) -> bool| world.events.iter().filter(|event| is(event)).count() as u64;
    let started = count(|event| matches!(event, Event::HandoffStarted { .. }));
    let ended = count(|event| matches!(event, Event::HandoffEnded { attempts: 1.., .. }));
    assert_eq!(
        (started, ended),
        (stats.handoffs_started, started),
        "seed {seed}: every handoff that begins ends"
    );
    let open = world.sockets.values().filter(|socket| socket.is_open).count();
    assert_eq!((world.pool.entries().ready().0, open), (ENTRIES as usize, ENTRIES as usize), "seed {seed}");
    assert_eq!(world.pool.entries().depth(), (0, 0), "seed {seed}");
}

#[test]
fn random_announcements_leave_nothing_behind() {
    let wanted = std::env::var("HITLESS_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let mut succeeded = 0;
    for seed in 0..wanted {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut config = if random.bool() { named(ENTRIES as usize) } else { config_of(ENTRIES as usize) };
        config.seed = seed;
        let mut world = World::ready(config);
        let (mut seq, mut submitted) = (0, 0);
        for _ in 0..150 {
            if random.bool() {
                let (entry, handle) = (random.u32(..ENTRIES), random.u32(..3));
                let ticket = world.submit(entry, handle, &format!("{entry}-{handle} {submitted}"));
                assert_eq!(ticket, submitted);
                submitted += 1;
            } else {
                disturb(&mut world, &mut random, &mut seq);
            }
            let pause = [0, 1, 30, 400][random.usize(..4)];
            world.run(ms(random.u64(..=pause)));
        }
        heal(&mut world);
        world.run(SECOND * 200);
        succeeded += world.pool.maintenance().handoffs_succeeded;
        judge(&mut world, seed, submitted);
    }
    assert!(succeeded > wanted * 5, "{succeeded} handoffs: too few to prove anything");
}
