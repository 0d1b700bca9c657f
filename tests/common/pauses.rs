//! How long the machine stood still, for tests that must meet a real clock.
//!
//! Shared machines stop for seconds now and then. Most tests wait for an event and do not mind. A test that must be at
//! some place before a time has passed runs in [`undisturbed`]: the machine's own pauses are measured beside it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// Runs a test that has this much time to spare in each of its steps. If it fails, and the machine stood still for
/// longer meanwhile, it is run again.
pub fn undisturbed<T>(spare: Duration, test: impl Fn() -> T) -> T {
    let mut tries_left = TRIES_MAX;
    loop {
        let begin = Instant::now();
        let watch = watch();
        tries_left -= 1;
        match catch_unwind(AssertUnwindSafe(&test)) {
            Ok(done) => return done,
            Err(failure) => {
                let pause = watch.longest_since(begin);
                if pause < spare || tries_left == 0 {
                    eprintln!("the machine's longest pause was {pause:?}, of {spare:?} to spare");
                    resume_unwind(failure);
                }
                eprintln!("the machine stood still for {pause:?}: once more");
            }
        }
    }
}

/// A thread that wants to run every few milliseconds, and notes when it could not.
struct Watch {
    /// When a pause was over, and how long it was.
    pauses: Mutex<Vec<(Instant, Duration)>>,
}

fn watch() -> &'static Watch {
    static WATCH: OnceLock<&'static Watch> = OnceLock::new();
    WATCH.get_or_init(|| {
        let watch: &Watch = Box::leak(Box::new(Watch { pauses: Mutex::default() }));
        std::thread::spawn(|| watch.run());
        watch
    })
}

impl Watch {
    fn run(&self) {
        let (_sender, nothing) = mpsc::channel::<()>();
        loop {
            let begin = Instant::now();
            // Nothing ever comes.
            let _ = nothing.recv_timeout(TICK);
            let late = begin.elapsed().saturating_sub(TICK);
            if late >= TICK {
                self.pauses.lock().expect("no panic").push((Instant::now(), late));
            }
        }
    }

    fn longest_since(&self, begin: Instant) -> Duration {
        // A pause that has just ended is noted by the next tick.
        let (_sender, nothing) = mpsc::channel::<()>();
        let _ = nothing.recv_timeout(4 * TICK);
        let pauses = self.pauses.lock().expect("no panic");
        let since = pauses.iter().rev().take_while(|(end, _)| *end >= begin);
        since.map(|(_, length)| *length).max().unwrap_or_default()
    }
}

const TICK: Duration = Duration::from_millis(5);

const TRIES_MAX: usize = 20;
