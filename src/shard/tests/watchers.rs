//! Those who watch: they are told everything once, by one shard, and in portions.

use super::*;
use crate::observe::Event;
use crate::proto::maint::notification::{Announcement, Notification};
use crate::proto::pool::Action;
use crate::shard::ShardGroup;

/// A server announces so many different things.
fn announce(shard: &Shard, count: i64) {
    let now = shard.inner.clock.now();
    for seq in 0..count {
        let core = &mut *shard.inner.core.borrow_mut();
        core.pool.handle_announcement(announcement(seq, now), now);
    }
}

fn announcement(seq: i64, received: crate::proto::time::Instant) -> Announcement {
    let (time, shards) = (Duration::from_secs(9), String::new());
    let notification = Notification::Migrating { seq: Some(seq), time, shards };
    Announcement { peer: "10.0.0.1:6379".parse().unwrap(), notification, received }
}

#[test]
fn flood_of_events_is_told_in_portions_and_to_its_end() {
    const EVENTS: usize = 600;
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    let count = move |_: usize, event: &Event| {
        counter.fetch_add(usize::from(matches!(event, Event::Announced { .. })), Ordering::Relaxed);
    };
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1").on_event(count));
    announce(&shard, EVENTS as i64);
    let mut turns = Vec::new();
    loop {
        pilots::turn(&shard.inner);
        turns.push(told.load(Ordering::Relaxed));
        if !shard.inner.core.borrow().pilot.is_notified() {
            break;
        }
    }
    assert_eq!(turns, [256, 512, EVENTS]);
}

#[test]
fn what_all_shards_know_is_told_by_one_of_them() {
    let group = ShardGroup::new(2);
    let told = Arc::new(AtomicUsize::new(0));
    let shards = [(); 2].map(|()| {
        let counter = told.clone();
        let count = move |shard: usize, event: &Event| {
            if matches!(event, Event::Announced { .. }) {
                counter.fetch_add(1 + 100 * shard, Ordering::Relaxed);
            }
        };
        bare::shard_in(&group, config("redis://127.0.0.1").on_event(count)).0
    });
    for shard in &shards {
        announce(shard, 1);
        pilots::turn(&shard.inner);
    }
    assert_eq!(told.load(Ordering::Relaxed), 1, "by the first");
}

#[test]
fn announcements_that_a_busy_shard_has_no_room_for_are_counted() {
    let group = ShardGroup::new(2);
    let (shard, _) = bare::shard_in(&group, config("redis://127.0.0.1"));
    let _busy = group.join().unwrap();
    let now = shard.inner.clock.now();
    for seq in 0..130 {
        pilots::act(&shard.inner, Action::Announce(announcement(seq, now)));
    }
    assert_eq!(shard.stats().broadcasts_dropped, 2);
}
