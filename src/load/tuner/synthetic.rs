//! Servers that are arithmetic: what a sweep over them would measure, for tests of the decisions.

use super::row::{Row, Sample, Setting};
use crate::load::Latency;

/// A closed loop in front of one server: each command takes `service_us` of the server, which does one at a time, and
/// `latency_us` of the way.
pub(crate) struct Station {
    pub(crate) service_us: f64,
    pub(crate) latency_us: f64,
}

impl Station {
    /// Callers that keep it busy.
    pub(crate) fn knee(&self) -> f64 {
        (self.service_us + self.latency_us) / self.service_us
    }

    /// Commands per second, and microseconds, of so many callers: the asymptotes of a closed loop.
    fn point(&self, callers: f64) -> (f64, f64) {
        let each = (self.service_us + self.latency_us).max(callers * self.service_us);
        (callers * 1e6 / each, each)
    }

    /// What would be measured of it, `noise` off.
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

/// One shard, one connection, so many callers, and so many rounds without noise; without any, a scouting round.
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
