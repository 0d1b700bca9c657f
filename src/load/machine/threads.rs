//! How long a thread ran, and how long it waited for its core, from `/proc/thread-self/schedstat`.

use std::time::Duration;

/// How long a thread ran, and how long it was runnable but waited for its core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThreadTimes {
    pub(crate) ran: Duration,
    pub(crate) waited: Duration,
}

/// The times of the calling thread since its start. Reads a file, so it is too slow for the hot path.
pub(crate) fn thread_times() -> Option<ThreadTimes> {
    parse(&std::fs::read_to_string("/proc/thread-self/schedstat").ok()?)
}

/// User and system time that the calling thread has used.
#[expect(unsafe_code, reason = "the thread's own clock, which the standard library does not read")]
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `time` is, and keeps no reference to it.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    match (answer, u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (0, Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    }
}

fn parse(schedstat: &str) -> Option<ThreadTimes> {
    let mut nanos = schedstat.split_whitespace().map(|number| number.parse().ok().map(Duration::from_nanos));
    Some(ThreadTimes { ran: nanos.next()??, waited: nanos.next()?? })
}

impl ThreadTimes {
    /// The increase since `before`, as shares of `elapsed`: running, and waiting.
    pub(crate) fn shares_since(self, before: ThreadTimes, elapsed: Duration) -> (f64, f64) {
        let share = |now: Duration, then: Duration| {
            now.saturating_sub(then).as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        (share(self.ran, before.ran).min(1.0), share(self.waited, before.waited).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_shares_of_the_elapsed_time() {
        let times = |ran, waited| ThreadTimes {
            ran: Duration::from_nanos(ran),
            waited: Duration::from_nanos(waited),
        };
        assert_eq!(parse("600 300 7\n"), Some(times(600, 300)));
        assert_eq!(parse("1"), None);
        assert_eq!(times(600, 300).shares_since(times(100, 200), Duration::from_nanos(1000)), (0.5, 0.1));
        assert_eq!(times(600, 300).shares_since(times(0, 0), Duration::ZERO), (1.0, 1.0));
        if let Some(before) = thread_times() {
            let after = thread_times().expect("the file was there a interval ago");
            assert!(after.ran >= before.ran);
        }
    }
}
