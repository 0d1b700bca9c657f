//! Progress on standard error, if it is a terminal: one line a second, or the live table.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::terminal::live::{self, latency, maintenance};
use crate::cli::units::grouped;
use crate::load::{Limit, Progress, Second};

/// Shows the progress of a run.
#[derive(Debug)]
pub(crate) struct ProgressLines {
    shown: bool,
    live: bool,
    limit: Limit,
    last: Instant,
}

impl ProgressLines {
    pub(crate) fn new(quiet: bool, live: bool, limit: Limit) -> ProgressLines {
        let shown = !quiet && std::io::stderr().is_terminal();
        ProgressLines { shown, live, limit, last: Instant::now() }
    }

    pub(crate) fn observe(&mut self, progress: &Progress) {
        if !self.shown {
            return;
        }
        match progress {
            Progress::Loading { .. } | Progress::CleaningUp { .. }
                if self.last.elapsed() < LOADING_INTERVAL =>
            {
                return;
            }
            _ => self.last = Instant::now(),
        }
        let width = live::size().0;
        match progress {
            Progress::Running(second) if self.live => live::draw(&live::table(second, self.limit, width)),
            progress if self.live => live::draw(&[line(progress, self.limit, width)]),
            // A closed terminal must not end the run.
            progress => drop(writeln!(std::io::stderr(), "{}", line(progress, self.limit, width))),
        }
    }
}

impl Drop for ProgressLines {
    fn drop(&mut self) {
        live::finish();
    }
}

fn line(progress: &Progress, limit: Limit, width: usize) -> String {
    match progress {
        Progress::Loading { done, all } => {
            live::cut(&format!("loading keys: {} of {}", grouped(*done), grouped(*all)), width - 1)
        }
        Progress::CleaningUp { done, all } => {
            live::cut(&format!("removing keys: {} of {}", grouped(*done), grouped(*all)), width - 1)
        }
        Progress::WarmingUp(time) => {
            live::cut(&format!("warming up for {}", humantime::format_duration(*time)), width - 1)
        }
        Progress::Running(second) => running(second, limit, width),
    }
}

/// The parts of a line in order. The less important ones are omitted if they do not fit.
fn running(second: &Second, limit: Limit, width: usize) -> String {
    let of = match limit {
        Limit::Duration(whole) => format!("{}s of {}s", second.elapsed.as_secs(), whole.as_secs_f64()),
        Limit::Requests(all) => format!("{} of {}", grouped(second.issued), grouped(all)),
    };
    // Columns are aligned if there is room for it.
    let (pad, gap) = if width < NARROW { (0, " ") } else { (8, "   ") };
    let rate = grouped(second.throughput_per_second as u64);
    // Parts with a low number are more important; those with 0 are never omitted.
    let mut parts = vec![
        (0, format!("{of:>pad$}")),
        (1, format!("{:>1$}/s", rate, pad + pad / 3)),
        (5, format!("p50 {:>pad$}", latency(second.p50))),
        (3, format!("p99 {:>pad$}", latency(second.p99))),
        (6, format!("p99.9 {:>pad$}", latency(second.p99_9))),
        (4, format!("failed {}", grouped(second.failed))),
    ];
    parts.extend(maintenance(second).map(|text| (2, text)));
    parts.extend(second.connections.map(|connections| (7, format!("connections {connections}"))));
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|place| parts.get(*place).map(|(importance, _)| *importance));
    let (mut room, mut kept) = (width.saturating_sub(1), vec![false; parts.len()]);
    for place in order {
        let (Some((importance, text)), Some(keep)) = (parts.get(place), kept.get_mut(place)) else {
            continue;
        };
        let needed = text.chars().count() + if *importance == 0 { 0 } else { gap.len() };
        if needed <= room || *importance == 0 {
            room = room.saturating_sub(needed);
            *keep = true;
        }
    }
    let kept: Vec<String> =
        parts.into_iter().zip(kept).filter(|(_, keep)| *keep).map(|((_, t), _)| t).collect();
    live::cut(&kept.join(gap), width.saturating_sub(1))
}

/// Terminals with fewer columns than this are narrow.
const NARROW: usize = 60;

/// The interval between lines about loading, which reports far more often.
const LOADING_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::HandoffProgress;

    const LIMIT: Limit = Limit::Duration(Duration::from_secs(10));

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let loading = Progress::Loading { done: 1000, all: 100_000 };
        assert_eq!(line(&loading, LIMIT, 80), "loading keys: 1,000 of 100,000");
        let cleaning = Progress::CleaningUp { done: 1000, all: 100_000 };
        assert_eq!(line(&cleaning, LIMIT, 80), "removing keys: 1,000 of 100,000");
        let warming = Progress::WarmingUp(Duration::from_millis(2500));
        assert_eq!(line(&warming, LIMIT, 80), "warming up for 2s 500ms");
        let all = line(&Progress::Running(Second::example()), LIMIT, 200);
        assert_eq!(
            all,
            "3s of 10s      812,345/s   p50  78.1 µs   p99  1.20 ms   p99.9  3.10 ms   failed 7   connections 4"
        );
        let mut moving = HandoffProgress { to: ([127, 0, 0, 1], 7002).into(), handed_off: 8, connections: 8 };
        let shown = |moving| running(&Second { moving: Some(moving), ..Second::example() }, LIMIT, 200);
        let line_shown = shown(moving);
        assert!(line_shown.contains("   MOVING → 127.0.0.1:7002 · 8/8 handed off   conn"), "{line_shown}");
        moving.connections = 0;
        assert!(shown(moving).contains("   MOVING → 127.0.0.1:7002   connections"), "no connection follows");
        let announced = Second { maintenance: Some("MIGRATING"), ..Second::example() };
        assert!(running(&announced, LIMIT, 200).contains("   MIGRATING   connections"));
        let silent = Second { p50: None, p99: None, connections: None, ..Second::example() };
        let line = running(&silent, Limit::Requests(5_000_000), 200);
        assert!(line.starts_with("2,500,000 of 5,000,000") && line.ends_with("failed 7"), "{line}");
    }

    #[test]
    fn a_narrow_terminal_gets_what_matters_most() {
        let moving = HandoffProgress { to: ([127, 0, 0, 1], 7002).into(), handed_off: 8, connections: 8 };
        let moving = Second { moving: Some(moving), ..Second::example() };
        for width in 20..120 {
            for second in [Second::example(), moving] {
                let line = running(&second, LIMIT, width);
                assert!(line.chars().count() < width, "{line:?} in {width} columns");
                assert!(line.contains("3s of 10s"), "{line}");
            }
        }
        assert_eq!(
            running(&Second::example(), LIMIT, 80),
            "3s of 10s      812,345/s   p50  78.1 µs   p99  1.20 ms   failed 7"
        );
        assert_eq!(running(&Second::example(), LIMIT, 44), "3s of 10s 812,345/s p99 1.20 ms failed 7");
    }
}
