//! Model servers: computed samples of a sweep, for tests of the decisions.

use super::row::{Row, Sample, Setting};
use crate::load::recording::latency::Latency;

/// A closed loop with one service station: each command takes `service_us` of the server, which executes one at a time,
/// and `latency_us` of network latency.
pub(crate) struct Station {
    pub(crate) service_us: f64,
    pub(crate) latency_us: f64,
}

impl Station {
    /// The number of callers that saturate it.
    pub(crate) fn knee(&self) -> f64 {
        (self.service_us + self.latency_us) / self.service_us
    }

    /// Commands per second and latency in microseconds for this many callers: the asymptotes of a closed loop.
    fn point(&self, callers: f64) -> (f64, f64) {
        let each = (self.service_us + self.latency_us).max(callers * self.service_us);
        (callers * 1e6 / each, each)
    }

    /// The sample of a setting, with a relative error of `noise`.
    pub(crate) fn sample(&self, setting: Setting, round: usize, noise: f64) -> Sample {
        let (throughput, micros) = self.point((setting.shards * setting.tasks) as f64);
        let at = |factor: f64| micros * factor / (1.0 + noise);
        Sample {
            round,
            throughput_per_second: throughput * (1.0 + noise),
            latency_us: Some(Latency {
                min: at(0.5),
                mean: at(1.0),
                p50: at(1.0),
                p90: at(1.2),
                p99: at(1.5),
                p99_9: at(2.0),
                p99_99: at(3.0),
                max: at(5.0),
            }),
            answered: 1_000_000,
            ..Sample::default()
        }
    }
}

/// Rows with one shard and one connection for each number of callers, with this many rounds without noise; with 0
/// rounds, a scouting round.
pub(crate) fn rows(station: &Station, tasks: &[usize], rounds: usize) -> Vec<Row> {
    tasks
        .iter()
        .map(|&tasks| {
            let setting = Setting { shards: 1, connections: 1, tasks };
            let samples = (1..=rounds).map(|round| station.sample(setting, round, 0.0)).collect();
            Row { setting, samples }
        })
        .collect()
}
