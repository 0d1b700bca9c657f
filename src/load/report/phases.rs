//! The phases of a run, as a report publishes them: its intervals, and the run before, during and after each
//! maintenance.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::counts::Moving;
use crate::load::recording::latency::{Latency, round};
use crate::load::recording::timeline::{Interval, Timeline};
use crate::load::recording::windows::Window;

/// What a run measured in one interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReportInterval {
    /// Start of the interval, since the start of the run.
    pub at_seconds: f64,
    /// The length of the interval.
    pub seconds: f64,
    /// Answered commands.
    pub answered: u64,
    /// Commands that failed.
    pub failed: u64,
    /// Answered commands per second.
    pub throughput_per_second: f64,
    /// Latency of the commands that were answered in it; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
}

impl ReportInterval {
    fn of(interval: &Interval) -> ReportInterval {
        ReportInterval {
            at_seconds: round(interval.from.as_secs_f64(), 3),
            seconds: round(interval.length.as_secs_f64(), 3),
            answered: interval.answered,
            failed: interval.failed,
            throughput_per_second: round(interval.throughput_per_second, 1),
            latency_us: Latency::of(&interval.latency),
        }
    }
}

/// One maintenance during a run, and the run before, during and after it.
///
/// Each of the three consists of whole intervals of the timeline. `during` has the intervals that overlap the
/// maintenance. `before` and `after` have the intervals next to it: at most five seconds of them, and none that belongs
/// to another maintenance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MaintenanceWindow {
    /// `MOVING`, `MIGRATING`, `FAILING_OVER` or `SMIGRATING`.
    pub kind: &'static str,
    /// When it was announced, since the start of the run.
    pub from_seconds: f64,
    /// When it ended: every connection was handed off, or the server announced the end. Absent if the run ended first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_seconds: Option<f64>,
    /// Before it was announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<ReportInterval>,
    /// During the maintenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<ReportInterval>,
    /// After its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<ReportInterval>,
}

/// The intervals of a run, joined so that there are at most [`INTERVALS_MAX`].
pub(crate) fn intervals(timeline: &Timeline) -> Vec<ReportInterval> {
    timeline.at_most(INTERVALS_MAX).map(|interval| ReportInterval::of(&interval)).collect()
}

/// The run before, during and after each maintenance. Without the client's events, the rehearsed `MOVING`s are used,
/// each with its announced grace period.
pub(crate) fn windows(
    timeline: &Timeline,
    begin: Option<Instant>,
    seen: &[Window],
    movings: &[Moving],
    elapsed: Duration,
) -> Vec<MaintenanceWindow> {
    let Some(begin) = begin else { return Vec::new() };
    let since = |at: Instant| at.saturating_duration_since(begin);
    let seen = seen.iter().map(|one| (one.kind, since(one.from), one.until.map(since)));
    let mut spans: Vec<Span> = seen.collect();
    if spans.is_empty() {
        spans.extend(movings.iter().map(|moving| {
            let from = Duration::try_from_secs_f64(moving.at_seconds).unwrap_or_default();
            ("MOVING", from, Some(from + Duration::from_secs(moving.grace_seconds)))
        }));
    }
    // A maintenance that ended before the start, or began after the end, affected no command.
    spans.retain(|(_, from, to)| *from <= elapsed && to.is_none_or(|to| !to.is_zero()));
    spans.sort_by_key(|(_, from, _)| *from);
    let one = |(index, span): (usize, &Span)| around(timeline, span, &spans, index, elapsed);
    spans.iter().enumerate().map(one).collect()
}

