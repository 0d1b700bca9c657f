//! Checks the order and the exactly-once execution of tagged commands.
//!
//! A command is tagged if its first key is `audit:<submitter>:<n>`, or if its first key is `audit:<submitter>` and its
//! last argument is `<n>`. Each submitter counts from 1. So `INCR audit:alice:1` and `RPUSH audit:alice 1` are both the
//! first command of `alice`. The commands of all connections and nodes are checked together.

use std::collections::{BTreeMap, BTreeSet};

use crate::rehearsal::wire::number::parse_i64;
use crate::rehearsal::wire::request::Args;

/// The tagged commands of all submitters.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    submitters: BTreeMap<Box<[u8]>, Submitter>,
    /// Tagged commands beyond the memory limits, which are not checked.
    untracked: u64,
}

#[derive(Debug, Default)]
struct Submitter {
    commands: u64,
    /// All commands up to this number were executed.
    complete_to: u64,
    /// Executed commands behind a missing one.
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
    /// Records a command that is executed, if it is tagged.
    #[inline]
    pub(crate) fn note(&mut self, args: Args<'_>) {
        if let Some(tag) = args.at(1).strip_prefix(PREFIX) {
            self.note_tagged(tag, args);
        }
    }

    #[cold]
    fn note_tagged(&mut self, tag: &[u8], args: Args<'_>) {
        let number_in_key = tag.iter().rposition(|&byte| byte == b':').and_then(|colon| {
            let (name, number) = tag.split_at_checked(colon)?;
            Some((name, number_of(number.get(1..)?)?))
        });
        let number_in_last = || Some((tag, number_of(args.get(args.len().checked_sub(1)?)?)?));
        let Some((name, number)) = number_in_key.or_else(number_in_last) else {
            return;
        };
        let room = self.submitters.len() < SUBMITTERS_MAX;
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
        if number != self.complete_to + 1 && self.ahead.len() >= AHEAD_MAX {
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

/// The start of the first key of a tagged command.
const PREFIX: &[u8] = b"audit:";
/// Most submitters; the commands of further ones are only counted.
const SUBMITTERS_MAX: usize = 1 << 12;
/// Most commands of one submitter that are remembered behind a missing one.
const AHEAD_MAX: usize = 1 << 16;

/// Longest name of a submitter.
const NAME_BYTES_MAX: usize = 256;

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
    fn both_forms_of_tags_are_recognized() {
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
    fn duplicates_reordering_and_gaps_are_counted_separately() {
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
        for number in 0..AHEAD_MAX + 3 {
            note(format!("INCR audit:a:{}", number + 2));
        }
        for number in 0..SUBMITTERS_MAX {
            note(format!("INCR audit:{number}:1"));
        }
        let found = audit.findings();
        assert_eq!((found.submitters, found.untracked), (SUBMITTERS_MAX as u64, 4));
        assert_eq!(found.missing, 1);
    }
}
