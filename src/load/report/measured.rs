//! What a report is made from, and what is kept of it for the picture and the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::counts::{LoopKind, MaintenanceReport, OfferedLoad};
use super::verdict::Tally;
use crate::load::machine::PauseReadings;
use crate::load::recording::findings::Findings;
use crate::load::recording::recorder::Recording;
use crate::load::recording::timeline::Timeline;
use crate::load::recording::windows::Window;

/// Everything that a report is made from.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) interrupted: bool,
    pub(crate) loop_kind: LoopKind,
    pub(crate) offered: Option<OfferedLoad>,
    /// The outcome of the offered commands.
    pub(crate) tally: Tally,
    /// The names of the kinds of commands, by their numbers.
    pub(crate) kinds: Vec<String>,
    pub(crate) total: Recording,
    pub(crate) timeline: Timeline,
    pub(crate) begin: Option<Instant>,
    pub(crate) windows: Vec<Window>,
    pub(crate) verify: Option<(Findings, Option<u64>)>,
    pub(crate) shard_cpu: Option<Duration>,
    /// CPU time of the shards in a second without commands, if it was measured.
    pub(crate) idle_cpu: Option<Duration>,
    pub(crate) caller_cpu: Option<Duration>,
    pub(crate) maintenance: MaintenanceReport,
    pub(crate) reconnects: u64,
    pub(crate) connections: BTreeMap<String, usize>,
    /// The name of each of several servers, and the outcome of the commands that it was offered.
    pub(crate) servers: Vec<(String, Tally)>,
    pub(crate) shards: Vec<ShardMeasured>,
    /// The pauses of the machine; `None` if they were not measured.
    pub(crate) pause_readings: Option<PauseReadings>,
}

/// The measurements of one shard.
#[derive(Debug)]
pub(crate) struct ShardMeasured {
    pub(crate) core: Option<usize>,
    /// Answered commands of the callers on the shard.
    pub(crate) commands: Option<u64>,
    /// The shares of the time in which its thread ran, and in which it waited for its core.
    pub(crate) shares: Option<(f64, f64)>,
}

/// Everything that was recorded, at full resolution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) timeline: Timeline,
    /// All latencies of the run, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Latencies of each kind of command that was sent.
    pub(crate) by_command: BTreeMap<String, Histogram<u64>>,
    /// Latencies of the commands that overlapped a handoff.
    pub(crate) in_handoff: Histogram<u64>,
    /// Latencies from the time of sending; only in an open loop.
    pub(crate) service: Option<Histogram<u64>>,
}

#[cfg(all(test, feature = "cli"))]
impl Recorded {
    /// Three commands of one, two and seven microseconds, for tests of code that writes it.
    pub(crate) fn example() -> Recorded {
        let mut recorder = crate::load::recording::recorder::Recorder::new(false, 1);
        for micros in [1, 2, 7] {
            recorder.answer(Duration::from_micros(micros), Duration::ZERO, 1);
        }
        let interval = recorder.exchange(Box::new(Recording::new(false, 1)));
        let mut timeline = Timeline::new(Duration::from_millis(100), 1);
        timeline.add(Duration::ZERO, Duration::from_millis(100), &interval);
        let (latency, in_handoff) = (interval.latency(), crate::load::recording::recorder::histogram());
        let by_command = BTreeMap::from([("GET".to_owned(), latency.clone())]);
        Recorded { timeline, latency, by_command, in_handoff, service: None }
    }
}
