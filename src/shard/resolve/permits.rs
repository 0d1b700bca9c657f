//! [`Permits`]: how many more threads may look names up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many more look-ups may be under way. The count is touched only when a look-up begins or ends.
pub(super) struct Permits(AtomicUsize);

/// One of them. It comes back when it is dropped, on whichever thread.
pub(super) struct Permit(Arc<Permits>);

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Permits(AtomicUsize::new(count))
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        let one_less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok().map(|_| Permit(self.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod across_threads;
