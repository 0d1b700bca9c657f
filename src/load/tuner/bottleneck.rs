//! The bottleneck of a sweep: the server, a core of the client, the network, or failing commands.

use serde::Serialize;

use super::row::Row;

/// An exhausted resource, with the numbers that prove it. Shares are fractions of 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Bottleneck {
    /// The server's main thread has no CPU time left, as measured. `waited`: the part of that in which it waited for
    /// its core, which other threads use, too.
    Server { used: f64, waited: f64 },
    /// The server, or the path to it, as inferred. With `callers` times the callers, throughput rose by the factor
    /// `throughput` and the median latency by the factor `latency`, while the client's cores had idle time.
    ServerInferred { callers: f64, throughput: f64, latency: f64, core_use: f64 },
    /// A shard's thread has no CPU time left.
    ClientCore { used: f64, waited: f64 },
    /// A network interface is near its maximum speed.
    Network { used: f64 },
    /// The network loses TCP segments.
    Losses { retransmitted: f64 },
    /// From this many callers of a shard on, commands fail.
    Operation { tasks: usize, failed: f64 },
}

/// Returns all bottlenecks at the peak of throughput, the most certain first; empty if no measured resource is
/// exhausted.
///
/// `spins`: the client's threads busy-poll, so their CPU time says nothing.
pub(crate) fn bottlenecks(rows: &[Row], tolerance: f64, spins: bool) -> Vec<Bottleneck> {
    let mut found = Vec::new();
    let healthy = || rows.iter().filter(|row| row.is_healthy());
    let peak = healthy().max_by(|one, other| one.throughput().total_cmp(&other.throughput()));
    if let Some(peak) = peak {
        let number = |read: fn(&super::row::Sample) -> Option<f64>| peak.median(read);
        let waited = number(|sample| sample.server_wait).unwrap_or(0.0);
        match number(|sample| sample.server_use) {
            Some(used) if used + waited >= BUSY => found.push(Bottleneck::Server { used, waited }),
            _ => {}
        }
        let waited = number(|sample| sample.core_wait).unwrap_or(0.0);
        let core = number(|sample| sample.core_use).filter(|_| !spins);
        match core {
            Some(used) if used + waited >= BUSY => found.push(Bottleneck::ClientCore { used, waited }),
            _ => {}
        }
        if let Some(used) = number(|sample| sample.link_use).filter(|used| *used >= FULL) {
            found.push(Bottleneck::Network { used });
        }
        if let Some(retransmitted) = number(|sample| sample.retransmitted).filter(|share| *share >= LOSSY) {
            found.push(Bottleneck::Losses { retransmitted });
        }
        if found.is_empty() && core.is_some_and(|used| used + waited < IDLE) {
            found.extend(inferred(rows, peak, tolerance, core.unwrap_or(0.0)));
        }
    }
    found.extend(operation(rows));
    found
}

/// Whether the callers of the peak's setting queue: from the fewest callers that reach its throughput on, additional
/// callers only increase the latency.
fn inferred(rows: &[Row], peak: &Row, tolerance: f64, core_use: f64) -> Option<Bottleneck> {
    let like = |row: &&Row| {
        let (one, other) = (row.setting, peak.setting);
        row.is_healthy() && (one.shards, one.connections) == (other.shards, other.connections)
    };
    let enough = |row: &&Row| row.throughput() >= peak.throughput() * (1.0 - tolerance);
    let along = || rows.iter().filter(like).filter(enough);
    let (first, last) =
        (along().min_by_key(|row| row.setting.tasks)?, along().max_by_key(|row| row.setting.tasks)?);
    let p50 = |row: &Row| row.latency(|latency| latency.p50).filter(|p50| *p50 > 0.0);
    let callers = last.setting.tasks as f64 / first.setting.tasks.max(1) as f64;
    let latency = p50(last)? / p50(first)?;
    let throughput = last.throughput() / first.throughput();
    let is_line = callers >= 2.0 && throughput <= FLAT && latency >= 1.0 + IN_LINE * (callers - 1.0);
    is_line.then_some(Bottleneck::ServerInferred { callers, throughput, latency, core_use })
}

