//! Which commands overlap a handoff, and how long each handoff takes, from the events of the client's shards.
//!
//! A command overlaps a handoff if it was sent before the end of the last handoff and answered after its beginning.
//! These are the commands that were in flight on the old connection, and those that waited at the cut-over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::recorder::{histogram, nanos};
use super::windows::{Window, Windows};
use crate::observe::{Event, HandoffResult};

/// Follows the handoffs of a client from the events of its shards; see [`Config::on_event`](crate::Config::on_event).
///
/// It learns of a handoff only from the events: without them, no command counts as overlapping. Events may come from all
/// shards at the same time; callers read one atomic number for each answer.
///
/// Pass each event to [`HandoffWatch::note`], and the watch to [`run`](crate::load::run()).
#[derive(Debug)]
pub struct HandoffWatch {
    epoch: Instant,
    /// For each shard, and in the last place for all shards: commands that were sent until this time overlap a handoff.
    /// In nanoseconds since the epoch; 0: there was no handoff; [`OPEN`]: a handoff is in progress.
    until: Vec<Arc<AtomicU64>>,
    state: Mutex<State>,
}

impl HandoffWatch {
    /// A watch for a client with this many shards.
    pub fn new(shards: usize) -> HandoffWatch {
        HandoffWatch {
            epoch: Instant::now(),
            until: (0..=shards).map(|_| Arc::default()).collect(),
            state: Mutex::new(State {
                open: vec![0; shards + 1],
                succeeded: 0,
                durations: histogram(),
                windows: Windows::default(),
            }),
        }
    }

    /// Notes an event of a shard.
    pub fn note(&self, shard: usize, event: &Event) {
        let all = self.until.len() - 1;
        if shard >= all {
            return;
        }
        let mut state = self.state();
        match event {
            Event::HandoffStarted { .. } => {
                [shard, all].into_iter().for_each(|place| self.begin(&mut state, place));
            }
            Event::HandoffEnded { result, duration, .. } => {
                if *result == HandoffResult::Succeeded {
                    state.succeeded += 1;
                    state.durations.saturating_record(nanos(*duration));
                }
                [shard, all].into_iter().for_each(|place| self.end(&mut state, place));
            }
            _ => {}
        }
        let open = state.open.last().copied().unwrap_or_default();
        state.windows.note(Instant::now(), event, open);
    }

    fn begin(&self, state: &mut State, place: usize) {
        if let (Some(open), Some(until)) = (state.open.get_mut(place), self.until.get(place)) {
            *open += 1;
            until.store(OPEN, Ordering::Relaxed);
        }
    }

    fn end(&self, state: &mut State, place: usize) {
        if let (Some(open), Some(until)) = (state.open.get_mut(place), self.until.get(place)) {
            *open = open.saturating_sub(1);
            // Stored while the lock is held: otherwise the end of one shard's handoff could overwrite the start of
            // another's in the last place.
            if *open == 0 {
                until.store(nanos(self.epoch.elapsed()).max(1), Ordering::Relaxed);
            }
        }
    }

    /// The number of successful handoffs so far.
    pub(crate) fn succeeded(&self) -> u64 {
        self.state().succeeded
    }

    /// Durations of the successful handoffs, in nanoseconds.
    pub(crate) fn durations(&self) -> Histogram<u64> {
        self.state().durations.clone()
    }

    /// The maintenance windows so far.
    pub(crate) fn windows(&self) -> Vec<Window> {
        self.state().windows.all()
    }

    /// The kind of the maintenance that is in progress, or was since `since`.
    pub(crate) fn kind_since(&self, since: Instant) -> Option<&'static str> {
        self.state().windows.kind_since(since)
    }

    /// The overlap test for callers on this shard; without a shard, for callers whose commands go to any shard.
    pub(crate) fn overlap(&self, shard: Option<usize>) -> Overlap {
        let place = shard.unwrap_or(self.until.len() - 1);
        Overlap { epoch: self.epoch, until: self.until.get(place).cloned().unwrap_or_default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides whether a command overlapped a handoff.
#[derive(Debug, Clone)]
pub(crate) struct Overlap {
    epoch: Instant,
    until: Arc<AtomicU64>,
}

impl Overlap {
    /// Whether a command that was sent, or due, at `since` and is answered now overlapped a handoff.
    #[inline]
    pub(crate) fn holds(&self, since: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && since.saturating_duration_since(self.epoch) <= Duration::from_nanos(until)
    }
}

#[derive(Debug)]
struct State {
    /// Handoffs in progress: of each shard, and in the last place of all shards.
    open: Vec<usize>,
    succeeded: u64,
    /// Durations of successful handoffs, in nanoseconds.
    durations: Histogram<u64>,
    windows: Windows,
}

const OPEN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Event {
        Event::HandoffStarted { from: ([127, 0, 0, 1], 1).into(), to: "127.0.0.1:2".parse().unwrap() }
    }

    fn ended(result: HandoffResult, millis: u64) -> Event {
        Event::HandoffEnded {
            from: ([127, 0, 0, 1], 1).into(),
            to: "127.0.0.1:2".parse().unwrap(),
            result,
            duration: Duration::from_millis(millis),
            attempts: 1,
        }
    }

    fn later() -> Instant {
        // Later than every noted event, whatever the resolution of the clock.
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn commands_overlap_from_the_first_beginning_to_the_last_end() {
        let watch = HandoffWatch::new(2);
        let (mine, others, all) = (watch.overlap(Some(0)), watch.overlap(Some(1)), watch.overlap(None));
        let before = Instant::now();
        assert!(![&mine, &others, &all].map(|overlap| overlap.holds(before)).contains(&true));
        watch.note(0, &started());
        watch.note(0, &started());
        watch.note(0, &ended(HandoffResult::Succeeded, 3));
        assert_eq!([&mine, &others, &all].map(|overlap| overlap.holds(later())), [true, false, true]);
        watch.note(1, &started());
        watch.note(0, &ended(HandoffResult::Deadline, 9));
        assert_eq!([&mine, &others, &all].map(|overlap| overlap.holds(later())), [false, true, true]);
        assert!(mine.holds(before), "it was in flight when the handoff ended");
        watch.note(1, &ended(HandoffResult::Succeeded, 5));
        assert_eq!([&mine, &others, &all].map(|overlap| overlap.holds(later())), [false; 3]);
    }

    #[test]
    fn durations_include_successful_handoffs_only() {
        let watch = HandoffWatch::new(1);
        for (result, millis) in [(HandoffResult::Succeeded, 3), (HandoffResult::Superseded, 90)] {
            watch.note(0, &started());
            watch.note(0, &ended(result, millis));
        }
        assert_eq!((watch.succeeded(), watch.durations().len()), (1, 1));
        assert!(watch.durations().max().abs_diff(3_000_000) < 3_000);
    }

    #[test]
    fn unknown_shards_and_unmatched_ends_are_ignored() {
        let watch = HandoffWatch::new(1);
        watch.note(7, &started());
        assert!(!watch.overlap(None).holds(Instant::now()));
        assert!(!watch.overlap(Some(7)).holds(Instant::now()));
        watch.note(0, &ended(HandoffResult::Abandoned, 1));
        watch.note(0, &started());
        assert!(watch.overlap(Some(0)).holds(later()));
    }
}
