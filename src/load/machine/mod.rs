//! Host statistics of a run. A machine that is suspended, or runs other threads, causes latencies that look like the
//! server's.
//!
//! A thread that only sleeps measures how late it wakes: about as long as the machine was suspended or busy. The kernel
//! reports how long the shards' threads were runnable but waited for their cores, and how much CPU time the hypervisor
//! gave to other machines.

mod disturbances;
mod pauses;
mod steal;
mod threads;
#[cfg(feature = "tokio")]
mod workers;

use std::time::{Duration, Instant};

use serde::Serialize;

pub use disturbances::{Disturbance, DisturbanceKind};
use disturbances::{Measures, PAUSE_LONG};
#[cfg(feature = "cli")]
pub(crate) use disturbances::{RUN_QUEUE_WAIT_MAX, STEAL_MAX};
pub(crate) use pauses::{PauseProbe, PauseReadings};
pub(crate) use threads::{ThreadTimes, thread_cpu, thread_times};
#[cfg(feature = "tokio")]
pub(crate) use workers::{RuntimeThreads, worker_number};

use crate::load::recording::latency::round;

/// Host statistics of the measured time. Shares are fractions of 1. Values that could not be read are absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// The longest delay of the wake-up of a thread that only sleeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_max_us: Option<f64>,
    /// When that delay began, since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_max_at_seconds: Option<f64>,
    /// The part of the run that all pauses of 10 ms or more took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_share: Option<f64>,
    /// The part of the time in which a shard's thread was runnable but waited for its core, of the shard that waited
    /// longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_wait_share: Option<f64>,
    /// The part of all CPU time that the hypervisor gave to other machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal_share: Option<f64>,
    /// The disturbances that make the measurements describe the machine instead of the server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<Disturbance>,
}

impl Machine {
    /// `waited`: the run-queue wait of each shard. `longest_us`: the longest latency of the run.
    pub(crate) fn new(
        pause_readings: Option<&PauseReadings>,
        waited: impl Iterator<Item = f64>,
        elapsed: Duration,
        longest_us: Option<f64>,
    ) -> Machine {
        let pauses = pause_readings.map(|readings| &readings.pauses).filter(|_| !elapsed.is_zero());
        let measures = Measures {
            pause_max_us: pauses.map(|pauses| round(pauses.longest.as_nanos() as f64 / 1e3, 3)),
            pause_share: pauses.map(|pauses| share(pauses.long_together, elapsed)),
            run_queue_wait_share: waited.max_by(f64::total_cmp).map(|share| round(share, 4)),
            steal_share: pause_readings
                .and_then(|readings| readings.steal_share)
                .map(|share| round(share, 4)),
        };
        let pause_max_at_seconds = pauses.map(|pauses| round(pauses.longest_at.as_secs_f64(), 3));
        Machine::of(measures, pause_max_at_seconds, longest_us)
    }

    fn of(measures: Measures, pause_max_at_seconds: Option<f64>, longest_us: Option<f64>) -> Machine {
        let disturbances = disturbances::disturbances(&measures, longest_us);
        let Measures { pause_max_us, pause_share, run_queue_wait_share, steal_share } = measures;
        Machine {
            pause_max_us,
            pause_max_at_seconds,
            pause_share,
            run_queue_wait_share,
            steal_share,
            disturbances,
        }
    }

    /// The longest pause in microseconds, if it was long enough to explain a missed deadline.
    pub fn long_pause_us(&self) -> Option<f64> {
        self.pause_max_us.filter(|pause| *pause >= PAUSE_LONG.as_micros() as f64)
    }
}

#[cfg(all(test, feature = "cli"))]
impl Machine {
    /// A machine with a long pause, for tests of code that displays it.
    pub(crate) fn example() -> Machine {
        let measures = Measures {
            pause_max_us: Some(3_200_000.0),
            pause_share: Some(0.01),
            run_queue_wait_share: Some(0.125),
            steal_share: Some(0.004),
        };
        Machine::of(measures, Some(4.1), Some(3_300_000.0))
    }
}

/// Starts to measure pauses at `from`.
pub(crate) fn watch(from: Instant) -> Option<PauseProbe> {
    PauseProbe::start(from)
}

fn share(part: Duration, whole: Duration) -> f64 {
    round((part.as_secs_f64() / whole.as_secs_f64()).min(1.0), 4)
}

#[cfg(test)]
mod tests {
    use super::pauses::Pauses;
    use super::*;

    #[test]
    fn readings_become_shares() {
        let mut pauses = Pauses::default();
        pauses.note(Duration::from_millis(4100), Duration::from_millis(2000));
        let pause_readings = PauseReadings { pauses, steal_share: Some(0.012_34) };
        let ten = Duration::from_secs(10);
        let machine =
            Machine::new(Some(&pause_readings), [0.01, 0.023_45, 0.0].into_iter(), ten, Some(100.0));
        assert_eq!(machine.pause_max_us, Some(2e6));
        assert_eq!(machine.pause_max_at_seconds, Some(2.1));
        assert_eq!((machine.pause_share, machine.steal_share), (Some(0.2), Some(0.0123)));
        assert_eq!(machine.run_queue_wait_share, Some(0.0235));
        assert_eq!(machine.long_pause_us(), Some(2e6));
    }

    #[test]
    fn unreadable_values_are_absent() {
        let machine = Machine::new(None, std::iter::empty(), Duration::from_secs(1), None);
        assert_eq!(machine, Machine::default());
        assert_eq!(machine.long_pause_us(), None);
        let pause_readings = PauseReadings { pauses: Pauses::default(), steal_share: None };
        let over_at_once = Machine::new(Some(&pause_readings), std::iter::empty(), Duration::ZERO, None);
        assert_eq!(over_at_once.pause_share, None);
    }
}
