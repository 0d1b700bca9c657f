//! One line for each step of a sweep on standard error, if it is a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::cli::units::{grouped, micros};
use crate::load::Report;
use crate::load::tuner::row::{Sample, Setting};
use crate::load::tuner::step::warm_up;

/// The planned steps of a sweep.
#[derive(Debug, Clone, Copy)]
pub(super) struct SweepPlan {
    /// Settings, and so steps of a round, before the scouting round excludes any.
    pub(super) steps: usize,
    pub(super) rounds: usize,
    pub(super) step: Duration,
    /// The length of a step of the scouting round, if there is one.
    pub(super) scout: Option<Duration>,
}

impl SweepPlan {
    fn whole(step: Duration) -> Duration {
        step + warm_up(step) + STEP_OVERHEAD
    }

    /// The longest time that is left in the middle of a round. The savings of the scouting round are unknown until it
    /// ends.
    fn left(&self, round: usize, steps_left: usize, steps: usize) -> Duration {
        let times = |step, count: usize| SweepPlan::whole(step) * u32::try_from(count).unwrap_or(u32::MAX);
        let this = if round == 0 { self.scout.unwrap_or_default() } else { self.step };
        times(this, steps_left) + times(self.step, steps.saturating_mul(self.rounds.saturating_sub(round)))
    }
}

/// Writes the lines.
#[derive(Debug)]
pub(super) struct ProgressLines {
    shown: bool,
    plan: Option<SweepPlan>,
}

impl ProgressLines {
    pub(super) fn new(quiet: bool) -> ProgressLines {
        ProgressLines { shown: !quiet && std::io::stderr().is_terminal(), plan: None }
    }

    pub(super) fn begin(&mut self, plan: SweepPlan) {
        self.plan = Some(plan);
        let first = if plan.scout.is_some() { 0 } else { 1 };
        let steps = plan.steps;
        let left = plan.left(first, steps, steps);
        self.write(&format!("{steps} settings, {} rounds: at most {}", plan.rounds, minutes(left)));
    }

    pub(super) fn step(&self, round: usize, done: usize, steps: usize, setting: Setting, sample: &Sample) {
        let left = self.plan.map_or(Duration::ZERO, |plan| plan.left(round, steps - done.min(steps), steps));
        let which = match (round, self.plan) {
            (0, _) | (_, None) => "scouting".to_owned(),
            (round, Some(plan)) => format!("round {round} of {}", plan.rounds),
        };
        let Setting { shards, connections, tasks } = setting;
        let p99 = sample.latency_us.map_or_else(|| "-".to_owned(), |latency| micros(latency.p99));
        let throughput = grouped(sample.throughput_per_second as u64);
        self.write(&format!(
            "{which} {done:>3}/{steps}  {:>10}  {throughput:>10}/s  p99 {p99:>8}  left {}",
            format!("{shards}×{connections}×{tasks}"),
            minutes(left),
        ));
    }

    pub(super) fn probe(&self, rate: u64, met: bool, report: &Report) {
        let p99 = report.latency_us.map_or_else(|| "-".to_owned(), |latency| micros(latency.p99));
        let verdict = if met { "met" } else { "missed" };
        self.write(&format!("rate {:>10}/s  p99 {p99:>8}  {verdict}", grouped(rate)));
    }

    pub(super) fn handoff(&self) {
        self.write("handing all connections off, at the recommended setting");
    }

    fn write(&self, line: &str) {
        if self.shown {
            // A closed terminal must not end the run.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// `2m 5s`, `45s`.
pub(super) fn minutes(time: Duration) -> String {
    let seconds = (time.as_secs_f64().ceil()) as u64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

/// The overhead of a step: the start and the end of its threads and connections.
const STEP_OVERHEAD: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_shrinks_with_every_step() {
        let second = Duration::from_secs(1);
        let plan = SweepPlan { steps: 10, rounds: 2, step: 3 * second, scout: Some(second) };
        let all = [(0, 10, 10), (0, 1, 10), (0, 0, 10), (1, 4, 4), (1, 0, 4), (2, 4, 4), (2, 0, 4)];
        let left = all.map(|(round, steps_left, steps)| plan.left(round, steps_left, steps));
        assert!(left.windows(2).all(|pair| pair[0] >= pair[1]), "{left:?}");
        assert_eq!(left[6], Duration::ZERO);
        // Ten steps of a second, and twice ten of three, each with its warm-up and its overhead.
        assert_eq!(left[0].as_millis(), 10 * 1350 + 20 * 3750);
    }

    #[test]
    fn times_are_read_at_a_glance() {
        let all = [0, 59, 125, 7322].map(|seconds| minutes(Duration::from_secs(seconds)));
        assert_eq!(all, ["0s", "59s", "2m 5s", "2h 2m"]);
    }
}
