//! [`Windows`]: for how long the timeouts of one peer's connections are relaxed, and because of which maintenance.
//!
//! Each announced operation has a record of its own, rather than a common counter: a closer that is lost, or that
//! arrives twice, must neither leave timeouts relaxed for ever nor end the window of another operation.

use std::time::Duration;

use super::notification::{Notification, NotificationKind, Operation};
use super::settings::MaintConfig;
use crate::proto::time::{Instant, earliest};

/// The open windows of one peer, in the order in which they were opened.
///
/// Every window ends: by its closer, by its end, or with the connection that alone reported it. Windows overlap, and
/// timeouts are relaxed until the last one ends.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    records: Vec<Window>,
    tail: Option<Tail>,
}

/// A window: the time between an opener and its closer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) operation: Operation,
    /// The opener.
    pub(crate) kind: NotificationKind,
    pub(crate) seq: Option<i64>,
    /// Shards, or slots as text: what pairs it with its closer.
    pub(crate) shards: String,
    pub(crate) until: Instant,
    /// The only connection that read the opener; `None` if others or other shards did as well.
    pub(crate) reporter: Option<u64>,
}

/// The time after an announced end in which timeouts stay relaxed: the commands that piled up have yet to be answered.
#[derive(Clone, Copy, Debug)]
struct Tail {
    kind: NotificationKind,
    until: Instant,
}

impl Windows {
    /// Opens a window, or extends the one that this event has. A window is never shortened.
    pub(crate) fn open(&mut self, window: Window, now: Instant) {
        self.expire(now);
        if window.until <= now {
            return;
        }
        if let Some(record) = self.records.iter_mut().find(|record| record.is_same_event(&window)) {
            record.until = record.until.max(window.until);
            if record.reporter != window.reporter {
                record.reporter = None;
            }
            return;
        }
        self.records.push(window);
        if self.records.len() > WINDOWS_MAX {
            let ends_first = self.records.iter().enumerate().min_by_key(|(_, record)| record.until);
            if let Some((index, _)) = ends_first {
                self.records.remove(index);
            }
        }
    }

    /// Notes a copy of an opener: its window no longer ends with the connection that reported it first. A copy does not
    /// extend the window, because servers send one to every new connection.
    pub(crate) fn confirm(
        &mut self,
        kind: NotificationKind,
        seq: Option<i64>,
        shards: &str,
        reporter: Option<u64>,
    ) {
        let is_it =
            |record: &&mut Window| (record.kind, record.seq, record.shards.as_str()) == (kind, seq, shards);
        if let Some(record) = self.records.iter_mut().find(is_it).filter(|record| record.reporter != reporter)
        {
            record.reporter = None;
        }
    }

    /// Closes the one window that this closer ends, and returns whether there was one. Timeouts then stay relaxed for
    /// the length of `tail`.
    pub(crate) fn close(
        &mut self,
        operation: Operation,
        seq: Option<i64>,
        shards: &str,
        now: Instant,
        tail: Duration,
    ) -> bool {
        self.expire(now);
        let may_end = |record: &&Window| record.operation == operation && is_before(record.seq, seq);
        let same_shards = |record: &Window| !shards.is_empty() && record.shards == shards;
        let index = self
            .records
            .iter()
            .position(|record| may_end(&record) && same_shards(record))
            .or_else(|| self.records.iter().position(|record| may_end(&record)));
        let Some(index) = index else { return false };
        let tail = Tail { kind: self.records.remove(index).kind, until: now.after(tail) };
        if self.tail.is_none_or(|earlier| earlier.until <= tail.until) {
            self.tail = Some(tail);
        }
        true
    }

    /// A connection is gone: drops the windows that it alone reported, since their closers may never arrive. The
    /// window of a move stays: a move announces that connections close.
    pub(crate) fn forget_reporter(&mut self, reporter: u64) {
        self.records
            .retain(|record| record.operation == Operation::Move || record.reporter != Some(reporter));
    }

