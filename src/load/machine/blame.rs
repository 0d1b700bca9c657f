//! Whether figures are the machine's and not the server's: thresholds, and nothing else.

use std::time::Duration;

use serde::Serialize;

use super::Machine;

/// A pause is told if it is at least this long,
const PAUSE_TOLD: Duration = Duration::from_millis(10);
/// and at least this share of the longest latency: then that latency is mostly the pause. A pause that is longer than the
/// latency by as much did not meet the run: another core was busy, and the shards' was not.
const PAUSE_OF_LATENCY: f64 = 0.5;
/// Pauses that take this share of a run take as much of its throughput.
const PAUSE_SHARE_MAX: f64 = 0.05;
/// A pause of this length can be why a deadline was missed.
pub(crate) const PAUSE_LONG: Duration = Duration::from_millis(100);
/// A shard's thread that waits for its core for a larger share of the time is slower by that.
pub(crate) const RUN_QUEUE_WAIT_MAX: f64 = 0.1;
/// A machine that loses a larger share of its CPU time to others is slower by that.
pub(crate) const STEAL_MAX: f64 = 0.05;

/// Something that the machine did to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Disturbance {
    /// For programs.
    pub kind: DisturbanceKind,
    /// The same in words.
    pub message: String,
}

/// The kinds of a [`Disturbance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisturbanceKind {
    /// The longest latency is mostly a pause of the machine.
    Pause,
    /// Pauses took a large part of the run.
    Pauses,
    /// The shards' threads waited for their cores.
    RunQueueWait,
    /// The hypervisor gave CPU time to others.
    Steal,
}

/// Everything that the machine did to a run whose longest latency is this.
pub(super) fn disturbances(machine: &Machine, longest_us: Option<f64>) -> Vec<Disturbance> {
    let found =
        [pause(machine, longest_us), pauses(machine, longest_us), run_queue_wait(machine), steal(machine)];
    found.into_iter().flatten().collect()
}

fn pause(machine: &Machine, longest_us: Option<f64>) -> Option<Disturbance> {
    let pause = machine.pause_max_us.filter(|pause| *pause >= PAUSE_TOLD.as_micros() as f64)?;
    let is_alike =
        |longest: &f64| pause >= PAUSE_OF_LATENCY * longest && *longest >= PAUSE_OF_LATENCY * pause;
    let longest = longest_us.filter(is_alike)?;
    let message = format!(
        "the machine was away or busy for {} (a thread that only sleeps woke so late), so the longest latency of {} is \
         the machine's and not the server's",
        millis(pause),
        millis(longest),
    );
    Some(Disturbance { kind: DisturbanceKind::Pause, message })
}

fn pauses(machine: &Machine, longest_us: Option<f64>) -> Option<Disturbance> {
    // Where every latency is shorter than any of the pauses, they did not meet the run.
    if longest_us.is_some_and(|longest| longest < PAUSE_TOLD.as_micros() as f64) {
        return None;
    }
    let share = machine.pause_share.filter(|share| *share >= PAUSE_SHARE_MAX)?;
    let message =
        format!("the machine was away or busy for {} of the run, which throughput lacks", percent(share));
    Some(Disturbance { kind: DisturbanceKind::Pauses, message })
}

fn run_queue_wait(machine: &Machine) -> Option<Disturbance> {
    let share = machine.run_queue_wait_share.filter(|share| *share >= RUN_QUEUE_WAIT_MAX)?;
    let message = format!(
        "a shard's thread waited {} of the time for its core, which other threads used: throughput and latency are \
         those of a busy machine",
        percent(share)
    );
    Some(Disturbance { kind: DisturbanceKind::RunQueueWait, message })
}

fn steal(machine: &Machine) -> Option<Disturbance> {
    let share = machine.steal_share.filter(|share| *share >= STEAL_MAX)?;
    let message = format!("the hypervisor gave {} of the CPU time to other machines", percent(share));
    Some(Disturbance { kind: DisturbanceKind::Steal, message })
}

fn millis(micros: f64) -> String {
    format!("{:.0} ms", micros / 1e3)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(machine: &Machine, longest_us: f64) -> Vec<DisturbanceKind> {
        disturbances(machine, Some(longest_us)).into_iter().map(|found| found.kind).collect()
    }

    #[test]
    fn a_pause_is_blamed_for_the_latency_that_it_explains() {
        let paused = |micros| Machine { pause_max_us: Some(micros), ..Machine::default() };
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
        assert_eq!(disturbances(&paused(5e6), None), [], "no latency is to be explained");
        let found = disturbances(&paused(3_200_000.0), Some(3_300_000.0));
        let said = "woke so late), so the longest latency of 3300 ms is the machine's";
        assert!(found.iter().any(|found| found.message.contains(said)), "{found:?}");
    }

    #[test]
    fn shares_are_told_from_their_thresholds_on() {
        let quiet = Machine {
            pause_share: Some(0.049),
            run_queue_wait_share: Some(0.099),
            steal_share: Some(0.049),
            ..Machine::default()
        };
        assert_eq!(kinds(&quiet, 100.0), []);
        let busy = Machine {
            pause_share: Some(0.05),
            run_queue_wait_share: Some(0.1),
            steal_share: Some(0.05),
            ..Machine::default()
        };
        let all = [DisturbanceKind::Pauses, DisturbanceKind::RunQueueWait, DisturbanceKind::Steal];
        assert_eq!(kinds(&busy, 20_000.0), all);
        assert_eq!(kinds(&busy, 100.0), all[1..], "the pauses did not meet the run");
        assert_eq!(kinds(&Machine::default(), 100.0), [], "what is not known is not blamed");
    }
}
