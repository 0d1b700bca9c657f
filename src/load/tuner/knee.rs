//! Which setting is recommended, and whether the knee, the objective or the edge of the sweep determined it.

use serde::Serialize;

use super::objective::Objective;
use super::row::{Row, Setting, median};

/// The recommendation, as indices of the rows that it was chosen from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recommendation {
    pub(crate) row: usize,
    pub(crate) reason: Reason,
    /// The setting with the best throughput among the candidates.
    pub(crate) best: usize,
    /// The throughput of the recommended setting, as a share of the best.
    pub(crate) share_of_best: f64,
    /// The setting with the largest ratio of throughput to latency: there a server that executes one command at a time
    /// is just saturated.
    pub(crate) balanced: usize,
    pub(crate) noise: Noise,
    /// Settings within this share of the best throughput count as equally good.
    pub(crate) tolerance: f64,
}

/// Why no larger setting is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Larger settings have no higher throughput.
    Knee,
    /// Larger settings have a higher throughput, but miss the objective.
    Objective,
    /// It has the most callers of the sweep, and throughput still rose up to it.
    EdgeOfTasks,
    /// It has the most connections of the sweep, and throughput still rose up to it.
    EdgeOfConnections,
}

/// The spread of the rounds of one setting, as a share of their median; the median over all settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Noise {
    pub(crate) throughput: f64,
    pub(crate) p99: f64,
}

impl Noise {
    fn of(rows: &[Row]) -> Noise {
        let over = |spread: &dyn Fn(&Row) -> Option<f64>| {
            median(rows.iter().filter(|row| row.is_healthy()).filter_map(spread).collect()).unwrap_or(0.0)
        };
        Noise {
            throughput: over(&|row| row.spread(|sample| Some(sample.throughput_per_second))),
            p99: over(&|row| row.spread(|sample| sample.latency_us.as_ref().map(|latency| latency.p99))),
        }
    }
}

/// Chooses a setting. `None` if no measured setting answers its commands, or meets the objective.
pub(crate) fn recommend(
    rows: &[Row],
    objective: Option<&Objective>,
    tolerance: f64,
) -> Option<Recommendation> {
    let noise = Noise::of(rows);
    let tolerance = tolerance + noise.throughput.min(NOISE_MAX);
    // Settings that were left out after the scouting round are no candidates, unless there was only that round.
    let is_whole = rows.iter().any(|row| row.rounds() > 0);
    let healthy: Vec<Candidate<'_>> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.is_healthy())
        .map(|(place, row)| Candidate::new(place, row))
        .collect();
    let is_in = |candidate: &&Candidate<'_>| !is_whole || candidate.row.rounds() > 0;
    let all: Vec<Candidate<'_>> = healthy.iter().filter(is_in).cloned().collect();
    let fit: Vec<Candidate<'_>> = match objective {
        None => all.clone(),
        Some(objective) => {
            all.iter().filter(|candidate| objective.is_met_by(candidate.row)).cloned().collect()
        }
    };
    let best = fastest(&fit)?;
    let floor = best.throughput * (1.0 - tolerance);
    let callers = smallest(&fit, floor)?;
    let alike: Vec<Candidate<'_>> =
        fit.iter().filter(|candidate| candidate.callers() == callers).cloned().collect();
    let chosen = fewest_connections(&alike, tolerance, P99_TOLERANCE_LEAST.max(noise.p99))?;
    let balanced = fit.iter().max_by(|one, other| one.power().total_cmp(&other.power()))?;
    let is_limited = fastest(&all).is_some_and(|any| any.throughput * (1.0 - tolerance) > chosen.throughput);
    let reason = match objective {
        Some(_) if is_limited => Reason::Objective,
        _ => edge(&healthy, chosen.setting(), tolerance).unwrap_or(Reason::Knee),
    };
    Some(Recommendation {
        row: chosen.place,
        reason,
        best: best.place,
        share_of_best: chosen.throughput / best.throughput,
        balanced: balanced.place,
        noise,
        tolerance,
    })
}

/// A row with its precomputed throughput.
#[derive(Debug, Clone)]
struct Candidate<'a> {
    place: usize,
    row: &'a Row,
    throughput: f64,
}

