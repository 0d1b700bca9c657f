//! [`Permits`]: how many more threads may run at a time for something that blocks.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The permits that are left. The count changes only when such a thread begins or ends.
pub(crate) struct Permits(AtomicUsize);

/// One permit. It is given back when it is dropped, on any thread.
pub(crate) struct Permit<P: Deref<Target = Permits>>(P);

impl Permits {
    pub(crate) const fn new(count: usize) -> Self {
        Permits(AtomicUsize::new(count))
    }

    /// Takes a permit, if one is left. `permits` is a shared or a static reference.
    pub(crate) fn take<P: Deref<Target = Permits>>(permits: P) -> Option<Permit<P>> {
        let one_less = |left: usize| left.checked_sub(1);
        let taken = permits.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.is_ok().then(|| Permit(permits))
    }
}

impl<P: Deref<Target = Permits>> Drop for Permit<P> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod across_threads;
