//! The recommendation and its reasons, in phrases.

use super::sweep::SweepResult;
use crate::cli::units::{micros, plural};
use crate::load::tuner::bottleneck::Bottleneck;
use crate::load::tuner::knee::{NOISE_MAX, Noise, Reason, Recommendation};
use crate::load::tuner::objective::Objective;
use crate::load::tuner::row::{Row, Setting};
use crate::load::{RUN_QUEUE_WAIT_MAX, STEAL_MAX};

/// `12 %`, `0.4 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = usize::from(percent.abs() < 9.95 && (percent - percent.round()).abs() >= 0.05);
    format!("{percent:.decimals$} %")
}

/// The calls on a `Config`.
pub(super) fn config(setting: Setting) -> String {
    format!(".shards({}).connections_per_shard({})", setting.shards, setting.connections)
}

/// The options of `hitless bench`.
pub(super) fn flags(setting: Setting) -> String {
    let Setting { shards, connections, tasks } = setting;
    format!("--shards {shards} --connections {connections} --tasks {tasks}")
}

/// `p99 2.00 ms`, as an objective names it.
pub(super) fn objective(objective: &Objective) -> String {
    let limit = |(quantile, limit): &(_, std::time::Duration)| {
        format!("{quantile} ≤ {}", micros(limit.as_nanos() as f64 / 1e3))
    };
    objective.0.iter().map(limit).collect::<Vec<_>>().join(", ")
}

/// Why this setting is recommended.
pub(super) fn reason(result: &SweepResult, found: &Recommendation, slo: Option<&Objective>) -> String {
    let Some(row) = result.rows.get(found.row) else { return String::new() };
    let Setting { connections, tasks, .. } = row.setting;
    let within = percent(found.tolerance);
    let fewest = format!(
        "{} a shard {} the fewest within {within} of the best throughput{}",
        plural(tasks, "task"),
        if tasks == 1 { "is" } else { "are" },
        if slo.is_some() { " that meets the objective" } else { "" },
    );
    let with_them = match result.rows.iter().any(|other| other.setting.connections != connections) {
        true => format!("; with them, {} can reach it", plural(connections, "connection")),
        false => String::new(),
    };
    match found.reason {
        Reason::Knee => {
            let more = gain_of_more_tasks(&result.rows, row);
            format!(
                "the knee: {fewest}{with_them}{}",
                more.map_or_else(String::new, |more| format!("; {more}"))
            )
        }
        Reason::Objective => {
            format!("the objective: larger settings have more throughput but miss it; {fewest}{with_them}")
        }
        Reason::EdgeOfTasks => edge("tasks", tasks),
        Reason::EdgeOfConnections => edge("connections", connections),
    }
}

fn edge(option: &str, most: usize) -> String {
    let (twice, fourfold) = (most.saturating_mul(2), most.saturating_mul(4));
    format!(
        "the edge of the sweep: throughput still rose at the largest --{option}; try --{option} {most},{twice},{fourfold}"
    )
}

/// The gain from the next larger number of callers.
fn gain_of_more_tasks(rows: &[Row], row: &Row) -> Option<String> {
    let alike = |other: &&Row| {
        let like = Setting { tasks: row.setting.tasks, ..other.setting };
        like == row.setting && other.setting.tasks > row.setting.tasks && other.is_healthy()
    };
    let next = rows.iter().filter(alike).min_by_key(|other| other.setting.tasks)?;
    let gain = next.throughput() / row.throughput() - 1.0;
    let p99 = next.latency(|latency| latency.p99)? / row.latency(|latency| latency.p99)?;
    let sign = if gain >= 0.0 { "+" } else { "−" };
    let gain = percent(gain.abs());
    Some(format!("{} would be {sign}{gain} throughput at {p99:.1} times the p99", next.setting.tasks))
}

/// The phrase for a sweep without a bottleneck.
pub(super) fn no_bottleneck(row: &Row) -> String {
    let tells = row.median(|sample| sample.server_use).is_some();
    let server = if tells { "" } else { "; the server does not report how busy it is" };
    format!("nothing that was measured: no resource is saturated{server}")
}

/// The phrase for a bottleneck.
pub(super) fn ceiling(ceiling: &Bottleneck) -> String {
    let busy = |used: f64, waited: f64| match waited {
        waited if waited >= 0.02 => {
            format!("busy {} of the time, and waits for its core another {}", percent(used), percent(waited))
        }
        _ => format!("busy {} of the time", percent(used)),
    };
    match *ceiling {
        Bottleneck::Server { used, waited } => format!("the server: its thread is {}", busy(used, waited)),
        Bottleneck::ServerInferred { callers, throughput, latency, core_use } => format!(
            "the server, or the path to it: with {callers:.0} times the callers throughput is {throughput:.2} times, and \
             the median latency {latency:.1} times as much, while the client's busiest core runs {} of the time",
            percent(core_use)
        ),
        Bottleneck::ClientCore { used, waited } => {
            format!("a core of the client: its shard's thread is {}", busy(used, waited))
        }
        Bottleneck::Network { used } => {
            format!("the network: an interface carries {} of its speed", percent(used))
        }
        Bottleneck::Losses { retransmitted } => {
            format!("the network: {} of the segments were retransmitted", percent(retransmitted))
        }
        Bottleneck::Operation { tasks, failed } => {
            format!("failures: with {tasks} tasks a shard, {} of the commands fail", percent(failed))
        }
    }
}

