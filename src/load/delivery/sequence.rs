//! The accounts of one subscriber: what is missing, repeated or out of order, by publisher and channel.

use std::collections::BTreeMap;

/// What one subscriber has received from one publisher on one channel. The publisher counts from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The number after the highest one that was received.
    next: u64,
    /// Ranges of missing numbers below `next`, from start to end; and whether an event announced the gap.
    missing: BTreeMap<u64, (u64, bool)>,
    /// Whether an event has announced that the next messages may be missing.
    is_gap_announced: bool,
    duplicates: u64,
    reordered: u64,
}

/// The sums of a subscriber.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Messages that should have come.
    pub(super) expected: u64,
    /// Of these, messages that did not come.
    pub(super) gaps: u64,
    /// Missing messages that no [`Gap`](crate::pubsub::PubSubEvent::Gap) announced.
    pub(super) unannounced: u64,
    pub(super) duplicates: u64,
    /// Messages that came after a later one.
    pub(super) reordered: u64,
}

impl Sequence {
    pub(super) fn receive(&mut self, number: u64) {
        if number >= self.next {
            if number > self.next {
                self.missing.insert(self.next, (number, self.is_gap_announced));
            }
            self.next = number + 1;
            self.is_gap_announced = false;
        } else if self.fill(number) {
            self.reordered += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// A message before the next one may be missing.
    pub(super) fn announce_gap(&mut self) {
        self.is_gap_announced = true;
    }

    /// Compares with what the publisher has sent. `failed` are the numbers whose publication was not confirmed: they are
    /// expected only if they came.
    pub(super) fn check(&self, sent: u64, failed: &[u64]) -> Checked {
        let is_failed_in = |start: u64, end: u64| {
            failed.iter().filter(|number| (start..end).contains(*number)).count() as u64
        };
        let tail = (self.next < sent).then_some((self.next, (sent, self.is_gap_announced)));
        let (mut gaps, mut unannounced, mut failed_missing) = (0, 0, 0);
        for (start, (end, is_announced)) in
            self.missing.iter().map(|(start, rest)| (*start, *rest)).chain(tail)
        {
            let excused = is_failed_in(start, end);
            let count = end - start - excused;
            failed_missing += excused;
            gaps += count;
            unannounced += if is_announced { 0 } else { count };
        }
        Checked {
            expected: sent - failed_missing,
            gaps,
            unannounced,
            duplicates: self.duplicates,
            reordered: self.reordered,
        }
    }

    /// Takes a number out of the missing ones; whether it was one.
    fn fill(&mut self, number: u64) -> bool {
        let Some((&start, &(end, is_announced))) = self.missing.range(..=number).next_back() else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.missing.remove(&start);
        if start < number {
            self.missing.insert(start, (number, is_announced));
        }
        if number + 1 < end {
            self.missing.insert(number + 1, (end, is_announced));
        }
        true
    }
}

impl Checked {
    pub(super) fn add(&mut self, other: Checked) {
        self.expected += other.expected;
        self.gaps += other.gaps;
        self.unannounced += other.unannounced;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(received: &[u64], sent: u64, failed: &[u64]) -> Checked {
        let mut sequence = Sequence::default();
        received.iter().for_each(|number| sequence.receive(*number));
        sequence.check(sent, failed)
    }

    #[test]
    fn a_complete_sequence_has_no_fault() {
        assert_eq!(checked(&[0, 1, 2, 3], 4, &[]), Checked { expected: 4, ..Checked::default() });
    }

    #[test]
    fn a_missing_message_is_a_gap_wherever_it_is() {
        for received in [&[1, 2, 3][..], &[0, 3, 1], &[0, 1, 2]] {
            let found = checked(received, 4, &[]);
            assert_eq!((found.expected, found.gaps, found.unannounced), (4, 1, 1), "{received:?}");
        }
        assert_eq!(checked(&[], 4, &[]).gaps, 4);
        assert_eq!(checked(&[5], 9, &[]).gaps, 8);
    }

    #[test]
    fn a_repeated_message_is_a_duplicate() {
        for received in [&[0, 1, 2, 2][..], &[0, 1, 0, 2], &[0, 0, 1, 2]] {
            let expected = Checked { expected: 3, duplicates: 1, ..Checked::default() };
            assert_eq!(checked(received, 3, &[]), expected, "{received:?}");
        }
    }

    #[test]
    fn a_late_message_is_reordered_and_not_missing() {
        let reordered = |count| Checked { expected: 6, reordered: count, ..Checked::default() };
        assert_eq!(checked(&[0, 2, 1, 3, 4, 5], 6, &[]), reordered(1));
        assert_eq!(checked(&[4, 2, 0, 1, 3, 5], 6, &[]), reordered(4));
        assert_eq!(checked(&[0, 2, 1, 1, 3], 4, &[]).duplicates, 1, "and its repetition is a duplicate");
    }

    #[test]
    fn a_failed_publication_may_come_or_not() {
        assert_eq!(checked(&[0, 2], 3, &[1]), Checked { expected: 2, ..Checked::default() });
        assert_eq!(checked(&[0, 1, 2], 3, &[1]), Checked { expected: 3, ..Checked::default() });
        assert_eq!(checked(&[0, 1], 3, &[2]), Checked { expected: 2, ..Checked::default() });
        assert_eq!(checked(&[0], 3, &[2]).gaps, 1);
    }

    #[test]
    fn an_announced_gap_excuses_only_the_next_messages() {
        let mut sequence = Sequence::default();
        sequence.receive(0);
        sequence.announce_gap();
        sequence.receive(3);
        sequence.receive(5);
        let found = sequence.check(6, &[]);
        assert_eq!((found.gaps, found.unannounced), (3, 1));
        sequence.announce_gap();
        let found = sequence.check(8, &[]);
        assert_eq!((found.gaps, found.unannounced), (5, 1));
    }
}
