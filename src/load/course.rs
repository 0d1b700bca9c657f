//! The course of a run, as it is published: its intervals, and what was before, in and after each maintenance.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::latency::{Latency, round};
use super::moves::Moving;
use super::timeline::{Stretch, Timeline};
use super::windows::Window;

/// Most intervals that a report tells of; a figure and an HdrHistogram log have all.
const TOLD_MAX: usize = 240;
/// How long before and after a maintenance is compared with it.
const BESIDE: Duration = Duration::from_secs(5);

/// What a run was like in one stretch of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Moment {
    /// Since the start.
    pub at_seconds: f64,
    /// How long the stretch is.
    pub seconds: f64,
    /// Answered commands.
    pub answered: u64,
    /// Commands that failed.
    pub failed: u64,
    /// Answered commands per second.
    pub throughput_per_second: f64,
    /// Latency of those that were answered in it; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
}

impl Moment {
    fn of(stretch: &Stretch) -> Moment {
        Moment {
            at_seconds: round(stretch.from.as_secs_f64(), 3),
            seconds: round(stretch.length.as_secs_f64(), 3),
            answered: stretch.answered,
            failed: stretch.failed,
            throughput_per_second: round(stretch.throughput_per_second, 1),
            latency_us: Latency::of(&stretch.latency),
        }
    }
}

/// A maintenance that went on during a run, and what the run was like before, meanwhile and after.
///
/// The three are made of whole intervals of the timeline: `during` of those in which some of it went on, `before` and
/// `after` of those beside, at most five seconds of them and none of another maintenance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MaintenanceWindow {
    /// `MOVING`, `MIGRATING`, `FAILING_OVER` or `SMIGRATING`.
    pub kind: &'static str,
    /// When it was announced, since the start.
    pub from_seconds: f64,
    /// When it was over: every connection handed off, or the announcement's closer; absent if the run ended first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_seconds: Option<f64>,
    /// Before it was announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Moment>,
    /// While it went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<Moment>,
    /// After it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Moment>,
}

/// The intervals of a run, joined so that there are not too many to read.
pub(super) fn moments(timeline: &Timeline) -> Vec<Moment> {
    timeline.at_most(TOLD_MAX).map(|stretch| Moment::of(&stretch)).collect()
}

/// A maintenance since the start of a run; without an end, it went on at the run's.
type Span = (&'static str, Duration, Option<Duration>);

/// What the run was like around each maintenance. Where nobody listened to announcements, those that were rehearsed
/// stand in for them, with the grace that they named.
pub(super) fn windows(
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
    // What was over before the start, or came after the end, was not met by any command.
    spans.retain(|(_, from, to)| *from <= elapsed && to.is_none_or(|to| !to.is_zero()));
    spans.sort_by_key(|(_, from, _)| *from);
    let one = |(index, span): (usize, &Span)| around(timeline, span, &spans, index, elapsed);
    spans.iter().enumerate().map(one).collect()
}

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
    let earliest = ends.max().unwrap_or_default().max(from.saturating_sub(BESIDE));
    let latest = begins.min().unwrap_or(elapsed).min(end + BESIDE);
    let told = |stretch: Option<Stretch>| stretch.map(|stretch| Moment::of(&stretch));
    MaintenanceWindow {
        kind,
        from_seconds: round(from.as_secs_f64(), 6),
        to_seconds: to.map(|to| round(to.as_secs_f64(), 6)),
        before: told(timeline.within(earliest, from)),
        during: told(timeline.touching(from, end)),
        after: told(timeline.within(end, latest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recorder::{Interval, Recorder};

    /// Ten intervals of 100 ms, the sixth of them slow.
    fn timeline() -> Timeline {
        let mut timeline = Timeline::new(Duration::from_millis(100), 1);
        for n in 0..10 {
            let mut recorder = Recorder::new(false, 1);
            let latency = Duration::from_micros(if n == 5 { 9000 } else { 100 });
            (0..50).for_each(|_| recorder.answer(latency, Duration::ZERO, 1));
            let interval = recorder.exchange(Box::new(Interval::new(false, 1)));
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
    fn what_was_before_in_and_after_is_told_apart() {
        let (timeline, second) = (timeline(), Duration::from_secs(1));
        let told = windows(&timeline, Some(Instant::now()), &[], &[moving(0.51), moving(0.92)], second);
        let [first, last] = &told[..] else { panic!("{told:?}") };
        assert_eq!((first.kind, first.from_seconds, first.to_seconds), ("MOVING", 0.51, Some(0.51)));
        let p99 = |moment: &Option<Moment>| moment.as_ref().unwrap().latency_us.unwrap().p99.round();
        assert_eq!([&first.before, &first.during, &first.after].map(p99), [100.0, 9003.0, 100.0]);
        let seconds =
            |moment: &Option<Moment>| moment.as_ref().map(|moment| (moment.at_seconds, moment.seconds));
        assert_eq!(seconds(&first.before), Some((0.0, 0.5)));
        assert_eq!(seconds(&first.after), Some((0.6, 0.3)), "the next one is no part of it");
        assert_eq!(seconds(&last.before), Some((0.6, 0.3)));
        assert_eq!((seconds(&last.during), &last.after), (Some((0.9, 0.1)), &None));
    }

    #[test]
    fn what_no_command_met_is_not_told() {
        let second = Duration::from_secs(1);
        assert_eq!(windows(&timeline(), Some(Instant::now()), &[], &[moving(3.0)], second), []);
        assert_eq!(windows(&timeline(), None, &[], &[moving(0.5)], second), []);
    }

    #[test]
    fn a_report_tells_of_a_bounded_number_of_intervals() {
        let told = moments(&timeline());
        assert_eq!(told.len(), 10);
        assert_eq!(told.iter().map(|moment| moment.answered).sum::<u64>(), 500);
        assert_eq!((told[3].at_seconds, told[3].seconds), (0.3, 0.1));
        assert_eq!(told[3].throughput_per_second, 500.0);
    }
}