    /// Until when timeouts are relaxed, as far as is known; `None` if they are not.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        let records = self.live(now).map(|record| record.until);
        records.chain(self.live_tail(now).map(|tail| tail.until)).max()
    }

    /// The maintenance that relaxes timeouts: a move comes first, then the newest opener, then the one that a tail
    /// follows.
    pub(crate) fn in_effect(&self, now: Instant) -> Option<NotificationKind> {
        let a_move = self.live(now).find(|record| record.operation == Operation::Move);
        let record = a_move.or_else(|| self.live(now).last());
        record.map(|record| record.kind).or_else(|| self.live_tail(now).map(|tail| tail.kind))
    }

    /// Drops the windows that are over, and returns whether there was one. They get no tail, since no closer announced
    /// their end.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.next_expiry();
        self.records.retain(|record| record.until > now);
        self.tail = self.live_tail(now);
        before.is_some_and(|before| before <= now)
    }

    /// When [`Windows::expire`] has something to drop.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        earliest(self.records.iter().map(|record| record.until).min(), self.tail.map(|tail| tail.until))
    }

    /// How many windows are open; tails do not count.
    pub(crate) fn open_count(&self, now: Instant) -> usize {
        self.live(now).count()
    }

    /// Whether no window and no tail is left, once [`Windows::expire`] was called.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tail.is_none()
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Window> {
        self.records.iter().filter(move |record| record.until > now)
    }

    fn live_tail(&self, now: Instant) -> Option<Tail> {
        self.tail.filter(|tail| tail.until > now)
    }
}

impl Window {
    /// Copies of an event agree in all of these fields. If one differs, the event gets a record of its own: a record
    /// too many ends at its cap, but with a record too few a window ends by the wrong closer.
    fn is_same_event(&self, other: &Window) -> bool {
        (self.operation, self.seq, &self.shards) == (other.operation, other.seq, &other.shards)
    }
}

/// How long a notification relaxes timeouts if no closer arrives; `None` if it is a closer itself.
///
/// Announced times are raised to the relaxed timeout: a real server announced 2 s and was busy for 12 s.
pub(crate) fn window_length(notification: &Notification, config: &MaintConfig) -> Option<Duration> {
    let announced = match notification {
        Notification::Moving { grace, .. } => *grace,
        Notification::Migrating { time, .. } | Notification::FailingOver { time, .. } => *time,
        Notification::SlotsMigrating { .. } => Duration::ZERO,
        Notification::Migrated { .. }
        | Notification::FailedOver { .. }
        | Notification::SlotsMigrated { .. } => return None,
    };
    Some(announced.max(config.relaxed_timeout).min(config.window_max))
}

/// Whether an opener can belong to a closer: its number is lower, if both are known.
fn is_before(opener: Option<i64>, closer: Option<i64>) -> bool {
    match (opener, closer) {
        (Some(opener), Some(closer)) => opener < closer,
        _ => true,
    }
}

