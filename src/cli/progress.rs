//! Live progress: one line a second on standard error, if somebody is there to read it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::text::{grouped, micros};
use crate::load::{Limit, Progress, Second};

/// Writes progress lines.
#[derive(Debug)]
pub(super) struct Lines {
    shown: bool,
    limit: Limit,
    last: Instant,
}

impl Lines {
    pub(super) fn new(quiet: bool, limit: Limit) -> Lines {
        let shown = !quiet && std::io::stderr().is_terminal();
        Lines { shown, limit, last: Instant::now() }
    }

    pub(super) fn observe(&mut self, progress: &Progress) {
        if !self.shown {
            return;
        }
        match progress {
            // Loading reports far more often than anybody wants to read.
            Progress::Loading { .. } if self.last.elapsed() < Duration::from_secs(1) => return,
            _ => self.last = Instant::now(),
        }
        // A terminal that is gone must not end the run.
        let _ = writeln!(std::io::stderr(), "{}", line(progress, self.limit));
    }
}

fn line(progress: &Progress, limit: Limit) -> String {
    match progress {
        Progress::Loading { done, all } => {
            format!("loading keys: {} of {}", grouped(*done), grouped(*all))
        }
        Progress::WarmingUp(time) => format!("warming up for {}", humantime::format_duration(*time)),
        Progress::Running(second) => running(second, limit),
    }
}

fn running(second: &Second, limit: Limit) -> String {
    let of = match limit {
        Limit::Duration(whole) => {
            format!("{:>4}s of {}s", second.elapsed.as_secs(), whole.as_secs_f64())
        }
        Limit::Requests(all) => format!("{} of {}", grouped(second.issued), grouped(all)),
    };
    let latency = |latency: Option<Duration>| {
        latency.map_or_else(|| "-".to_owned(), |latency| micros(latency.as_nanos() as f64 / 1e3))
    };
    let mut line = format!(
        "{of}   {:>11}/s   p50 {:>8}   p99 {:>8}   failed {}",
        grouped(second.throughput_per_second as u64),
        latency(second.p50),
        latency(second.p99),
        grouped(second.failed),
    );
    if let Some(moving) = second.moving {
        line.push_str(&format!("   MOVING → {}", moving.to));
        if moving.connections > 0 {
            line.push_str(&format!(" · {}/{} handed off", moving.handed_off, moving.connections));
        }
    }
    if let Some(connections) = second.connections {
        line.push_str(&format!("   connections {connections}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Following;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let limit = Limit::Duration(Duration::from_secs(10));
        let loading = Progress::Loading { done: 1000, all: 100_000 };
        assert_eq!(line(&loading, limit), "loading keys: 1,000 of 100,000");
        let warming = Progress::WarmingUp(Duration::from_millis(2500));
        assert_eq!(line(&warming, limit), "warming up for 2s 500ms");
        let second = Second {
            elapsed: Duration::from_millis(3002),
            issued: 2_500_000,
            failed: 7,
            throughput_per_second: 812_345.6,
            p50: Some(Duration::from_nanos(78_100)),
            p99: Some(Duration::from_micros(1200)),
            moving: None,
            connections: Some(4),
        };
        assert_eq!(
            line(&Progress::Running(second), limit),
            "   3s of 10s       812,345/s   p50  78.1 µs   p99  1.20 ms   failed 7   connections 4"
        );
        let mut moving = Following { to: ([127, 0, 0, 1], 7002).into(), handed_off: 8, connections: 8 };
        let told = |moving| line(&Progress::Running(Second { moving: Some(moving), ..second }), limit);
        let told_of = told(moving);
        assert!(told_of.contains("   MOVING → 127.0.0.1:7002 · 8/8 handed off   conn"), "{told_of}");
        moving.connections = 0;
        assert!(told(moving).contains("   MOVING → 127.0.0.1:7002   connections"), "nobody follows");
        let silent = Second { p50: None, p99: None, connections: None, ..second };
        let line = line(&Progress::Running(silent), Limit::Requests(5_000_000));
        assert!(line.starts_with("2,500,000 of 5,000,000") && line.ends_with("failed 7"), "{line}");
    }
}
