//! Settings, their samples, and the medians that decisions use.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::load::recording::latency::Latency;

/// One combination of the varied numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Setting {
    /// Executors, each a thread of its own.
    pub(crate) shards: usize,
    /// Connections of each shard.
    #[serde(rename = "connections_per_shard")]
    pub(crate) connections: usize,
    /// Concurrent callers of each shard.
    #[serde(rename = "tasks_per_shard")]
    pub(crate) tasks: usize,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { shards, connections, tasks } = self;
        let plural = |count: &usize| if *count == 1 { "" } else { "s" };
        write!(f, "{shards} shard{} × {connections} connection{}", plural(shards), plural(connections))?;
        write!(f, " × {tasks} task{}", plural(tasks))
    }
}

/// The measurements of one step. Shares are fractions of 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// 0 for the scouting round, which has short steps.
    pub(crate) round: usize,
    pub(crate) throughput_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cpu_ns_per_command: Option<f64>,
    /// The part of the time in which the busiest shard's thread ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core_use: Option<f64>,
    /// The part of the time in which that thread was runnable but waited for its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) core_wait: Option<f64>,
    /// The longest pause of the machine, and the part of the time that all pauses took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_max_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pause_share: Option<f64>,
    /// The part of the CPU time that the hypervisor gave to other machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steal_share: Option<f64>,
    /// The same two values of the server's thread, if the server reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_use: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_wait: Option<f64>,
    /// The busiest interface's share of its speed; only if the server is on another machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link_use: Option<f64>,
    /// The share of retransmitted TCP segments; only if the server is on another machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retransmitted: Option<f64>,
}

impl Sample {
    fn failed_share(&self) -> f64 {
        match self.answered + self.failed {
            0 => 1.0,
            all => self.failed as f64 / all as f64,
        }
    }

    /// The part of the time in which the machine was suspended.
    pub(crate) fn away_share(&self) -> f64 {
        self.pause_share.unwrap_or(0.0).max(self.steal_share.unwrap_or(0.0))
    }

    /// Whether the sample describes the machine instead of the setting.
    fn is_disturbed(&self) -> bool {
        self.away_share() > AWAY_SHARE_MAX
    }
}

/// A setting with its samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) setting: Setting,
    /// The samples in the order of their measurement.
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(setting: Setting) -> Row {
        Row { setting, samples: Vec::new() }
    }

    /// The samples that are used: those of full rounds, or of the scouting round if there are no others. Of these, the
    /// undisturbed ones, or all if each was disturbed.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Sample> {
        let rounds = self.rounds();
        let is_in = move |sample: &&Sample| rounds == 0 || sample.round > 0;
        let is_quiet = self.samples.iter().filter(is_in).any(|sample| !sample.is_disturbed());
        self.samples.iter().filter(is_in).filter(move |sample| !is_quiet || !sample.is_disturbed())
    }

    /// The number of full rounds with this setting.
    pub(crate) fn rounds(&self) -> usize {
        self.samples.iter().filter(|sample| sample.round > 0).count()
    }

    pub(crate) fn is_measured(&self) -> bool {
        !self.samples.is_empty()
    }

    /// The median of a number over the samples that have it.
    pub(crate) fn median(&self, read: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.counted().filter_map(read).collect())
    }

    pub(crate) fn throughput(&self) -> f64 {
        self.median(|sample| Some(sample.throughput_per_second)).unwrap_or(0.0)
    }

    /// The median of one quantity of the latencies, in microseconds.
    pub(crate) fn latency(&self, read: fn(&Latency) -> f64) -> Option<f64> {
        self.median(|sample| sample.latency_us.as_ref().map(read))
    }

    /// Whether nearly all commands were answered.
    pub(crate) fn is_healthy(&self) -> bool {
        let failed = self.median(|sample| Some(sample.failed_share()));
        failed.is_some_and(|share| share <= FAILED_SHARE_MAX) && self.throughput() > 0.0
    }

    /// The spread of the samples, as a share of their median; `None` with fewer than two.
    pub(crate) fn spread(&self, read: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let numbers: Vec<f64> = self.counted().filter_map(read).collect();
        let most = numbers.iter().copied().fold(f64::MIN, f64::max);
        let least = numbers.iter().copied().fold(f64::MAX, f64::min);
        let middle = (numbers.len() > 1).then(|| median(numbers)).flatten()?;
        (middle > 0.0).then(|| (most - least) / middle)
    }
}

/// The middle number, or the mean of the two middle ones.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = *numbers.get(numbers.len() / 2)?;
    if numbers.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *numbers.get(numbers.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// A sample with a larger share is ignored, if the setting has a better one.
const AWAY_SHARE_MAX: f64 = 0.1;
/// A setting with a larger share of failures is beyond its limit of operation.
pub(crate) const FAILED_SHARE_MAX: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[(usize, f64)]) -> Row {
        let sample = |&(round, throughput_per_second): &(usize, f64)| Sample {
            round,
            throughput_per_second,
            answered: 1000,
            ..Sample::default()
        };
        let setting = Setting { shards: 1, connections: 4, tasks: 64 };
        Row { setting, samples: samples.iter().map(sample).collect() }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn scouting_samples_count_only_without_full_rounds() {
        assert_eq!(row(&[(0, 5.0)]).throughput(), 5.0);
        let row = row(&[(0, 500.0), (1, 90.0), (2, 110.0), (3, 100.0)]);
        assert_eq!((row.throughput(), row.rounds()), (100.0, 3));
        assert_eq!(row.spread(|sample| Some(sample.throughput_per_second)), Some(0.2));
    }

    #[test]
    fn disturbed_samples_count_only_without_others() {
        let mut row = row(&[(1, 100.0), (2, 20.0), (3, 110.0)]);
        row.samples[1].pause_share = Some(0.5);
        assert_eq!(row.throughput(), 105.0);
        row.samples[1].pause_share = Some(0.1);
        assert_eq!(row.throughput(), 100.0, "a short pause is no disturbance");
        row.samples.iter_mut().for_each(|sample| sample.steal_share = Some(0.3));
        assert_eq!(row.throughput(), 100.0, "all were disturbed");
    }

    #[test]
    fn a_setting_that_loses_commands_is_not_healthy() {
        let mut row = row(&[(1, 100.0), (2, 100.0), (3, 100.0)]);
        row.samples[0].failed = 1000;
        assert!(row.is_healthy(), "one round of three");
        row.samples[1].failed = 2;
        assert!(!row.is_healthy());
        assert!(!Row::new(row.setting).is_healthy(), "nothing was measured");
    }

    #[test]
    fn a_setting_is_formatted_with_plurals() {
        let setting = Setting { shards: 2, connections: 1, tasks: 64 };
        assert_eq!(setting.to_string(), "2 shards × 1 connection × 64 tasks");
    }
}