/// More operations than any server runs at once.
pub(crate) const WINDOWS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn opening(kind: NotificationKind, seq: Option<i64>, shards: &str, until: u64) -> Window {
        let shards = shards.to_owned();
        Window { operation: kind.operation(), kind, seq, shards, until: at(until), reporter: Some(1) }
    }

    fn windows(openings: impl IntoIterator<Item = Window>) -> Windows {
        let mut windows = Windows::default();
        for opening in openings {
            windows.open(opening, at(0));
        }
        windows
    }

    /// The windows after this announcement, at second 0 and with the default settings.
    fn announced(notification: &Notification) -> Windows {
        let length = window_length(notification, &MaintConfig::default()).unwrap();
        windows([opening(notification.kind(), notification.seq(), "", length.as_secs())])
    }

    fn migrating(seconds: u64) -> Notification {
        let time = Duration::from_secs(seconds);
        Notification::Migrating { seq: Some(0), time, shards: String::new() }
    }

    #[test]
    fn rt_announced_2s_clamped_up() {
        let windows = announced(&migrating(2));
        assert_eq!(windows.until(at(0)), Some(at(10)));
        assert_eq!((windows.until(at(9)), windows.until(at(10))), (Some(at(10)), None));
    }

    #[test]
    fn window_without_a_closer_ends_at_its_cap() {
        let mut windows = announced(&migrating(1000));
        assert_eq!(windows.until(at(59)), Some(at(60)));
        assert_eq!(windows.until(at(60)), None);
        windows.expire(at(60));
        assert!(windows.is_empty(), "an end that was not announced has no tail");
    }

    #[test]
    fn rt_nested_ops() {
        let mut windows = windows([
            opening(NotificationKind::Migrating, Some(5), r#"["1"]"#, 60),
            opening(NotificationKind::FailingOver, Some(6), r#"["1"]"#, 50),
        ]);
        assert!(windows.close(Operation::Migration, Some(7), r#"["1"]"#, at(5), TAIL));
        assert_eq!(
            windows.until(at(20)),
            Some(at(50)),
            "the failover goes on, past the tail of the migration"
        );
        assert_eq!(windows.in_effect(at(20)), Some(NotificationKind::FailingOver));
        assert!(windows.close(Operation::Failover, Some(8), r#"["1"]"#, at(20), TAIL));
        assert_eq!((windows.until(at(20)), windows.open_count(at(20))), (Some(at(30)), 0));
        assert_eq!(windows.until(at(30)), None);
    }

    #[test]
    fn closer_without_a_window_closes_none() {
        let mut windows = Windows::default();
        assert!(!windows.close(Operation::Failover, Some(3), r#"["1"]"#, at(1), TAIL));
        assert!(windows.is_empty() && windows.until(at(1)).is_none(), "it has no tail");
        windows.open(opening(NotificationKind::FailingOver, Some(4), r#"["1"]"#, 11), at(1));
        assert_eq!(windows.until(at(1)), Some(at(11)), "the next window opens");
    }

    #[test]
    fn rt_closer_during_moving() {
        let mut windows = windows([opening(NotificationKind::Moving, Some(5), "", 15)]);
        assert!(!windows.close(Operation::Migration, Some(6), "", at(1), TAIL));
        assert!(!windows.close(Operation::Failover, None, "", at(1), TAIL));
        assert_eq!(windows.until(at(14)), Some(at(15)));
        windows.open(opening(NotificationKind::Migrating, Some(6), "", 12), at(1));
        assert_eq!(windows.in_effect(at(2)), Some(NotificationKind::Moving), "a move comes first");
        assert!(windows.close(Operation::Migration, Some(7), "", at(2), TAIL));
        assert_eq!((windows.until(at(2)), windows.until(at(15))), (Some(at(15)), None));
    }

    #[test]
    fn window_lengths_are_clamped_to_the_settings() {
        let capped = MaintConfig { relaxed_timeout: Duration::from_secs(90), ..MaintConfig::default() };
        let moving =
            |seconds| Notification::Moving { seq: None, grace: Duration::from_secs(seconds), target: None };
        let length =
            |notification, config| window_length(&notification, config).map(|length| length.as_secs());
        let config = &MaintConfig::default();
        assert_eq!([2, 30, 300].map(|grace| length(moving(grace), config)), [Some(10), Some(30), Some(60)]);
        assert_eq!([2, 30, 300].map(|time| length(migrating(time), config)), [Some(10), Some(30), Some(60)]);
        assert_eq!(length(Notification::SlotsMigrating { seq: None, slots: Vec::new() }, config), Some(10));
        assert_eq!(length(moving(1), &capped), Some(60), "the longest window is the upper limit");
        assert_eq!(length(Notification::SlotsMigrated { seq: None, moves: Vec::new() }, config), None);
        assert_eq!(length(Notification::Migrated { seq: None, shards: String::new() }, config), None);
    }

    #[test]
    fn closer_ends_its_own_shards_or_the_oldest() {
        let (a, b) = (r#"["1"]"#, r#"["2"]"#);
        let open = || {
            windows([
                opening(NotificationKind::Migrating, Some(1), a, 20),
                opening(NotificationKind::Migrating, Some(3), b, 40),
                opening(NotificationKind::Migrating, Some(9), b, 60),
            ])
        };
        let left = |seq, shards| {
            let mut windows = open();
            let closed = windows.close(Operation::Migration, seq, shards, at(1), Duration::ZERO);
            (closed, windows.records.iter().map(|record| record.seq.unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(left(Some(4), b), (true, vec![1, 9]), "its own shards, although another window is older");
        assert_eq!(left(Some(4), r#"["7"]"#), (true, vec![3, 9]), "no such shards: the oldest");
        assert_eq!(left(Some(4), ""), (true, vec![3, 9]));
        assert_eq!(left(Some(2), b), (true, vec![3, 9]), "it does not end a window that began after it");
        assert_eq!(left(Some(1), a), (false, vec![1, 3, 9]), "an opener never shares its closer's number");
        assert_eq!(left(None, b), (true, vec![1, 9]), "without a number, the shards alone decide");
    }

    #[test]
    fn later_copy_extends_and_never_shortens() {
        let kind = NotificationKind::SlotsMigrating;
        let mut windows = windows([opening(kind, Some(0), "1-5", 30)]);
        windows.open(opening(kind, Some(0), "1-5", 20), at(1));
        assert_eq!((windows.until(at(1)), windows.open_count(at(1))), (Some(at(30)), 1));
        windows.open(opening(kind, Some(0), "1-5", 40), at(1));
        assert_eq!((windows.until(at(1)), windows.open_count(at(1))), (Some(at(40)), 1));
        windows.open(opening(kind, Some(1), "1-5", 35), at(1));
        assert_eq!(windows.open_count(at(1)), 2);
        assert_eq!((windows.open_count(at(35)), windows.next_expiry()), (1, Some(at(35))));
    }

    #[test]
    fn lost_connection_drops_the_windows_it_alone_reported() {
        let mut windows = windows([
            opening(NotificationKind::Moving, Some(1), "", 15),
            opening(NotificationKind::Migrating, Some(2), "a", 20),
            opening(NotificationKind::Migrating, Some(3), "b", 30),
        ]);
        windows.open(
            Window { reporter: Some(2), ..opening(NotificationKind::Migrating, Some(2), "a", 20) },
            at(0),
        );
        windows.forget_reporter(2);
        assert_eq!(windows.open_count(at(0)), 3);
        windows.forget_reporter(1);
        let left: Vec<_> = windows.records.iter().map(|record| record.seq.unwrap()).collect();
        assert_eq!(left, [1, 2], "a move stays, and so does a window that two connections reported");
    }

    #[test]
    fn tail_only_extends_and_names_the_closed_operation() {
        let mut windows = windows([
            opening(NotificationKind::Migrating, Some(1), "", 60),
            opening(NotificationKind::FailingOver, Some(2), "", 60),
        ]);
        assert!(windows.close(Operation::Failover, Some(3), "", at(1), TAIL));
        assert!(windows.close(Operation::Migration, Some(4), "", at(2), Duration::from_secs(1)));
        assert_eq!(
            (windows.until(at(2)), windows.in_effect(at(2))),
            (Some(at(11)), Some(NotificationKind::FailingOver))
        );
        assert!(!windows.is_empty());
        assert_eq!(windows.next_expiry(), Some(at(11)));
        assert!(!windows.expire(at(10)) && windows.expire(at(11)));
        assert!(windows.is_empty() && windows.in_effect(at(11)).is_none());
    }

    #[test]
    fn flood_of_openers_keeps_the_longest_windows() {
        let opening = |seq: u64| opening(NotificationKind::Migrating, Some(seq.cast_signed()), "", 10 + seq);
        let mut windows = windows((0..1000).map(opening));
        assert_eq!(windows.open_count(at(0)), WINDOWS_MAX);
        assert_eq!(windows.until(at(0)), Some(at(1009)));
        windows.open(opening(0), at(0));
        assert_eq!(windows.next_expiry(), Some(at(1010 - 64)), "the window that ends first is dropped");
        windows.open(opening(5000), at(6000));
        assert_eq!(windows.open_count(at(6000)), 0, "a window that is over opens nothing");
    }
}
