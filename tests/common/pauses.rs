//! Pauses of the machine, for tests that need a real clock.
//!
//! Shared machines pause for seconds now and then. Most tests wait for an event, so a pause does not matter. A test
//! that must reach a step before a deadline runs in [`retry_on_pause`], which measures the machine's pauses meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// Runs a test whose steps have this much time to spare. When the test fails and the machine paused for longer
/// meanwhile, it runs again.
pub fn retry_on_pause<T>(spare: Duration, test: impl Fn() -> T) -> T {
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
                    eprintln!("the longest pause of the machine was {pause:?}; the test tolerates {spare:?}");
                    resume_unwind(failure);
                }
                eprintln!("the machine paused for {pause:?}; the test runs again");
            }
        }
    }
}

/// Measures pauses with a thread that wakes up every few milliseconds and notes when it was late.
struct Watch {
    /// The end of each pause, and its length.
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
            // The channel stays empty; this waits for a tick.
            let _ = nothing.recv_timeout(TICK);
            let late = begin.elapsed().saturating_sub(TICK);
            if late >= TICK {
                self.pauses.lock().expect("no panic").push((Instant::now(), late));
            }
        }
    }

    fn longest_since(&self, begin: Instant) -> Duration {
        // The next tick notes a pause that has just ended.
        let (_sender, nothing) = mpsc::channel::<()>();
        let _ = nothing.recv_timeout(4 * TICK);
        let pauses = self.pauses.lock().expect("no panic");
        let since = pauses.iter().rev().take_while(|(end, _)| *end >= begin);
        since.map(|(_, length)| *length).max().unwrap_or_default()
    }
}

const TICK: Duration = Duration::from_millis(5);

const TRIES_MAX: usize = 20;
