//! [`HostId`]: which host the current thread belongs to. A call that would wait for its own thread is refused instead of
//! hanging.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A set of threads that run shards. One client started them, and others may share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostId(u64);

impl HostId {
    /// An identity that no other host in this process has.
    pub(crate) fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        HostId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    static HOST: Cell<Option<HostId>> = const { Cell::new(None) };
}

/// The host of this thread, if it runs a client's shards.
pub(crate) fn current() -> Option<HostId> {
    HOST.get()
}

/// Makes this thread one of the host's.
pub(super) fn enter(host: HostId) {
    HOST.set(Some(host));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_belongs_to_its_own_host_only() {
        let (one, other) = (HostId::unique(), HostId::unique());
        let seen = std::thread::spawn(move || {
            enter(one);
            current()
        });
        assert_eq!(seen.join().unwrap(), Some(one));
        assert_ne!(one, other);
        assert_eq!(current(), None);
    }
}