/// The fewest callers whose commands fail although those of fewer callers do not.
fn operation(rows: &[Row]) -> Option<Bottleneck> {
    let failed = |row: &Row| {
        row.median(|sample| Some(sample.failed as f64 / (sample.answered + sample.failed).max(1) as f64))
    };
    let first = rows
        .iter()
        .filter(|row| row.is_measured() && !row.is_healthy())
        .min_by_key(|row| (row.setting.tasks, row.setting.shards, row.setting.connections))?;
    Some(Bottleneck::Operation { tasks: first.setting.tasks, failed: failed(first).unwrap_or(1.0) })
}

/// From this share of its time on, a thread is saturated.
const BUSY: f64 = 0.9;
/// Up to this share, a thread is certainly not saturated.
const IDLE: f64 = 0.8;
/// From this share of its speed on, an interface is saturated: its byte counters do not include the headers of all
/// layers.
const FULL: f64 = 0.85;
/// From this share of retransmitted segments on, losses limit the throughput.
const LOSSY: f64 = 0.01;
/// Commands queue if latency grows by at least this part of the growth of the callers.
const IN_LINE: f64 = 0.6;
/// Commands queue only if throughput grows by no more than this factor.
const FLAT: f64 = 1.15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tuner::row::Sample;
    use crate::load::tuner::synthetic::{Station, rows};

    const TASKS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

    fn measured(change: impl Fn(&mut Sample)) -> Vec<Row> {
        let mut all = rows(&Station { service_us: 10.0, latency_us: 70.0 }, &TASKS, 3);
        all.iter_mut().flat_map(|row| &mut row.samples).for_each(change);
        all
    }

    #[test]
    fn a_saturated_thread_is_the_bottleneck() {
        let found = |change: fn(&mut Sample)| bottlenecks(&measured(change), 0.05, false);
        assert_eq!(
            found(|sample| (sample.server_use, sample.core_use) = (Some(0.97), Some(0.5))),
            [Bottleneck::Server { used: 0.97, waited: 0.0 }]
        );
        assert_eq!(
            found(|sample| {
                (sample.server_use, sample.server_wait) = (Some(0.55), Some(0.4));
                sample.core_use = Some(0.5);
            }),
            [Bottleneck::Server { used: 0.55, waited: 0.4 }]
        );
        assert_eq!(
            found(|sample| (sample.server_use, sample.core_use) = (Some(0.7), Some(0.99))),
            [Bottleneck::ClientCore { used: 0.99, waited: 0.0 }]
        );
    }

    #[test]
    fn a_saturated_or_lossy_network_is_the_bottleneck() {
        let found = |change: fn(&mut Sample)| {
            let busy = move |sample: &mut Sample| {
                sample.core_use = Some(0.85);
                change(sample);
            };
            bottlenecks(&measured(busy), 0.05, false)
        };
        assert_eq!(found(|sample| sample.link_use = Some(0.93)), [Bottleneck::Network { used: 0.93 }]);
        assert_eq!(
            found(|sample| sample.retransmitted = Some(0.02)),
            [Bottleneck::Losses { retransmitted: 0.02 }]
        );
        assert_eq!(found(|sample| sample.link_use = Some(0.3)), [], "nothing is exhausted");
    }

    #[test]
    fn a_queue_at_a_silent_server_is_inferred() {
        let idle = |sample: &mut Sample| sample.core_use = Some(0.2);
        let found = bottlenecks(&measured(idle), 0.05, false);
        let [Bottleneck::ServerInferred { callers, throughput, latency, .. }] = found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((callers, throughput, latency), (16.0, 1.0, 16.0));
        // Threads that busy-poll always use their cores, so their CPU time says nothing.
        assert_eq!(bottlenecks(&measured(|sample| sample.core_use = Some(1.0)), 0.05, true), []);
        // Below the knee no caller queues.
        let mut rising = rows(&Station { service_us: 1.0, latency_us: 10_000.0 }, &TASKS, 3);
        rising.iter_mut().flat_map(|row| &mut row.samples).for_each(idle);
        assert_eq!(bottlenecks(&rising, 0.05, false), []);
        assert_eq!(bottlenecks(&[], 0.05, false), []);
    }

    #[test]
    fn failures_are_a_bottleneck() {
        let mut all = measured(|sample| sample.core_use = Some(0.95));
        all[6].samples.iter_mut().for_each(|sample| sample.failed = sample.answered);
        all[7].samples.iter_mut().for_each(|sample| sample.failed = sample.answered);
        let found = bottlenecks(&all, 0.05, false);
        assert_eq!(found[1..], [Bottleneck::Operation { tasks: 64, failed: 0.5 }]);
    }
}
