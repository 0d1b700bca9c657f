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
pub(crate) fn thread_cpu() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The clocks of one thread, which any thread of the process can read. They stand still at 0 once the thread has ended.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct ThreadClocks {
    cpu: libc::clockid_t,
    schedstat: std::path::PathBuf,
}

#[cfg(feature = "tokio")]
impl ThreadClocks {
    /// The clocks of the calling thread; `None` if the system has none.
    #[expect(unsafe_code, reason = "the thread's own clock, which the standard library does not name")]
    pub(crate) fn of_this_thread() -> Option<ThreadClocks> {
        let mut cpu = 0;
        // SAFETY: takes no pointer, and cannot fail.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the thread runs, so its number is valid, and the call writes one clock number.
        let answer = unsafe { libc::pthread_getcpuclockid(this, &mut cpu) };
        // A link to `PID/task/TID`, which other threads resolve as well.
        let thread = std::fs::read_link("/proc/thread-self").ok()?;
        let schedstat = std::path::Path::new("/proc").join(thread).join("schedstat");
        (answer == 0).then_some(ThreadClocks { cpu, schedstat })
    }

    /// User and system time that the thread has used.
    pub(crate) fn cpu(&self) -> Duration {
        read(self.cpu)
    }

    /// The times of the thread since its start. Reads a file, so it is too slow for the hot path.
    pub(crate) fn times(&self) -> Option<ThreadTimes> {
        parse(&std::fs::read_to_string(&self.schedstat).ok()?)
    }
}

#[expect(unsafe_code, reason = "clocks that the standard library does not read")]
fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `time` is, and keeps no reference to it.
    let answer = unsafe { libc::clock_gettime(clock, &mut time) };
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
    #[cfg(feature = "tokio")]
    #[test]
    fn other_threads_read_the_clocks_of_a_thread() {
        let (told, clocks) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let begin = thread_cpu();
            while thread_cpu() < begin + Duration::from_millis(5) {}
            let _ = told.send(ThreadClocks::of_this_thread());
            let _ = ended.recv();
        });
        let clocks = clocks.recv().expect("it runs").expect("Linux has these clocks");
        assert!(clocks.cpu() >= Duration::from_millis(5));
        assert_eq!(clocks.times().is_some(), thread_times().is_some());
        drop(end);
        assert!(thread.join().is_ok());
        assert_eq!(clocks.cpu(), Duration::ZERO, "the thread has ended");
    }
}
