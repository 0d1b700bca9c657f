//! The schedule of an open loop: rounds arrive as bytes on a socket, as requests reach a service.
//!
//! The timers of runtimes differ by up to a millisecond, which would distort the comparison. So a separate thread, on the
//! server's core, writes to a socket that the client's runtime reads like any other. Latency counts from the scheduled time,
//! even if this thread is late.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::callers::Callers;

/// Starts the thread. The caller reads the returned socket, and passes the bytes to [`arrived`].
pub fn start(callers: &Arc<Callers>) -> UnixStream {
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    here.set_nonblocking(true).expect("a flag");
    let callers = callers.clone();
    std::thread::spawn(move || {
        move_to(callers.plan.pacer_core);
        let schedule = callers.schedule.expect("an open loop");
        let mut sent = 0;
        let mut tick = schedule.begin;
        while !callers.is_stopped() {
            std::thread::sleep(tick.saturating_duration_since(Instant::now()));
            let mut due = schedule.due(Instant::now()) - sent;
            sent += due;
            let mut bytes = Vec::new();
            while due > 0 {
                let part = due.min(255);
                bytes.push(part as u8);
                due -= part;
            }
            if let Err(error) = there.write_all(&bytes) {
                // The loop at the other end may have seen the end of the run first.
                assert!(callers.is_stopped(), "{error}");
                return;
            }
            tick = (tick + TICK).max(Instant::now());
        }
    });
    here
}

/// Handles bytes from the socket: each byte is a number of rounds.
pub fn arrived(callers: &Callers, bytes: &[u8]) {
    callers.arrive(count(bytes));
}

pub fn count(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte)).sum()
}

fn move_to(core: usize) {
    // SAFETY: an all-zero set is an empty one; it outlives the calls, which read and write no more than its size. The
    // slack is a plain number.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000u64);
    }
}

const TICK: Duration = Duration::from_micros(50);
