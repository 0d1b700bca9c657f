//! The time windows of maintenance, from the client's events: from an announcement until its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::observe::{Event, Notification};

/// The time window of one maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The name of the announcement on the wire.
    pub(crate) kind: &'static str,
    pub(crate) from: Instant,
    /// `None`: the maintenance is in progress.
    pub(crate) until: Option<Instant>,
    peer: SocketAddr,
    /// Whether its announcement was noted; a handoff may be noted before.
    is_announced: bool,
}

/// All maintenance windows of a run.
///
/// ```text
///  announced ──▶ open ── end announced, or last handoff ended ──▶ closed
///                 ▲                                                 │
///                 └── MOVING only: a handoff within one second ─────┘
/// ```
#[derive(Debug, Default)]
pub(crate) struct Windows(Vec<Window>);

impl Windows {
    /// Notes an event; `open` handoffs are in progress after it.
    pub(crate) fn note(&mut self, now: Instant, event: &Event, open: usize) {
        match event {
            Event::Announced { peer, notification } => match notification {
                Notification::Moving { .. } => self.announce_moving(*peer, now),
                Notification::Migrating { .. } => self.open("MIGRATING", *peer, now),
                Notification::FailingOver { .. } => self.open("FAILING_OVER", *peer, now),
                Notification::SlotsMigrating { .. } => self.open("SMIGRATING", *peer, now),
                Notification::Migrated { .. } => self.close("MIGRATING", Some(*peer), now),
                Notification::FailedOver { .. } => self.close("FAILING_OVER", Some(*peer), now),
                Notification::SlotsMigrated { .. } => self.close("SMIGRATING", Some(*peer), now),
            },
            Event::HandoffStarted { from, .. } => self.handing_off(*from, now),
            Event::HandoffEnded { .. } if open == 0 => self.close(MOVING, None, now),
            _ => {}
        }
    }

    /// One shard reports a `MOVING` for all. Another one may have begun its handoffs before, which opened the window.
    fn announce_moving(&mut self, peer: SocketAddr, now: Instant) {
        let begun = |window: &&mut Window| {
            let is_recent = now.saturating_duration_since(window.from) < TOGETHER;
            window.kind == MOVING && window.peer == peer && !window.is_announced && is_recent
        };
        match self.0.iter_mut().rfind(begun) {
            Some(window) => window.is_announced = true,
            None => self.open(MOVING, peer, now),
        }
    }

    fn open(&mut self, kind: &'static str, peer: SocketAddr, now: Instant) {
        self.push(Window { kind, from: now, until: None, peer, is_announced: true });
    }

    fn push(&mut self, window: Window) {
        if self.0.len() < WINDOWS_MAX {
            self.0.push(window);
        }
    }

    fn close(&mut self, kind: &str, peer: Option<SocketAddr>, now: Instant) {
        let open = self.0.iter_mut().filter(|window| window.kind == kind && window.until.is_none());
        for window in open.filter(|window| peer.is_none_or(|peer| window.peer == peer)) {
            window.until = Some(now);
        }
    }

    /// Shards receive a `MOVING` one after the other, and one may have finished before the next one begins. The window
    /// is opened again then.
    fn handing_off(&mut self, peer: SocketAddr, now: Instant) {
        let last = self.0.iter_mut().rfind(|window| window.kind == MOVING);
        match last {
            Some(Window { until: None, .. }) => {}
            Some(window) if window.until.is_some_and(|until| now - until < TOGETHER) => window.until = None,
            _ => self.push(Window { kind: MOVING, from: now, until: None, peer, is_announced: false }),
        }
    }

    /// The kind of the latest maintenance that is in progress, or was since `since`.
    pub(crate) fn kind_since(&self, since: Instant) -> Option<&'static str> {
        let went_on = |window: &&Window| window.until.is_none_or(|until| until >= since);
        self.0.iter().rfind(went_on).map(|window| window.kind)
    }

    pub(crate) fn all(&self) -> Vec<Window> {
        self.0.clone()
    }
}

/// The most windows that are kept; later ones are dropped.
const WINDOWS_MAX: usize = 256;
/// A handoff that begins this soon after the end of the others belongs to the same announcement.
const TOGETHER: Duration = Duration::from_secs(1);
const MOVING: &str = "MOVING";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::HandoffResult;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn announced(notification: Notification) -> Event {
        Event::Announced { peer: peer(), notification }
    }

    fn moving() -> Event {
        announced(Notification::Moving { seq: None, grace: Duration::from_secs(1), target: None })
    }

    fn started() -> Event {
        Event::HandoffStarted { from: peer(), to: "127.0.0.1:2".parse().unwrap() }
    }

    fn ended() -> Event {
        let (to, result) = ("127.0.0.1:2".parse().unwrap(), HandoffResult::Succeeded);
        Event::HandoffEnded { from: peer(), to, result, duration: Duration::ZERO, attempts: 1 }
    }

    fn noted(events: &[(u64, Event, usize)]) -> (Instant, Windows) {
        let (begin, mut windows) = (Instant::now(), Windows::default());
        for (millis, event, open) in events {
            windows.note(begin + Duration::from_millis(*millis), event, *open);
        }
        (begin, windows)
    }

    fn spans((begin, windows): &(Instant, Windows)) -> Vec<(&'static str, u128, Option<u128>)> {
        let millis = |at: Instant| (at - *begin).as_millis();
        windows.all().iter().map(|one| (one.kind, millis(one.from), one.until.map(millis))).collect()
    }

    #[test]
    fn a_moving_lasts_until_the_last_handoff_of_any_shard() {
        let noted = noted(&[
            (10, moving(), 0),
            (11, started(), 1),
            (12, ended(), 0),
            // Another shard, which received it later.
            (13, started(), 1),
            (15, ended(), 0),
            (5000, moving(), 0),
            (5001, started(), 1),
        ]);
        assert_eq!(spans(&noted), [("MOVING", 10, Some(15)), ("MOVING", 5000, None)]);
        assert_eq!(noted.1.kind_since(noted.0 + Duration::from_secs(60)), Some("MOVING"));
    }

    #[test]
    fn a_handoff_before_the_report_of_its_moving_shares_the_window() {
        let noted = noted(&[
            (10, started(), 1),
            (11, moving(), 1),
            (12, ended(), 0),
            (13, started(), 1),
            (14, ended(), 0),
            // Another announcement.
            (15, moving(), 0),
        ]);
        assert_eq!(spans(&noted), [("MOVING", 10, Some(14)), ("MOVING", 15, None)]);
    }

    #[test]
    fn a_window_lasts_from_opener_to_closer() {
        let (time, shards) = (Duration::from_secs(9), String::new());
        let opener = announced(Notification::Migrating { seq: None, time, shards: shards.clone() });
        let closer = announced(Notification::Migrated { seq: None, shards });
        let noted = noted(&[(1, opener, 0), (2, moving(), 0), (7, closer, 0)]);
        assert_eq!(spans(&noted), [("MIGRATING", 1, Some(7)), ("MOVING", 2, None)]);
    }

    #[test]
    fn unannounced_handoffs_have_windows_up_to_a_bound() {
        let one = noted(&[(1, started(), 1), (2, ended(), 0)]);
        assert_eq!(spans(&one), [("MOVING", 1, Some(2))]);
        assert_eq!(
            (one.1.kind_since(one.0), one.1.kind_since(one.0 + Duration::from_millis(3))),
            (Some("MOVING"), None)
        );
        let many: Vec<_> = (0..1000).map(|n| (n, moving(), 0)).collect();
        assert_eq!(noted(&many).1.all().len(), WINDOWS_MAX);
    }
}
