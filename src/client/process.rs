//! [`Process`]: whether this is still the process that a client was started in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::proto::error::Outcome;

/// The process in which this value was made.
///
/// A fork copies the memory of a client into the child, and none of its threads. A call there would wait forever, and a wake-up
/// would reach the parent's shards, because both processes share the descriptors. So the kernel zeroes one page in every child
/// (`MADV_WIPEONFORK`), and one load tells the two apart. It also works after a bare `clone`, which runs no handlers of
/// `pthread_atfork`.
#[derive(Clone, Copy)]
pub(super) struct Process {
    /// Counts the processes of a line of forks from 1; 0 in a child until it calls [`Process::current`].
    page: &'static AtomicU64,
    generation: u64,
}

impl Process {
    /// The process that runs now.
    pub(super) fn current() -> Process {
        let page = *PAGE.get_or_init(|| wiped_on_fork().unwrap_or(&UNWIPED));
        let next = LAST.load(Ordering::Relaxed) + 1;
        // Another thread may be first, and stores the same number.
        let generation = match page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => next,
            Err(generation) => generation,
        };
        LAST.fetch_max(generation, Ordering::Relaxed);
        Process { page, generation }
    }

    /// Whether it is the process that runs now.
    #[inline]
    pub(super) fn is_current(self) -> bool {
        self.page.load(Ordering::Relaxed) == self.generation
    }

    /// # Errors
    /// If a forked child of it runs.
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

/// A number on a page of its own, which is 0 in every child.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the standard library maps no memory")]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: an anonymous mapping at an address that the kernel chooses: it replaces no other.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE_SIZE, prot, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it concerns the mapping that was just made, which no other code uses.
    if unsafe { libc::madvise(page, PAGE_SIZE, libc::MADV_WIPEONFORK) } != 0 {
        return None;
    }
    // SAFETY: the page is readable, writable, zero, sufficiently aligned, and never unmapped. Only this reference uses it.
    Some(unsafe { AtomicU64::from_ptr(page.cast()) })
}

/// Other kernels do not wipe pages on request.
#[cfg(not(target_os = "linux"))]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    None
}

static PAGE: OnceLock<&'static AtomicU64> = OnceLock::new();
/// Replaces the page where the kernel refuses one. Forks go unnoticed then.
static UNWIPED: AtomicU64 = AtomicU64::new(0);
/// The last generation that was assigned, here or in a parent.
static LAST: AtomicU64 = AtomicU64::new(0);
/// The kernel rounds mappings up to whole pages.
#[cfg(target_os = "linux")]
const PAGE_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_stays_the_same_until_its_page_is_wiped() {
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
