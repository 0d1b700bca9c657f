//! Everything that can be announced or go wrong, in an order that a seed decides: in the end nothing is left open.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, ErrorKind, Maintenance};

use crate::common::stage::{PATIENCE, Stage, connected_to, eventually, pause, stats};
use crate::load::Load;

const NODES: usize = 3;
const SEED: u64 = 7;
const TIME: Duration = Duration::from_secs(4);

/// Everything is over soon: what is announced, what is tried, and what is given up.
fn hasty() -> Maintenance {
    let ms = Duration::from_millis;
    Maintenance::auto()
        .relaxed_timeout(ms(200))
        .window_max(ms(1000))
        .post_event_relaxed(ms(100))
        .post_handoff_relaxed(ms(200))
        .handoff_timeout(ms(300))
        .handoff_retries_max(1)
        .circuit_breaker(3, ms(200), 1)
}

/// One thing that a node does or has done to it.
fn act(stage: &Stage, random: &mut fastrand::Rng) {
    const FAULTS: [&str; 8] =
        ["refuse", "drop", "stall", "reset 50", "close-at-byte 70 in", "delay 20", "duplicate 3", "reorder"];
    const ENDINGS: [&str; 6] = ["fin", "rst", "half", "never", "early 0.5", "delay 100 unread"];
    let pick = |random: &mut fastrand::Rng, list: &[&'static str]| list[random.usize(..list.len())];
    let node = random.usize(..NODES);
    let grace = random.f64() * 1.5;
    match random.u8(..12) {
        0..=3 => {
            let to = (node + random.usize(1..NODES)) % NODES;
            stage.moves((node, to), &format!("{grace:.2}"), pick(random, &ENDINGS));
        }
        4 => drop(stage.rehearse(node, &format!("MOVING {grace:.2} null {}", pick(random, &ENDINGS)))),
        5 => drop(stage.rehearse(node, "MIGRATING 1")),
        6 => drop(stage.rehearse(node, "MIGRATED")),
        7 => drop(stage.rehearse(node, "ALL FAILING_OVER 1")),
        8 => drop(stage.rehearse(node, "ALL FAILED_OVER")),
        9 => drop(stage.rehearse(node, &format!("CLOSE {}", pick(random, &["fin", "rst", "half"])))),
        10 => drop(stage.rehearse(node, &format!("FAULT {}", pick(random, &FAULTS)))),
        _ => drop(stage.rehearse(node, "ALL FAULT off")),
    }
}

/// Nothing is left open, and every connection can be used.
fn assert_quiet(client: &Client) {
    eventually("all is quiet again", || {
        stats(client).iter().all(|stats| {
            let sums = &stats.maintenance;
            let open = (sums.windows_open, sums.permits_in_use, sums.handoffs_queued, sums.draining);
            open == (0, 0, 0, 0) && stats.ready == 5
        })
    });
}

#[test]
fn ob_metrics_balance() {
    let stage = Stage::new(NODES);
    let client = stage.client_with(|config| {
        let config = config.shards(2).connections_per_shard(5).maintenance(hasty());
        let (soon, late) = (Duration::from_millis(10), Duration::from_millis(50));
        config.reconnect_backoff(soon, late).command_timeout(late * 10).connect_timeout(late * 10)
    });
    let load = Load::start(&client, 10);
    let (begin, mut random) = (Instant::now(), fastrand::Rng::with_seed(SEED));
    while begin.elapsed() < TIME {
        act(&stage, &mut random);
        (0..random.usize(1..20)).for_each(|_| pause());
    }
    stage.rehearse(0, "ALL FAULT off");
    stage.rehearse(0, "ALL RETURN");
    eventually("every close that was announced is over", || stage.planned() == 0);
    assert_quiet(&client);
    load.goes_on(100);
    let sums = load.stop();
    // Whatever there was, moves go well again. Who is as hasty as this may need more than one on a busy machine.
    for (from, to) in [(1, 0), (2, 0), (0, 1)] {
        eventually("all have gone", || {
            stage.moves((from, to), "5", "never");
            let begin = Instant::now();
            while connected_to(&client, stage.address(from)) > 0 && begin.elapsed() < TIME / 2 {
                pause();
            }
            connected_to(&client, stage.address(from)) == 0
        });
    }
    assert_quiet(&client);
    assert_eq!(connected_to(&client, stage.address(1)), 10);
    for error in &sums.errors {
        let is_fair = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Timeout);
        assert!(is_fair, "{error:?}");
    }
    // What may have been executed is never sent again.
    assert_eq!(stage.stats()["audit"]["duplicates"], 0);
    for (shard, stats) in stats(&client).into_iter().enumerate() {
        assert_eq!((stats.calls, stats.queued, stats.in_flight), (0, 0, 0));
        let sums = stats.maintenance;
        assert!(sums.handoffs_started > 0 && sums.handoffs_succeeded > 0, "{sums:#?}");
        let own = |is_it: fn(&Event) -> bool| {
            stage.events.all().iter().filter(|(on, event)| *on == shard && is_it(event)).count() as u64
        };
        let started = own(|event| matches!(event, Event::HandoffStarted { .. }));
        // One that found its target given up already was never started.
        let ended = own(|event| matches!(event, Event::HandoffEnded { attempts: 1.., .. }));
        let never_started = own(|event| matches!(event, Event::HandoffEnded { attempts: 0, .. }));
        assert_eq!((started, ended), (sums.handoffs_started, sums.handoffs_started), "{sums:#?}");
        let results = sums.handoffs_succeeded + sums.handoffs_failed + sums.handoffs_superseded;
        assert_eq!(results, ended + never_started, "{sums:#?}");
    }
    block_on(client.shutdown(PATIENCE)).expect("nothing is open");
}
