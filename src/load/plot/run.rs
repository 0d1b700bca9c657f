//! The picture of a run: throughput and latency over time, and latency by percentile.

use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;

use super::axis::{Axis, Unit};
use super::canvas::Canvas;
use super::colors;
use super::heading::{heading, title};
use super::panel::Panel;
use super::shapes::{Area, Color, Size};
use crate::load::delivery::report::DeliveryReport;
use crate::load::recording::timeline::Interval;
use crate::load::report::Report;
use crate::load::report::measured::Recorded;
use crate::load::report::phases::MaintenanceWindow;

/// What a picture shows of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawn<'a> {
    started_at_unix_seconds: f64,
    seconds: f64,
    /// What was counted, in the plural.
    what: &'static str,
    failed: u64,
    maintenance_windows: &'a [MaintenanceWindow],
    recorded: &'a Recorded,
}

impl<'a> From<&'a Report> for Drawn<'a> {
    fn from(report: &'a Report) -> Self {
        Drawn {
            started_at_unix_seconds: report.started_at_unix_seconds,
            seconds: report.elapsed_seconds,
            what: "commands",
            failed: report.commands.failed,
            maintenance_windows: &report.maintenance_windows,
            recorded: &report.recorded,
        }
    }
}

impl<'a> From<&'a DeliveryReport> for Drawn<'a> {
    fn from(report: &'a DeliveryReport) -> Self {
        // The last elements come after the last source has finished.
        let whole = report.recorded.timeline.at_most(1).next();
        let seconds = whole.map_or(0.0, |whole| whole.length.as_secs_f64());
        Drawn {
            started_at_unix_seconds: report.started_at_unix_seconds,
            seconds: report.elapsed_seconds.max(seconds),
            what: if report.queue.is_some() { "elements" } else { "messages" },
            failed: report.failed,
            maintenance_windows: &report.maintenance_windows,
            recorded: &report.recorded,
        }
    }
}

/// An earlier run that is drawn under the present one for comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overlay {
    /// The duration of the run.
    pub(crate) seconds: f64,
    /// Commands per second over time.
    pub(crate) throughput: Vec<(f64, Option<f64>)>,
    /// Microseconds over time.
    pub(crate) p99: Vec<(f64, Option<f64>)>,
    /// Microseconds by percentile, as a share of 1.
    pub(crate) percentiles: Vec<(f64, Option<f64>)>,
}

/// Draws a run, over an earlier one if there is one. `lines` describe the run.
pub(crate) fn picture(size: Size, lines: [&str; 2], run: Drawn<'_>, earlier: Option<&Overlay>) -> Canvas {
    let nothing = Overlay::default();
    let earlier = earlier.unwrap_or(&nothing);
    let mut canvas = Canvas::new(size);
    let began =
        UNIX_EPOCH + Duration::from_secs_f64(run.started_at_unix_seconds.clamp(0.0, UNIX_SECONDS_MAX));
    let mut top = heading(&mut canvas, &title("hitless bench", began), lines);
    let left = canvas.area().height - top - canvas.text_size() * 0.4;
    let panels = [throughput(run, earlier), latency(run, earlier), percentiles(run, earlier)];
    for (panel, share) in panels.iter().zip(SHARES) {
        let area = Area { left: 0.0, top, width: canvas.area().width, height: left * share };
        panel.draw(&mut canvas, area);
        top += area.height;
    }
    canvas
}

fn time(run: Drawn<'_>, earlier: &Overlay, title: &str) -> Axis {
    Axis::linear(title, Unit::Seconds, 0.0, run.seconds.max(earlier.seconds))
}

/// Adds the line of the earlier run, if it has one.
fn with_earlier(panel: Panel, name: &str, points: &[(f64, Option<f64>)]) -> Panel {
    match points.is_empty() {
        true => panel,
        false => panel.line(name, colors::FRAME, points.to_vec()),
    }
}

/// Extends a range by the positive values of a line.
fn widened(range: (f64, f64), points: &[(f64, Option<f64>)]) -> (f64, f64) {
    let values = points.iter().filter_map(|(_, value)| *value).filter(|value| *value > 0.0);
    values.fold(range, |(least, most), value| (least.min(value), most.max(value)))
}

fn intervals(run: Drawn<'_>) -> impl Iterator<Item = Interval> {
    run.recorded.timeline.at_most(DRAWN_MAX)
}

/// The middle of an interval.
fn middle(interval: &Interval) -> f64 {
    (interval.from + interval.length / 2).as_secs_f64()
}

/// Shades the maintenance in a panel with time as its x axis.
fn shaded(mut panel: Panel, run: Drawn<'_>) -> Panel {
    for window in run.maintenance_windows {
        let to = window.to_seconds.unwrap_or(run.seconds);
        panel = panel.shade(window.from_seconds, to, window.kind);
    }
    panel
}

