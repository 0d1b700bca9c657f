//! Which settings a sweep measures, in which order, and which it does not repeat.

use super::objective::Objective;
use super::row::{Row, Sample, Setting};

/// The swept numbers; all combinations of them are settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) shards: Vec<usize>,
    pub(crate) connections: Vec<usize>,
    pub(crate) tasks: Vec<usize>,
}

impl Grid {
    /// All meaningful combinations in ascending order. A connection without a caller is unused: a setting has at most
    /// as many connections as callers.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        for &shards in &self.shards {
            for &connections in &self.connections {
                let fewest = self.connections.iter().min() == Some(&connections);
                let used = self.tasks.iter().filter(|tasks| fewest || **tasks >= connections);
                all.extend(used.map(|&tasks| Setting { shards, connections, tasks }));
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Powers of two up to `most`, and `most`.
pub(crate) fn doublings(most: usize) -> Vec<usize> {
    let mut all: Vec<usize> =
        std::iter::successors(Some(1usize), |last| last.checked_mul(2)).take_while(|n| *n < most).collect();
    all.push(most.max(1));
    all
}

/// The order in which a round measures `count` settings: random in each round, so that background load affects all
/// settings equally.
pub(crate) fn order(count: usize, seed: u64, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(round as u64))
        .shuffle(&mut order);
    order
}

/// Which rows are measured in full rounds. One short step is easily disturbed, so the estimate adds the time that other
/// threads took, and a setting between two good numbers of callers is kept, too.
pub(crate) fn worth_repeating(rows: &[Row], objective: Option<&Objective>) -> Vec<bool> {
    let load = |row: &Row| match objective {
        None => Some(0.0),
        Some(objective) => objective.load_of(row),
    };
    let fails = |row: &Row| {
        let share =
            row.median(|sample| Some(sample.failed as f64 / (sample.answered + sample.failed).max(1) as f64));
        share.is_none_or(|share| share > REPEAT_FAILED_SHARE_MAX)
    };
    let most = |met: f64| {
        let fitting = rows.iter().filter(|row| row.is_healthy() && load(row).is_some_and(|load| load <= met));
        fitting.map(Row::throughput).fold(0.0, f64::max)
    };
    let best = most(1.0);
    // If no setting meets the objective, those that are closest to it are kept.
    let least = rows.iter().filter_map(load).fold(f64::INFINITY, f64::min).max(1.0);
    let is_worth_repeating = |row: &Row| {
        let load = load(row).unwrap_or(f64::INFINITY);
        !fails(row) && load <= REPEAT_LOAD_MAX * least && undisturbed(row) >= REPEAT_SHARE_MIN * best
    };
    let alone: Vec<bool> = rows.iter().map(is_worth_repeating).collect();
    let is_kept = |row: &Row| {
        let alike = |other: &Row| Setting { tasks: row.setting.tasks, ..other.setting } == row.setting;
        let worth_repeating = || {
            rows.iter().zip(&alone).filter(|(other, is_worth_repeating)| **is_worth_repeating && alike(other))
        };
        let fewer = worth_repeating().any(|(other, _)| other.setting.tasks <= row.setting.tasks);
        fewer && worth_repeating().any(|(other, _)| other.setting.tasks >= row.setting.tasks)
    };
    rows.iter().map(is_kept).collect()
}

/// Estimates the throughput of a row if no other threads had used the cores.
fn undisturbed(row: &Row) -> f64 {
    let waited = |sample: &Sample| {
        let (core, server) = (sample.core_wait.unwrap_or(0.0), sample.server_wait.unwrap_or(0.0));
        core.max(server).max(sample.away_share()).min(WAITED_MAX)
    };
    row.median(|sample| Some(sample.throughput_per_second / (1.0 - waited(sample)))).unwrap_or(0.0)
}

/// The most settings of one run; more would take hours.
pub(crate) const SETTINGS_MAX: usize = 2_000;
/// After the scouting round a setting is left out if it reaches less than this share of the best. A recommended setting
/// is far above it; the difference allows for the noise of one short step.
const REPEAT_SHARE_MIN: f64 = 0.6;
/// A setting is also left out if its latencies exceed the objective by more than this factor.
const REPEAT_LOAD_MAX: f64 = 2.0;
/// A setting is also left out if more than this share of its commands fail.
const REPEAT_FAILED_SHARE_MAX: f64 = 0.05;
/// The largest share of waiting time that the estimate compensates.
const WAITED_MAX: f64 = 0.75;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::tuner::objective::Quantile;
    use crate::load::tuner::synthetic::{Station, rows};

