//! A thread that only sleeps, and measures how late it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::steal::CpuTimes;

/// What the thread measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PauseReadings {
    pub(crate) pauses: Pauses,
    pub(crate) steal_share: Option<f64>,
}

/// Delays of its wake-ups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    pub(crate) longest: Duration,
    /// When the longest began, since the start.
    pub(crate) longest_at: Duration,
    /// The sum of all delays that are at least [`PAUSE_LEAST`].
    pub(crate) long_together: Duration,
}

impl Pauses {
    /// Notes a wake-up at this time since the start, with its delay.
    pub(crate) fn note(&mut self, woke: Duration, late: Duration) {
        if late >= PAUSE_LEAST {
            self.long_together += late;
        }
        if late > self.longest {
            self.longest = late;
            self.longest_at = woke.saturating_sub(late);
        }
    }
}

/// The running thread. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct PauseProbe {
    is_over: Arc<AtomicBool>,
    /// `None` after it was joined.
    thread: Option<JoinHandle<PauseReadings>>,
}

impl Drop for PauseProbe {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl PauseProbe {
    /// Starts measuring at `from`. `None` if the thread could not be created: the report then has no pauses.
    pub(super) fn start(from: Instant) -> Option<PauseProbe> {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let named = thread::Builder::new().name("hitless-machine".to_owned());
        let thread = named.spawn(move || sleep(from, &over)).ok()?;
        Some(PauseProbe { is_over, thread: Some(thread) })
    }

    /// Ends the thread and returns what it measured. Waits for up to one sleep of the thread.
    pub(crate) fn end(mut self) -> Option<PauseReadings> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok()
    }
}

fn sleep(from: Instant, is_over: &AtomicBool) -> PauseReadings {
    let mut pauses = Pauses::default();
    let is_over = || is_over.load(Ordering::Relaxed);
    while let Some(wait) = from.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if is_over() {
            return PauseReadings { pauses, steal_share: None };
        }
        thread::sleep(STOP_CHECK.min(wait));
    }
    let before = CpuTimes::read();
    let mut slept_at = Instant::now();
    // A delay of the start is a pause, too.
    pauses.note(slept_at - from, slept_at - from);
    while !is_over() {
        thread::sleep(SLEEP);
        let woke = Instant::now();
        pauses.note(woke - from, (woke - slept_at).saturating_sub(SLEEP));
        slept_at = woke;
    }
    let steal_share = before.zip(CpuTimes::read()).and_then(|(before, after)| after.stolen_since(before));
    PauseReadings { pauses, steal_share }
}

/// The length of one sleep; a pause is underestimated by up to this. A wake-up took 37 µs on a busy virtual machine, so
/// the thread costs 1 % of one core.
const SLEEP: Duration = Duration::from_millis(4);
/// How often it checks before the start whether the run has ended.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// A shorter delay is ordinary scheduling, and is not added up.
const PAUSE_LEAST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_all_long_pauses_are_measured() {
        let millis = Duration::from_millis;
        let mut pauses = Pauses::default();
        for (woke, late) in [(2, 1), (50, 12), (3000, 2500), (3100, 9), (3200, 40)] {
            pauses.note(millis(woke), millis(late));
        }
        let expected =
            Pauses { longest: millis(2500), longest_at: millis(500), long_together: millis(12 + 2500 + 40) };
        assert_eq!(pauses, expected);
    }

    #[test]
    fn a_pause_probe_ends_also_before_its_start() {
        let far = Instant::now() + Duration::from_secs(3600);
        let never_began = PauseProbe::start(far).and_then(PauseProbe::end).expect("a thread");
        assert_eq!(never_began, PauseReadings { pauses: Pauses::default(), steal_share: None });
        let began = Instant::now();
        let late = began.checked_sub(Duration::from_millis(30)).expect("a time");
        let pause_readings = PauseProbe::start(late).and_then(PauseProbe::end).expect("a thread");
        assert!(pause_readings.pauses.longest >= Duration::from_millis(30), "{pause_readings:?}");
    }
}
