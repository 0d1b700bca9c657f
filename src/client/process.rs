//! [`Process`]: whether this is still the process that a client was started in.
//!
//! A fork copies a client's memory into the child and none of its threads: a call there would wait for ever, and what
//! wakes a shard would reach the parent's, with which the child shares descriptors. The kernel zeroes one page of ours
//! in every child (`MADV_WIPEONFORK`), so that a load tells, after a bare `clone` as well, which runs no handlers of
//! `pthread_atfork`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::proto::error::Outcome;

/// The process that this was made in.
#[derive(Clone, Copy)]
pub(super) struct Process {
    /// Counts the processes of a line of forks from 1; 0 in a child until it asks.
    page: &'static AtomicU64,
    generation: u64,
}

impl Process {
    /// This one.
    pub(super) fn current() -> Process {
        let page = *PAGE.get_or_init(|| wiped_on_fork().unwrap_or(&UNWIPED));
        let next = LAST.load(Ordering::Relaxed) + 1;
        // Another thread may be first, with the same number.
        let generation = match page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(generation) => generation,
        };
        LAST.fetch_max(generation, Ordering::Relaxed);
        Process { page, generation }
    }

    /// Whether it is the one that runs.
    #[inline]
    pub(super) fn is_current(self) -> bool {
        self.page.load(Ordering::Relaxed) == self.generation
    }

    /// # Errors
    /// In a child of it.
    #[inline]
    pub(super) fn check(self, outcome: Outcome) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(forked(outcome)) }
    }
}

#[cold]
fn forked(outcome: Outcome) -> Error {
    Error::misuse(
        outcome,
        "the process was forked after this client was started, and its threads are not in the child: start another client \
         there",
    )
}

/// A number on a page of its own that is 0 in every child.
#[expect(unsafe_code, reason = "the standard library maps no memory")]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: an anonymous mapping wherever the kernel finds room: it replaces no other.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE_SIZE, prot, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it concerns the mapping that was just made, and no other code knows of it.
    if unsafe { libc::madvise(page, PAGE_SIZE, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    // SAFETY: the page is readable, writable, zero, aligned to more than this needs, and never unmapped; it is only used
    // by way of this reference.
    Some(unsafe { AtomicU64::from_ptr(page.cast()) })
}

static PAGE: OnceLock<&'static AtomicU64> = OnceLock::new();
/// What stands in for the page where the kernel refuses one: forks go unnoticed then.
static UNWIPED: AtomicU64 = AtomicU64::new(0);
/// The last generation that was given out, here or in a parent.
static LAST: AtomicU64 = AtomicU64::new(0);
/// Mappings are rounded up to whole pages.
const PAGE_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_stays_the_same_until_its_page_is_wiped() {
        let page: &'static AtomicU64 = wiped_on_fork().expect("the kernel has known this since 4.14");
        page.store(7, Ordering::Relaxed);
        let process = Process { page, generation: 7 };
        assert!(process.is_current() && process.check(Outcome::Unsent).is_ok());
        page.store(0, Ordering::Relaxed);
        assert!(!process.is_current());
        let error = process.check(Outcome::Unsent).unwrap_err();
        assert!(error.to_string().contains("start another client"), "{error}");
        assert!(Process::current().is_current());
    }
}
