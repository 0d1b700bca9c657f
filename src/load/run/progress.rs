//! The progress of a run, as its observer receives it.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The progress of a run; passed to the observer of [`run`](crate::load::run()).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "it is passed once a second, and not stored")]
pub enum Progress {
    /// Keys are being written before the run.
    Loading {
        /// Keys written so far.
        done: u64,
        /// Keys to write.
        all: u64,
    },
    /// The callers run their warm-up, which lasts this long.
    WarmingUp(Duration),
    /// The run has ended, and its keys are being removed.
    CleaningUp {
        /// Keys processed so far.
        done: u64,
        /// Keys to process.
        all: u64,
    },
    /// The run is in progress; sent every second.
    Running(Second),
}

/// What a run measured in about the last second, and since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Second {
    /// Time since the start.
    pub elapsed: Duration,
    /// Commands issued since the start.
    pub issued: u64,
    /// Commands that failed since the start.
    pub failed: u64,
    /// Answered commands per second, in the last second.
    pub throughput_per_second: f64,
    /// The median latency in the last second; absent if no command was answered.
    pub p50: Option<Duration>,
    /// The 99th percentile in the last second.
    pub p99: Option<Duration>,
    /// The 99.9th percentile in the last second.
    pub p99_9: Option<Duration>,
    /// The longest latency in the last second.
    pub max: Option<Duration>,
    /// Commands that were answered since the start.
    pub answered: u64,
    /// Latencies since the start; absent if no command was answered.
    pub overall: Option<Percentiles>,
    /// The maintenance in the last second, by the name of its announcement.
    pub maintenance: Option<&'static str>,
    /// The last `MOVING`, until all connections have followed it.
    pub moving: Option<HandoffProgress>,
    /// Live connections, if the callers can count them.
    pub connections: Option<usize>,
}

#[cfg(all(test, feature = "cli"))]
impl Second {
    /// An example for tests of code that displays it.
    pub(crate) fn example() -> Second {
        let percentiles = |p50, p99, p99_9| Percentiles {
            p50: Duration::from_nanos(p50),
            p99: Duration::from_micros(p99),
            p99_9: Duration::from_micros(p99_9),
            max: Duration::from_micros(9900),
        };
        let recent = percentiles(78_100, 1200, 3100);
        Second {
            elapsed: Duration::from_millis(3002),
            issued: 2_500_000,
            failed: 7,
            throughput_per_second: 812_345.6,
            p50: Some(recent.p50),
            p99: Some(recent.p99),
            p99_9: Some(recent.p99_9),
            max: Some(recent.max),
            answered: 2_000_000,
            overall: Some(percentiles(77_000, 1100, 3000)),
            maintenance: None,
            moving: None,
            connections: Some(4),
        }
    }
}

/// Percentiles and the maximum of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Percentiles {
    pub p50: Duration,
    pub p99: Duration,
    pub p99_9: Duration,
    pub max: Duration,
}

impl Percentiles {
    /// Reads a histogram of nanoseconds; `None` if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Percentiles> {
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        let percentiles = || Percentiles { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: at(1.0) };
        (!histogram.is_empty()).then(percentiles)
    }
}

/// How many connections have followed a `MOVING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoffProgress {
    /// The endpoint that it named.
    pub to: SocketAddr,
    /// Connections that were handed off since the announcement.
    pub handed_off: u64,
    /// All connections; 0 if none is expected to follow.
    pub connections: u64,
}