/// The kind of a maintenance with its start and end since the start of the run. `None`: it had not ended at the end of
/// the run.
type Span = (&'static str, Duration, Option<Duration>);

fn around(
    timeline: &Timeline,
    &(kind, from, to): &Span,
    all: &[Span],
    index: usize,
    elapsed: Duration,
) -> MaintenanceWindow {
    let to = to.filter(|to| *to <= elapsed);
    let end = to.unwrap_or(elapsed);
    let others = || all.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, span)| span);
    let ends = others().filter_map(|(_, _, to)| *to).filter(|to| *to <= from);
    let begins = others().map(|(_, from, _)| *from).filter(|begin| *begin >= end);
    let earliest = ends.max().unwrap_or_default().max(from.saturating_sub(COMPARED_MAX));
    let latest = begins.min().unwrap_or(elapsed).min(end + COMPARED_MAX);
    let published = |interval: Option<Interval>| interval.map(|interval| ReportInterval::of(&interval));
    MaintenanceWindow {
        kind,
        from_seconds: round(from.as_secs_f64(), 6),
        to_seconds: to.map(|to| round(to.as_secs_f64(), 6)),
        before: published(timeline.within(earliest, from)),
        during: published(timeline.touching(from, end)),
        after: published(timeline.within(end, latest)),
    }
}

/// A report has at most this many intervals; a picture and an HdrHistogram log have all of them.
const INTERVALS_MAX: usize = 240;
/// How much time before and after a maintenance is compared with it.
const COMPARED_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::recorder::{Recorder, Recording};

    /// Ten intervals of 100 ms; the sixth is slow.
    fn timeline() -> Timeline {
        let mut timeline = Timeline::new(Duration::from_millis(100), 1);
        for n in 0..10 {
            let mut recorder = Recorder::new(false, 1);
            let latency = Duration::from_micros(if n == 5 { 9000 } else { 100 });
            (0..50).for_each(|_| recorder.answer(latency, Duration::ZERO, 1));
            let interval = recorder.exchange(Box::new(Recording::new(false, 1)));
            let from = Duration::from_millis(n * 100);
            timeline.add(from, from + Duration::from_millis(100), &interval);
        }
        timeline
    }

    fn moving(at_seconds: f64) -> Moving {
        let address = ([127, 0, 0, 1], 1).into();
        Moving { at_seconds, from: address, to: address, grace_seconds: 0 }
    }

    #[test]
    fn before_during_and_after_maintenance_are_separate() {
        let (timeline, second) = (timeline(), Duration::from_secs(1));
        let published = windows(&timeline, Some(Instant::now()), &[], &[moving(0.51), moving(0.92)], second);
        let [first, last] = &published[..] else { panic!("{published:?}") };
        assert_eq!((first.kind, first.from_seconds, first.to_seconds), ("MOVING", 0.51, Some(0.51)));
        let p99 =
            |interval: &Option<ReportInterval>| interval.as_ref().unwrap().latency_us.unwrap().p99.round();
        assert_eq!([&first.before, &first.during, &first.after].map(p99), [100.0, 9003.0, 100.0]);
        let seconds = |interval: &Option<ReportInterval>| {
            interval.as_ref().map(|interval| (interval.at_seconds, interval.seconds))
        };
        assert_eq!(seconds(&first.before), Some((0.0, 0.5)));
        assert_eq!(seconds(&first.after), Some((0.6, 0.3)), "the next maintenance is not part of it");
        assert_eq!(seconds(&last.before), Some((0.6, 0.3)));
        assert_eq!((seconds(&last.during), &last.after), (Some((0.9, 0.1)), &None));
    }

    #[test]
    fn maintenance_outside_of_the_run_is_left_out() {
        let second = Duration::from_secs(1);
        assert_eq!(windows(&timeline(), Some(Instant::now()), &[], &[moving(3.0)], second), []);
        assert_eq!(windows(&timeline(), None, &[], &[moving(0.5)], second), []);
    }

    #[test]
    fn a_report_has_a_bounded_number_of_intervals() {
        let published = intervals(&timeline());
        assert_eq!(published.len(), 10);
        assert_eq!(published.iter().map(|interval| interval.answered).sum::<u64>(), 500);
        assert_eq!((published[3].at_seconds, published[3].seconds), (0.3, 0.1));
        assert_eq!(published[3].throughput_per_second, 500.0);
    }
}
