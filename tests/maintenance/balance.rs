//! Announcements and faults of every kind in an order that a seed decides: afterwards nothing is left open.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, ErrorKind, Maintenance};

use crate::common::fixture::{Fixture, WAIT_MAX, connected_to, eventually, pause, stats};
use crate::load::Load;

const NODES: usize = 3;
const SEED: u64 = 7;
const TIME: Duration = Duration::from_secs(4);

/// Settings with which windows, attempts and retries end soon.
fn short_timeouts() -> Maintenance {
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

/// One random action of a node, or one fault.
fn act(fixture: &Fixture, random: &mut fastrand::Rng) {
    const FAULTS: [&str; 8] =
        ["refuse", "drop", "stall", "reset 50", "close-at-byte 70 in", "delay 20", "duplicate 3", "reorder"];
    const ENDINGS: [&str; 6] = ["fin", "rst", "half", "never", "early 0.5", "delay 100 unread"];
    let pick = |random: &mut fastrand::Rng, list: &[&'static str]| list[random.usize(..list.len())];
    let node = random.usize(..NODES);
    let grace = random.f64() * 1.5;
    match random.u8(..12) {
        0..=3 => {
            let to = (node + random.usize(1..NODES)) % NODES;
            fixture.moves((node, to), &format!("{grace:.2}"), pick(random, &ENDINGS));
        }
        4 => drop(fixture.rehearse(node, &format!("MOVING {grace:.2} null {}", pick(random, &ENDINGS)))),
        5 => drop(fixture.rehearse(node, "MIGRATING 1")),
        6 => drop(fixture.rehearse(node, "MIGRATED")),
        7 => drop(fixture.rehearse(node, "ALL FAILING_OVER 1")),
        8 => drop(fixture.rehearse(node, "ALL FAILED_OVER")),
        9 => drop(fixture.rehearse(node, &format!("CLOSE {}", pick(random, &["fin", "rst", "half"])))),
        10 => drop(fixture.rehearse(node, &format!("FAULT {}", pick(random, &FAULTS)))),
        _ => drop(fixture.rehearse(node, "ALL FAULT off")),
    }
}

/// Asserts that nothing is left open and every connection is ready.
fn assert_quiet(client: &Client) {
    eventually("no work is left", || {
        stats(client).iter().all(|stats| {
            let sums = &stats.maintenance;
            let open = (sums.windows_open, sums.permits_in_use, sums.handoffs_queued, sums.draining);
            open == (0, 0, 0, 0) && stats.ready == 5
        })
    });
}

#[test]
fn ob_metrics_balance() {
    let fixture = Fixture::new(NODES);
    let client = fixture.client_with(|config| {
        let config = config.shards(2).connections_per_shard(5).maintenance(short_timeouts());
        let (soon, late) = (Duration::from_millis(10), Duration::from_millis(50));
        config.reconnect_backoff(soon, late).command_timeout(late * 10).connect_timeout(late * 10)
    });
    let load = Load::start(&client, 10);
    let (begin, mut random) = (Instant::now(), fastrand::Rng::with_seed(SEED));
    while begin.elapsed() < TIME {
        act(&fixture, &mut random);
        (0..random.usize(1..20)).for_each(|_| pause());
    }
    fixture.rehearse(0, "ALL FAULT off");
    fixture.rehearse(0, "ALL RETURN");
    eventually("every announced close is done", || fixture.planned() == 0);
    assert_quiet(&client);
    load.wait_for_replies(100);
    let sums = load.stop();
    // Moves work again after the faults. With timeouts this short, a busy machine may need more than one.
    for (from, to) in [(1, 0), (2, 0), (0, 1)] {
        eventually("all connections have moved", || {
            fixture.moves((from, to), "5", "never");
            let begin = Instant::now();
            while connected_to(&client, fixture.address(from)) > 0 && begin.elapsed() < TIME / 2 {
                pause();
            }
            connected_to(&client, fixture.address(from)) == 0
        });
    }
    assert_quiet(&client);
    assert_eq!(connected_to(&client, fixture.address(1)), 10);
    for error in &sums.errors {
        let is_expected = matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::Timeout);
        assert!(is_expected, "{error:?}");
    }
    // A command that may have been executed is never sent again.
    assert_eq!(fixture.stats()["audit"]["duplicates"], 0);
    for (shard, stats) in stats(&client).into_iter().enumerate() {
        assert_eq!((stats.calls, stats.queued, stats.in_flight), (0, 0, 0));
        let sums = stats.maintenance;
        assert!(sums.handoffs_started > 0 && sums.handoffs_succeeded > 0, "{sums:#?}");
        let own = |is_it: fn(&Event) -> bool| {
            fixture.events.all().iter().filter(|(on, event)| *on == shard && is_it(event)).count() as u64
        };
        let started = own(|event| matches!(event, Event::HandoffStarted { .. }));
        // A handoff whose target was already given up never starts.
        let ended = own(|event| matches!(event, Event::HandoffEnded { attempts: 1.., .. }));
        let never_started = own(|event| matches!(event, Event::HandoffEnded { attempts: 0, .. }));
        assert_eq!((started, ended), (sums.handoffs_started, sums.handoffs_started), "{sums:#?}");
        let results = sums.handoffs_succeeded + sums.handoffs_failed + sums.handoffs_superseded;
        assert_eq!(results, ended + never_started, "{sums:#?}");
    }
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
}