fn throughput(run: Drawn<'_>, earlier: &Overlay) -> Panel {
    let rate: Vec<(f64, Option<f64>)> =
        intervals(run).map(|one| (middle(&one), Some(one.throughput_per_second))).collect();
    let (_, most) = widened(widened((0.0, 1.0), &rate), &earlier.throughput);
    let failed = intervals(run).filter(|one| one.failed > 0).map(|one| middle(&one)).collect();
    let y = Axis::linear("", Unit::Count, 0.0, most * 1.08);
    let panel = Panel::new(&format!("throughput, {}/s", run.what), time(run, earlier, ""), y).line(
        "",
        colors::BLUE,
        rate,
    );
    let panel = with_earlier(panel, "earlier", &earlier.throughput);
    shaded(panel, run).marks(if run.failed > 0 { "errors" } else { "" }, failed)
}

fn latency(run: Drawn<'_>, earlier: &Overlay) -> Panel {
    const LINES: [(&str, f64, Color); 4] = [
        ("p50", 0.5, colors::GREEN),
        ("p99", 0.99, colors::ORANGE),
        ("p99.9", 0.999, colors::MAGENTA),
        ("max", 1.0, colors::RED),
    ];
    let (mut least, mut most) = (f64::MAX, 0f64);
    let mut lines = LINES.map(|_| Vec::new());
    for interval in intervals(run) {
        for (line, (_, quantile, _)) in lines.iter_mut().zip(LINES) {
            // An interval without answers has no latency, so the line has a gap.
            let value = (!interval.latency.is_empty()).then(|| micros(&interval.latency, quantile));
            if let Some(value) = value {
                (least, most) = (least.min(value), most.max(value));
            }
            line.push((middle(&interval), value));
        }
    }
    let (least, most) = widened((least, most), &earlier.p99);
    let y = Axis::log("", Unit::Latency, least.min(most), most.max(1.0));
    let mut panel = Panel::new("latency, logarithmic", time(run, earlier, "time since the start"), y);
    for (points, (name, _, color)) in lines.into_iter().zip(LINES) {
        panel = panel.line(name, color, points);
    }
    shaded(with_earlier(panel, "p99 earlier", &earlier.p99), run)
}

fn percentiles(run: Drawn<'_>, earlier: &Overlay) -> Panel {
    let recorded = run.recorded;
    let all = format!("all {}", run.what);
    let service = recorded.service.as_ref().map(|service| ("service time", service, colors::GREEN));
    let lines = [
        Some((all.as_str(), &recorded.latency, colors::BLUE)),
        Some(("in handoffs", &recorded.in_handoff, colors::VIOLET)),
        service,
    ];
    let lines: Vec<_> = lines.into_iter().flatten().filter(|(_, latency, _)| !latency.is_empty()).collect();
    let least = lines.iter().map(|(_, latency, _)| micros(latency, 0.0)).fold(f64::MAX, f64::min);
    let most = lines.iter().map(|(_, latency, _)| micros(latency, 1.0)).fold(1.0, f64::max);
    let (least, most) = widened((least, most), &earlier.percentiles);
    let x = Axis::nines("percentile, logarithmic", recorded.latency.len());
    let y = Axis::log("", Unit::Latency, least.min(most), most);
    let mut panel = Panel::new("latency by percentile, logarithmic", x, y);
    for (name, latency, color) in lines {
        panel = panel.line(name, color, distribution(latency));
    }
    with_earlier(panel, "earlier", &earlier.percentiles)
}

/// The latency at each percentile that the number of samples supports.
fn distribution(latency: &Histogram<u64>) -> Vec<(f64, Option<f64>)> {
    let nines = (latency.len().max(2) as f64).log10();
    let steps = (nines * f64::from(POINTS_PER_NINE)).floor() as u32;
    let shares = (0..=steps).map(|step| 1.0 - 10f64.powf(-f64::from(step) / f64::from(POINTS_PER_NINE)));
    let last = 1.0 - 10f64.powf(-nines);
    let points = shares.map(|share| (share, Some(micros(latency, share))));
    points.chain([(last, Some(micros(latency, 1.0)))]).collect()
}

fn micros(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1e3
}

/// The shares of the panels in the height below the heading.
const SHARES: [f32; 3] = [0.28, 0.38, 0.34];
/// The number of points of a percentile line from one nine to the next.
const POINTS_PER_NINE: u32 = 20;
/// The most intervals that are drawn; more would share pixels.
const DRAWN_MAX: usize = 1200;
/// The year 9999: later dates cannot be formatted.
const UNIX_SECONDS_MAX: f64 = 253e9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::recorder::histogram;

    #[test]
    fn a_distribution_ends_with_the_longest_latency() {
        let mut latency = histogram();
        (1..=1000).for_each(|n| latency.saturating_record(n * 1000));
        let points = distribution(&latency);
        assert!(points.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1), "{points:?}");
        let (share, most) = points.last().copied().unwrap();
        assert!((share - 0.999).abs() < 1e-9 && most.is_some_and(|most| (most - 1000.0).abs() < 1.0));
        assert!(distribution(&histogram()).len() > 1);
    }
}
