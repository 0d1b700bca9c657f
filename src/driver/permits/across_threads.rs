//! Permits between threads, see `scripts/miri`.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::driver::testing::in_all_orders;

#[test]
fn there_are_never_more_permits_than_declared_and_all_come_back() {
    const PERMITS: usize = 2;
    in_all_orders(|| {
        let (permits, held) = (&Arc::new(Permits::new(PERMITS)), &AtomicUsize::new(0));
        let take = || Permits::take(permits.clone());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        if let Some(permit) = Permits::take(permits.clone()) {
                            assert!(held.fetch_add(1, Ordering::Relaxed) < PERMITS);
                            held.fetch_sub(1, Ordering::Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
        });
        let all = [take(), take()];
        assert!(all.iter().all(Option::is_some) && take().is_none());
    });
}