/// A warning if other work on the machine distorted the figures.
pub(super) fn interference(row: &Row) -> Option<String> {
    let from = |share: Option<f64>, least: f64| share.filter(|share| *share >= least);
    let machine = from(row.median(|sample| Some(sample.away_share())), STEAL_MAX);
    let server = from(row.median(|sample| sample.server_wait), RUN_QUEUE_WAIT_MAX);
    let shard = from(row.median(|sample| sample.core_wait), RUN_QUEUE_WAIT_MAX);
    let causes = [
        machine.map(|share| ("the machine stood still, or worked for other machines,", share)),
        server.map(|share| ("the server's thread waited for its core", share)),
        shard.map(|share| ("the shard's thread waited for its core", share)),
    ];
    let (cause, share) = causes.into_iter().flatten().max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    Some(format!("{cause} {} of the time, which distorts all figures", percent(share)))
}

/// The problem of a sweep in which no setting was answered; `None` if one was.
pub(super) fn nothing_measured(rows: &[Row]) -> Option<&'static str> {
    let answers = rows.iter().any(Row::is_healthy);
    (!answers).then_some("NOTHING WAS MEASURED: no setting answered its commands; check the endpoint")
}

/// The phrase for the noise of the rounds.
pub(super) fn noise(noise: Noise, rounds: usize) -> String {
    let apart = percent(noise.throughput);
    match (rounds, noise.throughput) {
        (0 | 1, _) => "unknown: measuring it takes two rounds".to_owned(),
        (_, apart_by) if apart_by > NOISE_MAX => format!(
            "rounds lie {apart} apart: too much to tell settings apart; use a quieter machine, a longer --step or \
             more --rounds"
        ),
        _ => format!("rounds of one setting lie {apart} apart in throughput, {} in p99", percent(noise.p99)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tuner::row::Sample;

    #[test]
    fn shares_have_significant_digits_only() {
        assert_eq!([0.5, 0.051, 0.0, 1.0, 0.004].map(percent), ["50 %", "5.1 %", "0 %", "100 %", "0.4 %"]);
    }

    #[test]
    fn lines_can_be_pasted() {
        let setting = Setting { shards: 2, connections: 4, tasks: 64 };
        assert_eq!(config(setting), ".shards(2).connections_per_shard(4)");
        assert_eq!(flags(setting), "--shards 2 --connections 4 --tasks 64");
    }

    #[test]
    fn each_ceiling_is_named() {
        for (found, part) in [
            (
                Bottleneck::Server { used: 0.97, waited: 0.0 },
                "the server: its thread is busy 97 % of the time",
            ),
            (
                Bottleneck::ClientCore { used: 0.6, waited: 0.35 },
                "busy 60 % of the time, and waits for its core another 35 %",
            ),
            (Bottleneck::Network { used: 0.9 }, "carries 90 % of its speed"),
            (Bottleneck::Losses { retransmitted: 0.021 }, "2.1 % of the segments"),
            (
                Bottleneck::Operation { tasks: 512, failed: 0.03 },
                "with 512 tasks a shard, 3 % of the commands fail",
            ),
            (
                Bottleneck::ServerInferred { callers: 16.0, throughput: 1.02, latency: 15.7, core_use: 0.2 },
                "with 16 times the callers throughput is 1.02 times, and the median latency 15.7 times",
            ),
        ] {
            let text = ceiling(&found);
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn other_work_on_a_core_is_a_warning() {
        let mut row = Row::new(Setting { shards: 1, connections: 1, tasks: 1 });
        row.samples.push(Sample { core_wait: Some(0.05), ..Sample::default() });
        assert_eq!(interference(&row), None);
        row.samples[0].server_wait = Some(0.2);
        assert!(
            interference(&row)
                .is_some_and(|text| text.starts_with("the server's thread waited for its core 20 %"))
        );
        row.samples[0].pause_share = Some(0.3);
        let text = interference(&row).expect("a cause");
        assert!(text.starts_with("the machine stood still, or worked for other machines, 30 %"), "{text}");
        row.samples[0].core_wait = Some(0.5);
        assert!(
            interference(&row)
                .is_some_and(|text| text.starts_with("the shard's thread waited for its core 50 %"))
        );
    }

    #[test]
    fn a_sweep_without_answers_measured_nothing() {
        let mut row = Row::new(Setting { shards: 1, connections: 1, tasks: 1 });
        assert!(nothing_measured(&[]).is_some());
        row.samples.push(Sample { answered: 0, failed: 0, ..Sample::default() });
        assert!(nothing_measured(std::slice::from_ref(&row)).is_some(), "nothing was sent");
        row.samples[0] = Sample { answered: 10, throughput_per_second: 10.0, ..Sample::default() };
        assert_eq!(nothing_measured(&[row]), None);
    }

    #[test]
    fn noise_that_hides_every_difference_is_named() {
        let phrase = |throughput, rounds| noise(Noise { throughput, p99: 0.2 }, rounds);
        assert!(phrase(0.03, 3).contains("3 % apart in throughput, 20 % in p99"));
        assert!(phrase(0.4, 3).contains("too much to tell settings apart"));
        assert!(phrase(0.0, 1).contains("takes two rounds"));
    }
}
