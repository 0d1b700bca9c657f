//! When the rounds of an open loop begin: as requests reach a service, as bytes on a socket.
//!
//! Runtimes' own timers differ, down to a millisecond, and would be measured in the place of the clients. A thread of
//! its own, on the server's core, writes to a socket that the client's runtime reads as it reads any other. Latency is
//! counted from when a round was to begin, whoever was late.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::crew::Crew;

/// Starts the thread; what it writes is to be read here, and given to [`arrived`].
pub fn start(crew: &Arc<Crew>) -> UnixStream {
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    here.set_nonblocking(true).expect("a flag");
    let crew = crew.clone();
    std::thread::spawn(move || {
        move_to(crew.plan.pacer_core);
        let schedule = crew.schedule.expect("an open loop");
        let mut sent = 0;
        let mut tick = schedule.begin;
        while !crew.is_stopped() {
            std::thread::sleep(tick.saturating_duration_since(Instant::now()));
            let mut due = schedule.due(Instant::now()) - sent;
            sent += due;
            let mut bytes = Vec::new();
            while due > 0 {
                let part = due.min(255);
                bytes.push(part as u8);
                due -= part;
            }
            there.write_all(&bytes).expect("the other end is open");
            tick = (tick + TICK).max(Instant::now());
        }
    });
    here
}

/// Takes in what was read from the socket: each byte is a number of rounds.
pub fn arrived(crew: &Crew, bytes: &[u8]) {
    crew.arrive(count(bytes));
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
