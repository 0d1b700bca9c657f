//! Permits between threads, see `scripts/miri`.

use std::thread;

use super::*;
use crate::shard::testing::in_all_orders;

#[test]
fn there_are_never_more_permits_than_declared_and_all_come_back() {
    const PERMITS: usize = 2;
    in_all_orders(|| {
        let (permits, held) = (&Arc::new(Permits::new(PERMITS)), &AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        if let Some(permit) = permits.take() {
                            assert!(held.fetch_add(1, Ordering::Relaxed) < PERMITS);
                            held.fetch_sub(1, Ordering::Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
        });
        let all = [permits.take(), permits.take()];
        assert!(all.iter().all(Option::is_some) && permits.take().is_none());
    });
}
