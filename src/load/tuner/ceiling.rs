//! What keeps a sweep from more: the server, a core of the client, the network, or that commands fail.

use serde::Serialize;

use super::row::Row;

/// Something that is used up, and the numbers that say so. Shares are of one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Ceiling {
    /// The server's main thread has no time left: measured. `waited`: part of that it waited for its core, which
    /// others use, too.
    Server { used: f64, waited: f64 },
    /// The server, or the way to it: inferred. With so many times the callers throughput rose by this factor, and the
    /// median latency by that one, while the client's cores had time.
    ServerInferred { callers: f64, throughput: f64, latency: f64, core_use: f64 },
    /// A shard's thread has no time left.
    ClientCore { used: f64, waited: f64 },
    /// An interface is near its speed.
    Network { used: f64 },
    /// Segments are lost on the way.
    Losses { retransmitted: f64 },
    /// Beyond so many callers a shard, commands fail.
    Operation { tasks: usize, failed: f64 },
}

/// From this share of its time on, a thread is busy.
const BUSY: f64 = 0.9;
/// Up to this share, it certainly is not.
const IDLE: f64 = 0.8;
/// From this share of its speed on, an interface is full: the headers of all layers are not in what it counts.
const FULL: f64 = 0.85;
/// From this share of segments on, the network loses too many.
const LOSSY: f64 = 0.01;
/// Latency that grows at least by this part of what the callers grow by is waiting in line,
const IN_LINE: f64 = 0.6;
/// if throughput grows by no more than this.
const FLAT: f64 = 1.15;

/// Everything that is used up at the peak of throughput, the surest first. Empty: nothing that can be seen from here.
///
/// `spins`: the client's threads use their cores whether they have anything to do or not.
pub(crate) fn ceilings(rows: &[Row], tolerance: f64, spins: bool) -> Vec<Ceiling> {
    let mut found = Vec::new();
    let healthy = || rows.iter().filter(|row| row.is_healthy());
    let peak = healthy().max_by(|one, other| one.throughput().total_cmp(&other.throughput()));
    if let Some(peak) = peak {
        let number = |read: fn(&super::row::Sample) -> Option<f64>| peak.median(read);
        let waited = number(|sample| sample.server_wait).unwrap_or(0.0);
        match number(|sample| sample.server_use) {
            Some(used) if used + waited >= BUSY => found.push(Ceiling::Server { used, waited }),
            _ => {}
        }
        let waited = number(|sample| sample.core_wait).unwrap_or(0.0);
        let core = number(|sample| sample.core_use).filter(|_| !spins);
        match core {
            Some(used) if used + waited >= BUSY => found.push(Ceiling::ClientCore { used, waited }),
            _ => {}
        }
        if let Some(used) = number(|sample| sample.link_use).filter(|used| *used >= FULL) {
            found.push(Ceiling::Network { used });
        }
        if let Some(retransmitted) = number(|sample| sample.retransmitted).filter(|share| *share >= LOSSY) {
            found.push(Ceiling::Losses { retransmitted });
        }
        if found.is_empty() && core.is_some_and(|used| used + waited < IDLE) {
            found.extend(inferred(rows, peak, tolerance, core.unwrap_or(0.0)));
        }
    }
    found.extend(operation(rows));
    found
}

/// Whether the callers of the peak's setting wait in line: from the fewest that reach its throughput on, more callers
/// only wait longer.
fn inferred(rows: &[Row], peak: &Row, tolerance: f64, core_use: f64) -> Option<Ceiling> {
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
    is_line.then_some(Ceiling::ServerInferred { callers, throughput, latency, core_use })
}

/// The fewest callers whose commands fail where fewer ones' do not.
fn operation(rows: &[Row]) -> Option<Ceiling> {
    let failed = |row: &Row| {
        row.median(|sample| Some(sample.failed as f64 / (sample.answered + sample.failed).max(1) as f64))
    };
    let first = rows
        .iter()
        .filter(|row| row.is_measured() && !row.is_healthy())
        .min_by_key(|row| (row.setting.tasks, row.setting.shards, row.setting.connections))?;
    Some(Ceiling::Operation { tasks: first.setting.tasks, failed: failed(first).unwrap_or(1.0) })
}

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
    fn a_thread_without_time_is_the_ceiling_also_if_others_have_it() {
        let found = |change: fn(&mut Sample)| ceilings(&measured(change), 0.05, false);
        assert_eq!(
            found(|sample| (sample.server_use, sample.core_use) = (Some(0.97), Some(0.5))),
            [Ceiling::Server { used: 0.97, waited: 0.0 }]
        );
        assert_eq!(
            found(|sample| {
                (sample.server_use, sample.server_wait) = (Some(0.55), Some(0.4));
                sample.core_use = Some(0.5);
            }),
            [Ceiling::Server { used: 0.55, waited: 0.4 }]
        );
        assert_eq!(
            found(|sample| (sample.server_use, sample.core_use) = (Some(0.7), Some(0.99))),
            [Ceiling::ClientCore { used: 0.99, waited: 0.0 }]
        );
    }

    #[test]
    fn the_network_is_the_ceiling_where_it_is_full_or_loses() {
        let found = |change: fn(&mut Sample)| {
            let busy = move |sample: &mut Sample| {
                sample.core_use = Some(0.85);
                change(sample);
            };
            ceilings(&measured(busy), 0.05, false)
        };
        assert_eq!(found(|sample| sample.link_use = Some(0.93)), [Ceiling::Network { used: 0.93 }]);
        assert_eq!(
            found(|sample| sample.retransmitted = Some(0.02)),
            [Ceiling::Losses { retransmitted: 0.02 }]
        );
        assert_eq!(found(|sample| sample.link_use = Some(0.3)), [], "nothing is used up");
    }

    #[test]
    fn a_line_in_front_of_the_server_is_seen_where_the_server_tells_nothing() {
        let idle = |sample: &mut Sample| sample.core_use = Some(0.2);
        let found = ceilings(&measured(idle), 0.05, false);
        let [Ceiling::ServerInferred { callers, throughput, latency, .. }] = found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((callers, throughput, latency), (16.0, 1.0, 16.0));
        // Threads that spin use their cores for nothing, which says nothing.
        assert_eq!(ceilings(&measured(|sample| sample.core_use = Some(1.0)), 0.05, true), []);
        // Before the knee nobody waits in line.
        let mut rising = rows(&Station { service_us: 1.0, latency_us: 10_000.0 }, &TASKS, 3);
        rising.iter_mut().flat_map(|row| &mut row.samples).for_each(idle);
        assert_eq!(ceilings(&rising, 0.05, false), []);
        assert_eq!(ceilings(&[], 0.05, false), []);
    }

    #[test]
    fn failures_are_a_limit_of_their_own() {
        let mut all = measured(|sample| sample.core_use = Some(0.95));
        all[6].samples.iter_mut().for_each(|sample| sample.failed = sample.answered);
        all[7].samples.iter_mut().for_each(|sample| sample.failed = sample.answered);
        let found = ceilings(&all, 0.05, false);
        assert_eq!(found[1..], [Ceiling::Operation { tasks: 64, failed: 0.5 }]);
    }
}