    #[test]
    fn a_grid_has_all_combinations_without_idle_connections() {
        let grid = Grid { shards: vec![1, 2], connections: vec![1, 8], tasks: vec![1, 4, 16] };
        let settings = grid.settings();
        assert_eq!(settings.len(), 2 * (3 + 1));
        assert!(settings.is_sorted());
        assert!(!settings.contains(&Setting { shards: 1, connections: 8, tasks: 4 }));
        // The only combination is kept.
        let grid = Grid { shards: vec![1], connections: vec![8], tasks: vec![4] };
        assert_eq!(grid.settings().len(), 1);
    }

    #[test]
    fn doublings_end_with_the_maximum() {
        assert_eq!(doublings(1), [1]);
        assert_eq!(doublings(8), [1, 2, 4, 8]);
        assert_eq!(doublings(6), [1, 2, 4, 6]);
        assert_eq!(doublings(0), [1]);
    }

    #[test]
    fn every_round_has_its_own_complete_order() {
        let orders: Vec<_> = (0..4).map(|round| order(20, 7, round)).collect();
        for (round, order) in orders.iter().enumerate() {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<_>>());
            assert_eq!(*order, super::order(20, 7, round), "the seed repeats it");
            assert!(orders.iter().skip(round + 1).all(|other| other != order));
        }
    }

    #[test]
    fn hopeless_settings_are_not_repeated() {
        let station = Station { service_us: 10.0, latency_us: 310.0 };
        let all = rows(&station, &[1, 2, 4, 8, 16, 32, 64, 128], 1);
        // The server is saturated at 32 callers; half of the callers have half of the throughput.
        assert_eq!(worth_repeating(&all, None), [false, false, false, false, false, true, true, true]);
        // 128 callers wait for 1.28 ms.
        let objective = Objective(vec![(Quantile::P50, Duration::from_micros(600))]);
        assert_eq!(
            worth_repeating(&all, Some(&objective)),
            [false, false, false, false, false, true, true, false]
        );
        let impossible = Objective(vec![(Quantile::P50, Duration::from_micros(1))]);
        assert!(worth_repeating(&all, Some(&impossible)).contains(&true), "some setting is always kept");
    }

    #[test]
    fn disturbed_settings_are_repeated() {
        let station = Station { service_us: 10.0, latency_us: 310.0 };
        let mut all = rows(&station, &[16, 32, 64, 128], 1);
        let slowed = |row: &mut Row| row.samples[0].throughput_per_second *= 0.4;
        slowed(&mut all[1]);
        slowed(&mut all[3]);
        // 16 callers reach half of what 64 do.
        assert_eq!(worth_repeating(&all, None), [false, false, true, false]);
        all[3].samples[0].core_wait = Some(0.6);
        assert_eq!(worth_repeating(&all, None), [false, false, true, true]);
        (all[3].samples[0].core_wait, all[3].samples[0].pause_share) = (None, Some(0.6));
        assert_eq!(worth_repeating(&all, None), [false, false, true, true], "the machine was suspended");
        slowed(&mut all[2]);
        all[1] = rows(&station, &[32], 1).remove(0);
        assert_eq!(worth_repeating(&all, None), [false, true, true, true], "a dip");
    }

    #[test]
    fn failing_settings_are_not_repeated() {
        let mut all = rows(&Station { service_us: 10.0, latency_us: 10.0 }, &[4, 8], 1);
        all[1].samples[0].failed = all[1].samples[0].answered;
        assert_eq!(worth_repeating(&all, None), [true, false]);
    }
}
