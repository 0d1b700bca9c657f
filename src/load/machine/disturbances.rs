//! The thresholds from which on a report blames the machine for its measurements.

use std::time::Duration;

use serde::Serialize;

/// One way in which the machine disturbed a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Disturbance {
    /// The kind, for programs.
    pub kind: DisturbanceKind,
    /// The text, for people.
    pub message: String,
}

/// The kinds of a [`Disturbance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisturbanceKind {
    /// A pause of the machine explains most of the longest latency.
    Pause,
    /// Pauses took a large part of the run.
    Pauses,
    /// The shards' threads waited for their cores.
    RunQueueWait,
    /// The hypervisor gave CPU time to other machines.
    Steal,
}

/// The measured values that the thresholds apply to; see [`Machine`](super::Machine).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measures {
    pub(super) pause_max_us: Option<f64>,
    pub(super) pause_share: Option<f64>,
    pub(super) run_queue_wait_share: Option<f64>,
    pub(super) steal_share: Option<f64>,
}

/// All disturbances of a run with this longest latency.
pub(super) fn disturbances(measures: &Measures, longest_us: Option<f64>) -> Vec<Disturbance> {
    let found = [
        pause(measures, longest_us),
        pauses(measures, longest_us),
        run_queue_wait(measures),
        steal(measures),
    ];
    found.into_iter().flatten().collect()
}

fn pause(measures: &Measures, longest_us: Option<f64>) -> Option<Disturbance> {
    let pause = measures.pause_max_us.filter(|pause| *pause >= PAUSE_REPORTED_MIN.as_micros() as f64)?;
    let is_alike =
        |longest: &f64| pause >= PAUSE_OF_LATENCY * longest && *longest >= PAUSE_OF_LATENCY * pause;
    let longest = longest_us.filter(is_alike)?;
    let message = format!(
        "the machine was suspended or busy for {} (a sleeping thread woke that late), so the longest latency of {} is \
         the machine's and not the server's",
        millis(pause),
        millis(longest),
    );
    Some(Disturbance { kind: DisturbanceKind::Pause, message })
}

fn pauses(measures: &Measures, longest_us: Option<f64>) -> Option<Disturbance> {
    // If every latency is shorter than the shortest pause, the pauses did not hit the run.
    if longest_us.is_some_and(|longest| longest < PAUSE_REPORTED_MIN.as_micros() as f64) {
        return None;
    }
    let share = measures.pause_share.filter(|share| *share >= PAUSE_SHARE_MAX)?;
    let message = format!(
        "the machine was suspended or busy for {} of the run, which lowers the throughput",
        percent(share)
    );
    Some(Disturbance { kind: DisturbanceKind::Pauses, message })
}

fn run_queue_wait(measures: &Measures) -> Option<Disturbance> {
    let share = measures.run_queue_wait_share.filter(|share| *share >= RUN_QUEUE_WAIT_MAX)?;
    let message = format!(
        "a shard's thread waited {} of the time for its core, which other threads used: throughput and latency \
         describe a busy machine",
        percent(share)
    );
    Some(Disturbance { kind: DisturbanceKind::RunQueueWait, message })
}

fn steal(measures: &Measures) -> Option<Disturbance> {
    let share = measures.steal_share.filter(|share| *share >= STEAL_MAX)?;
    let message = format!("the hypervisor gave {} of the CPU time to other machines", percent(share));
    Some(Disturbance { kind: DisturbanceKind::Steal, message })
}

fn millis(micros: f64) -> String {
    format!("{:.0} ms", micros / 1e3)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A pause is reported if it is at least this long.
const PAUSE_REPORTED_MIN: Duration = Duration::from_millis(10);
/// A pause explains the longest latency if the shorter of the two is at least this share of the longer one. A pause
/// that is much longer than every latency did not hit the shards' cores.
const PAUSE_OF_LATENCY: f64 = 0.5;
/// From this share of the run on, pauses reduce its throughput noticeably.
const PAUSE_SHARE_MAX: f64 = 0.05;
/// A pause of this length can cause a missed deadline.
pub(crate) const PAUSE_LONG: Duration = Duration::from_millis(100);
/// From this share of the time on, waiting for its core slows a shard's thread noticeably.
pub(crate) const RUN_QUEUE_WAIT_MAX: f64 = 0.1;
/// From this share of the CPU time on, steal by the hypervisor slows a machine noticeably.
pub(crate) const STEAL_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(measures: &Measures, longest_us: f64) -> Vec<DisturbanceKind> {
        disturbances(measures, Some(longest_us)).into_iter().map(|found| found.kind).collect()
    }

    #[test]
    fn a_pause_as_long_as_the_latency_is_a_disturbance() {
        let paused = |micros| Measures { pause_max_us: Some(micros), ..Measures::default() };
        for (pause, longest, blamed) in [
            (3_200_000.0, 3_300_000.0, true),
            (3_200_000.0, 6_400_000.0, true),
            (3_200_000.0, 6_500_000.0, false),
            (9_999.0, 9_999.0, false),
            (10_000.0, 12_000.0, true),
            (27_000.0, 2_000.0, false),
        ] {
            let found = kinds(&paused(pause), longest);
            assert_eq!(found == [DisturbanceKind::Pause], blamed, "{pause} of {longest}: {found:?}");
        }
        assert_eq!(disturbances(&paused(5e6), None), [], "there is no latency to explain");
        let found = disturbances(&paused(3_200_000.0), Some(3_300_000.0));
        let expected = "woke that late), so the longest latency of 3300 ms is the machine's";
        assert!(found.iter().any(|found| found.message.contains(expected)), "{found:?}");
    }

    #[test]
    fn shares_are_reported_from_their_thresholds_on() {
        let quiet = Measures {
            pause_share: Some(0.049),
            run_queue_wait_share: Some(0.099),
            steal_share: Some(0.049),
            ..Measures::default()
        };
        assert_eq!(kinds(&quiet, 100.0), []);
        let busy = Measures {
            pause_share: Some(0.05),
            run_queue_wait_share: Some(0.1),
            steal_share: Some(0.05),
            ..Measures::default()
        };
        let all = [DisturbanceKind::Pauses, DisturbanceKind::RunQueueWait, DisturbanceKind::Steal];
        assert_eq!(kinds(&busy, 20_000.0), all);
        assert_eq!(kinds(&busy, 100.0), all[1..], "the pauses did not hit the run");
        assert_eq!(kinds(&Measures::default(), 100.0), [], "an unknown value is not blamed");
    }
}