impl<'a> Candidate<'a> {
    fn new(place: usize, row: &'a Row) -> Candidate<'a> {
        Candidate { place, row, throughput: row.throughput() }
    }

    fn setting(&self) -> Setting {
        self.row.setting
    }

    fn callers(&self) -> (usize, usize) {
        (self.setting().shards, self.setting().tasks)
    }

    fn p99(&self) -> f64 {
        self.row.latency(|latency| latency.p99).unwrap_or(f64::INFINITY)
    }

    /// The ratio of throughput to latency, known as power.
    fn power(&self) -> f64 {
        match self.row.latency(|latency| latency.mean) {
            Some(mean) if mean > 0.0 => self.throughput / mean,
            _ => 0.0,
        }
    }
}

fn fastest<'c, 'a>(candidates: &'c [Candidate<'a>]) -> Option<&'c Candidate<'a>> {
    candidates.iter().max_by(|one, other| one.throughput.total_cmp(&other.throughput))
}

/// The fewest shards, and with these the fewest callers, that reach `floor` with some number of connections.
fn smallest(candidates: &[Candidate<'_>], floor: f64) -> Option<(usize, usize)> {
    let reaching = candidates.iter().filter(|candidate| candidate.throughput >= floor);
    reaching.map(Candidate::callers).min()
}

/// Among settings that differ in their connections only, the fewest that lose neither throughput nor latency.
fn fewest_connections<'c, 'a>(
    alike: &'c [Candidate<'a>],
    tolerance: f64,
    p99_tolerance: f64,
) -> Option<&'c Candidate<'a>> {
    let floor = fastest(alike)?.throughput * (1.0 - tolerance);
    let fast = || alike.iter().filter(move |candidate| candidate.throughput >= floor);
    let p99 = fast().map(Candidate::p99).fold(f64::INFINITY, f64::min) * (1.0 + p99_tolerance);
    fast().filter(|candidate| candidate.p99() <= p99).min_by_key(|candidate| candidate.setting().connections)
}

