//! Proof of order and of exactly-once: commands that say who sent them, and which one they are.
//!
//! A command is tagged if its first key is `audit:<submitter>:<n>`, or if it is
//! `audit:<submitter>` and the last argument is `<n>`; each submitter counts from 1. So
//! `INCR audit:alice:1` and `RPUSH audit:alice 1` are both the first command of `alice`. All
//! connections and nodes count together.

use std::collections::{BTreeMap, BTreeSet};

use crate::rehearsal::data::number::parse_i64;
use crate::rehearsal::wire::request::Args;

/// What the first key of a tagged command starts with.
pub const AUDIT_PREFIX: &[u8] = b"audit:";
/// Most submitters that are told apart; commands of others are only counted.
pub const AUDIT_SUBMITTERS_MAX: usize = 1 << 12;
/// Most commands that one submitter may be ahead of one that is missing, to be recognised again.
pub const AUDIT_AHEAD_MAX: usize = 1 << 16;

/// Longest name of a submitter.
const NAME_BYTES_MAX: usize = 256;

/// What was seen of all submitters.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    submitters: BTreeMap<Box<[u8]>, Submitter>,
    /// Tagged commands that there was no room to judge.
    untracked: u64,
}

#[derive(Debug, Default)]
struct Submitter {
    commands: u64,
    /// All up to here were seen.
    complete_to: u64,
    /// Seen beyond that, with a gap before.
    ahead: BTreeSet<u64>,
    highest: u64,
    duplicates: u64,
    out_of_order: u64,
}

/// The sums over all submitters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) submitters: u64,
    pub(crate) commands: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) missing: u64,
    pub(crate) untracked: u64,
}

impl Audit {
    /// Takes note of a command that is executed, if it is tagged.
    #[inline]
    pub(crate) fn note(&mut self, args: Args<'_>) {
        if let Some(tag) = args.at(1).strip_prefix(AUDIT_PREFIX) {
            self.note_tagged(tag, args);
        }
    }

    #[cold]
    fn note_tagged(&mut self, tag: &[u8], args: Args<'_>) {
        let own_number = tag.iter().rposition(|&byte| byte == b':').and_then(|colon| {
            let (name, number) = tag.split_at_checked(colon)?;
            Some((name, number_of(number.get(1..)?)?))
        });
        let last = || Some((tag, number_of(args.get(args.len().checked_sub(1)?)?)?));
        let Some((name, number)) = own_number.or_else(last) else {
            return;
        };
        let room = self.submitters.len() < AUDIT_SUBMITTERS_MAX;
        match self.submitters.get_mut(name) {
            Some(submitter) => submitter.note(number, &mut self.untracked),
            None if room && name.len() <= NAME_BYTES_MAX => {
                let submitter = self.submitters.entry(name.into()).or_default();
                submitter.note(number, &mut self.untracked);
            }
            None => self.untracked += 1,
        }
    }

    pub(crate) fn findings(&self) -> Findings {
        let mut sum = Findings { untracked: self.untracked, ..Findings::default() };
        for submitter in self.submitters.values() {
            sum.submitters += 1;
            sum.commands += submitter.commands;
            sum.duplicates += submitter.duplicates;
            sum.out_of_order += submitter.out_of_order;
            sum.missing += submitter.highest - submitter.complete_to - submitter.ahead.len() as u64;
        }
        sum
    }
}

impl Submitter {
    fn note(&mut self, number: u64, untracked: &mut u64) {
        self.commands += 1;
        if number <= self.complete_to || self.ahead.contains(&number) {
            self.duplicates += 1;
            return;
        }
        if number != self.complete_to + 1 && self.ahead.len() >= AUDIT_AHEAD_MAX {
            self.commands -= 1;
            *untracked += 1;
            return;
        }
        if number < self.highest {
            self.out_of_order += 1;
        }
        self.highest = self.highest.max(number);
        self.ahead.insert(number);
        while self.ahead.first() == Some(&(self.complete_to + 1)) {
            self.ahead.pop_first();
            self.complete_to += 1;
        }
    }
}

fn number_of(text: &[u8]) -> Option<u64> {
    u64::try_from(parse_i64(text)?).ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(lines: &[&str]) -> Findings {
        let mut audit = Audit::default();
        for line in lines {
            let (mut spans, mut start) = (Vec::new(), 0);
            for word in line.split(' ') {
                spans.push((start, start + word.len()));
                start += word.len() + 1;
            }
            audit.note(Args::new(line.as_bytes(), &spans));
        }
        audit.findings()
    }

    #[test]
    fn both_ways_to_tag_are_in_order() {
        let found = findings(&[
            "INCR audit:a:1",
            "RPUSH audit:a 2",
            "SET audit:b:x v 1",
            "GET other",
            "INCR audit:c",
        ]);
        assert_eq!(found, Findings { submitters: 2, commands: 3, ..Findings::default() });
    }

    #[test]
    fn each_kind_of_trouble_is_told_apart() {
        let found = findings(&["INCR audit:a:1", "INCR audit:a:1", "INCR audit:a:3", "INCR audit:a:3"]);
        let expected =
            Findings { submitters: 1, commands: 4, duplicates: 2, missing: 1, ..Findings::default() };
        assert_eq!(found, expected);
        let found = findings(&["INCR audit:a:2", "INCR audit:a:1", "INCR audit:a:3", "INCR audit:a:5"]);
        let expected =
            Findings { submitters: 1, commands: 4, out_of_order: 1, missing: 1, ..Findings::default() };
        assert_eq!(found, expected);
    }

    #[test]
    fn memory_is_bounded() {
        let mut audit = Audit::default();
        let mut note = |line: String| {
            let spans = [(0, 4), (5, line.len())];
            audit.note(Args::new(line.as_bytes(), &spans));
        };
        for number in 0..AUDIT_AHEAD_MAX + 3 {
            note(format!("INCR audit:a:{}", number + 2));
        }
        for number in 0..AUDIT_SUBMITTERS_MAX {
            note(format!("INCR audit:{number}:1"));
        }
        let found = audit.findings();
        assert_eq!((found.submitters, found.untracked), (AUDIT_SUBMITTERS_MAX as u64, 4));
        assert_eq!(found.missing, 1);
    }
}