/// Whether throughput still rises at the largest number of callers, or of connections, of the sweep. Settings that were
/// left out after the scouting round were far below.
fn edge(all: &[Candidate<'_>], chosen: Setting, tolerance: f64) -> Option<Reason> {
    let most = |read: fn(Setting) -> usize| all.iter().map(|one| read(one.setting())).max();
    let at = |setting: Setting| all.iter().find(|one| one.setting() == setting);
    let rises = |read: fn(Setting) -> usize, with: fn(Setting, usize) -> Setting| {
        if Some(read(chosen)) != most(read) {
            return false;
        }
        let along = all.iter().filter(|one| with(one.setting(), 0) == with(chosen, 0));
        let below =
            along.filter(|one| read(one.setting()) < read(chosen)).max_by_key(|one| read(one.setting()));
        match (below, at(chosen)) {
            (Some(below), Some(chosen)) => below.throughput < chosen.throughput * (1.0 - tolerance),
            _ => false,
        }
    };
    if rises(|setting| setting.tasks, |setting, tasks| Setting { tasks, ..setting }) {
        return Some(Reason::EdgeOfTasks);
    }
    let rises =
        rises(|setting| setting.connections, |setting, connections| Setting { connections, ..setting });
    rises.then_some(Reason::EdgeOfConnections)
}

/// With more noise a recommendation is unreliable.
pub(crate) const NOISE_MAX: f64 = 0.25;
/// A 99th percentile counts as worse only if it is at least this much longer, because it is the noisiest of these
/// numbers.
const P99_TOLERANCE_LEAST: f64 = 0.25;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::load::tuner::objective::Quantile;
    use crate::load::tuner::row::Sample;
    use crate::load::tuner::synthetic::{Station, rows};

    const TASKS: [usize; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

    fn recommended(rows: &[Row], objective: Option<&Objective>) -> (Setting, Reason) {
        let found = recommend(rows, objective, 0.05).expect("a recommendation");
        (rows[found.row].setting, found.reason)
    }

    #[test]
    fn the_knee_is_where_the_server_is_just_busy() {
        for (service_us, latency_us, tasks) in
            [(1.0, 63.0, 64), (200.0, 50.0, 2), (2000.0, 20.0, 1), (1.0, 1000.0, 1024)]
        {
            let station = Station { service_us, latency_us };
            let rows = rows(&station, &TASKS, 3);
            let (setting, reason) = recommended(&rows, None);
            assert_eq!((setting.tasks, reason), (tasks, Reason::Knee), "knee at {}", station.knee());
            let balanced = recommend(&rows, None, 0.05).map(|found| rows[found.balanced].setting.tasks);
            assert!(balanced.is_some_and(|balanced| balanced <= 2 * tasks && tasks <= 2 * balanced));
        }
    }

    #[test]
    fn an_objective_limits_the_recommendation() {
        let rows = rows(&Station { service_us: 10.0, latency_us: 630.0 }, &TASKS, 3);
        // 64 callers keep it busy, and wait 640 µs; 128 wait twice as long, without getting more done.
        let within = |micros| Objective(vec![(Quantile::P50, Duration::from_micros(micros))]);
        assert_eq!(recommended(&rows, Some(&within(5000))).1, Reason::Knee);
        assert_eq!(recommended(&rows, Some(&within(641))).0.tasks, 64);
        assert_eq!(recommend(&rows, Some(&within(600)), 0.05), None, "nothing meets it");
        // Here throughput grows with the latency.
        let far = Station { service_us: 10.0, latency_us: 100.0 };
        let mut rows = super::tests::rows(&far, &TASKS, 3);
        for row in &mut rows {
            let tasks = row.setting.tasks as f64;
            row.samples.iter_mut().for_each(|sample| sample.throughput_per_second = tasks);
        }
        let (setting, reason) = recommended(&rows, Some(&within(170)));
        assert_eq!((setting.tasks, reason), (16, Reason::Objective));
    }

    #[test]
    fn a_sweep_that_ends_before_the_knee_says_so() {
        let rows = rows(&Station { service_us: 1.0, latency_us: 10_000.0 }, &TASKS, 3);
        assert_eq!(recommended(&rows, None).1, Reason::EdgeOfTasks);
        let mut scouted = rows.clone();
        scouted[..11].iter_mut().flat_map(|row| &mut row.samples).for_each(|sample| sample.round = 0);
        assert_eq!(
            recommended(&scouted, None).1,
            Reason::EdgeOfTasks,
            "a setting that was left out still counts"
        );
        assert_eq!(recommended(&rows[..1], None).1, Reason::Knee, "one setting has no edge");
    }

    /// Rows for each number of connections, with this share of the throughput and this factor of the p99.
    fn with_connections(shares: &[(usize, f64, f64)]) -> Vec<Row> {
        let station = Station { service_us: 1.0, latency_us: 63.0 };
        let vary = |&(connections, share, p99): &(usize, f64, f64)| {
            let mut all = rows(&station, &TASKS, 3);
            for row in &mut all {
                row.setting.connections = connections;
                for sample in &mut row.samples {
                    sample.throughput_per_second *= share;
                    if let Some(latency) = &mut sample.latency_us {
                        latency.p99 *= p99;
                    }
                }
            }
            all
        };
        shares.iter().flat_map(vary).collect()
    }

    #[test]
    fn connections_are_added_only_if_they_help() {
        let chosen = |shares: &[(usize, f64, f64)]| {
            let (setting, _) = recommended(&with_connections(shares), None);
            (setting.connections, setting.tasks)
        };
        assert_eq!(chosen(&[(1, 1.0, 1.0), (2, 1.0, 1.0), (4, 1.0, 1.0)]), (1, 64));
        assert_eq!(chosen(&[(1, 0.96, 1.0), (2, 0.99, 1.0), (4, 1.0, 1.0)]), (1, 64));
        assert_eq!(chosen(&[(1, 0.6, 1.0), (2, 0.97, 1.0), (4, 1.0, 1.0)]), (2, 64));
        assert_eq!(chosen(&[(1, 1.0, 3.0), (2, 1.0, 2.0), (4, 1.0, 1.0)]), (4, 64));
        assert_eq!(chosen(&[(1, 1.0, 1.1), (2, 0.7, 1.0)]), (1, 64));
        let reason = |shares: &[(usize, f64, f64)]| recommended(&with_connections(shares), None).1;
        assert_eq!(reason(&[(1, 0.6, 1.0), (2, 1.0, 1.0)]), Reason::EdgeOfConnections);
        assert_eq!(reason(&[(1, 0.6, 1.0), (2, 1.0, 1.0), (4, 1.0, 1.0)]), Reason::Knee);
    }

    #[test]
    fn shards_are_added_only_if_they_help() {
        let of = |shards: usize, share: f64| {
            let mut all = rows(&Station { service_us: 1.0, latency_us: 63.0 }, &TASKS, 3);
            for row in &mut all {
                row.setting.shards = shards;
                row.samples.iter_mut().for_each(|sample| sample.throughput_per_second *= share);
            }
            all
        };
        assert_eq!(recommended(&[of(1, 1.0), of(2, 1.02)].concat(), None).0.shards, 1);
        assert_eq!(recommended(&[of(1, 1.0), of(2, 1.8)].concat(), None).0.shards, 2);
    }

    #[test]
    fn failing_or_dropped_settings_are_not_recommended() {
        let mut all = rows(&Station { service_us: 1.0, latency_us: 63.0 }, &TASKS, 3);
        all[6].samples.iter_mut().for_each(|sample| sample.failed = sample.answered);
        assert_eq!(recommended(&all, None).0.tasks, 128);
        all[7].samples.truncate(1);
        all[7].samples[0].round = 0;
        assert_eq!(recommended(&all, None).0.tasks, 256);
        // An interrupted run has only the scouting round.
        let scouts = |row: &mut Row| row.samples.iter_mut().for_each(|sample| sample.round = 0);
        all.iter_mut().for_each(scouts);
        assert_eq!(recommended(&all, None).0.tasks, 128);
        assert_eq!(recommend(&[], None, 0.05), None);
    }

    /// How many steps noise of up to this share moves the recommendation for this station.
    fn steps_moved(station: &Station, level: f64, seed: u64, rounds: usize) -> usize {
        let quiet = rows(station, &TASKS, rounds);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut noisy = quiet.clone();
        for row in &mut noisy {
            let again = |round| {
                let noise = level * (random.f64() * 2.0 - 1.0);
                station.sample(row.setting, round, noise)
            };
            row.samples = (1..=rounds).map(again).collect();
        }
        let [quiet, noisy] = [&quiet, &noisy]
            .map(|rows| recommend(rows, None, 0.05).map(|found| found.row).expect("a recommendation"));
        quiet.abs_diff(noisy)
    }

    /// Only if the best setting gains all of the noise, and two smaller ones lose all of it, is one of those missed.
    #[test]
    fn strong_noise_hardly_ever_moves_it_by_two_steps() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut moved = |_: &u64| {
            let (service_us, latency_us) = (0.5 + 3000.0 * random.f64(), 1.0 + 20_000.0 * random.f64());
            steps_moved(&Station { service_us, latency_us }, 0.08 * random.f64(), random.u64(..), 3) > 1
        };
        let far = (0..2_000).filter(|number| moved(number)).count();
        assert!(far <= 20, "{far} of 2000");
    }

    proptest! {
        /// What the tolerance covers, whatever the noise does.
        #[test]
        fn noise_moves_the_recommendation_by_at_most_one_step(
            service_us in 0.5f64..3000.0,
            latency_us in 1.0f64..20_000.0,
            level in 0.0f64..0.025,
            seed in any::<u64>(),
            rounds in 3usize..6,
        ) {
            let station = Station { service_us, latency_us };
            let moved = steps_moved(&station, level, seed, rounds);
            prop_assert!(moved <= 1, "{moved} steps, knee at {}", station.knee());
        }

        /// The recommended setting is healthy and reaches its stated share of the best.
        #[test]
        fn a_recommendation_reaches_its_stated_share(
            throughputs in prop::collection::vec((1.0f64..1e6, 0u64..3, 1.0f64..1e5), 1..40),
            limit_us in prop::option::of(1u64..200_000),
        ) {
            let row = |(place, &(throughput_per_second, failed, micros)): (usize, &(f64, u64, f64))| {
                let setting = Setting { shards: 1 + place / 16, connections: 1 + place % 4, tasks: 1 << (place % 16 / 4) };
                let latency = Station { service_us: micros, latency_us: 0.0 }
                    .sample(Setting { shards: 1, connections: 1, tasks: 1 }, 1, 0.0)
                    .latency_us;
                let sample = Sample {
                    round: 1, throughput_per_second, latency_us: latency, answered: 1000, failed, ..Sample::default()
                };
                Row { setting, samples: vec![sample] }
            };
            let rows: Vec<Row> = throughputs.iter().enumerate().map(row).collect();
            let objective = limit_us.map(|limit| Objective(vec![(Quantile::P99, Duration::from_micros(limit))]));
            let fits = |row: &Row| row.is_healthy() && objective.as_ref().is_none_or(|objective| objective.is_met_by(row));
            match recommend(&rows, objective.as_ref(), 0.05) {
                None => prop_assert!(!rows.iter().any(fits)),
                Some(found) => {
                    prop_assert!(fits(&rows[found.row]));
                    let best = rows.iter().filter(|row| fits(row)).map(Row::throughput).fold(0.0, f64::max);
                    prop_assert_eq!(rows[found.best].throughput(), best);
                    // The tolerance applies twice: to the callers and to the connections.
                    prop_assert!(found.share_of_best >= 0.95 * 0.95 - 1e-9);
                }
            }
        }
    }
}
