//! [`Keys`]: the arguments of a command that are keys.

use super::args::Args;
use super::spec::{BeginSearch, CommandSpec, FindKeys, KeySpec};

/// The indexes of the arguments that decide on the slot of a command: keys, and the channels of sharded pub/sub.
///
/// It finds what `COMMAND GETKEYS` of a server finds. Of a command with a mistake, such as a number of keys that exceeds the
/// arguments, it finds fewer keys or none; the server reports the mistake.
#[derive(Debug)]
pub(crate) struct Keys<'a, A: ?Sized> {
    args: &'a A,
    specs: std::slice::Iter<'static, KeySpec>,
    range: Range,
}

/// Every `step`th index from `next` on, before `end`.
#[derive(Clone, Copy, Debug)]
struct Range {
    next: usize,
    end: usize,
    step: usize,
}

impl CommandSpec {
    /// The indexes of the keys among these arguments. Argument 0 is the command's name.
    #[inline]
    pub(crate) fn keys<'a, A: Args + ?Sized>(&self, args: &'a A) -> Keys<'a, A> {
        Keys { args, specs: self.keys.iter(), range: Range::EMPTY }
    }
}

impl<A: Args + ?Sized> Iterator for Keys<'_, A> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.range.next >= self.range.end {
            self.range = find(self.specs.next()?, self.args).unwrap_or(Range::EMPTY);
        }
        let index = self.range.next;
        self.range.next = index.saturating_add(self.range.step);
        Some(index)
    }
}

impl Range {
    const EMPTY: Range = Range { next: 0, end: 0, step: 1 };

    fn one(index: usize) -> Range {
        Range { next: index, end: index + 1, step: 1 }
    }
}

/// The keys that one specification describes; `None` if the arguments do not match it.
fn find<A: Args + ?Sized>(spec: &KeySpec, args: &A) -> Option<Range> {
    let first = match spec.begin {
        BeginSearch::Index(index) => usize::from(index),
        BeginSearch::Keyword(word, from) => keyword(args, word, from)? + 1,
        BeginSearch::OfSort => return store_of_sort(args),
        BeginSearch::OfMigrate => return keys_of_migrate(args),
        BeginSearch::Unknown => return None,
    };
    let (first, last, step) = match spec.find {
        FindKeys::Range { last, step, limit } => (first, last_of_range(args, first, last, limit)?, step),
        FindKeys::KeyNum { number, first: behind, step } => {
            let count = decimal(args.get(first + usize::from(number))?)?;
            let first = first + usize::from(behind);
            (first, first.checked_add(count.checked_sub(1)?.checked_mul(usize::from(step))?)?, step)
        }
    };
    let fits = first <= last && last < args.len();
    fits.then_some(Range { next: first, end: last + 1, step: usize::from(step) })
}

fn last_of_range<A: Args + ?Sized>(args: &A, first: usize, last: i8, limit: u8) -> Option<usize> {
    let behind = usize::from(last.unsigned_abs());
    match (last, limit) {
        (0.., _) => Some(first + behind),
        // A limit of 2 is the first half.
        (_, 2..) => (first + args.len().checked_sub(first)? / usize::from(limit)).checked_sub(behind),
        _ => args.len().checked_sub(behind),
    }
}

/// The index of a word. The last argument is not searched, because no key can be behind it.
fn keyword<A: Args + ?Sized>(args: &A, word: &str, from: i8) -> Option<usize> {
    let start = usize::from(from.unsigned_abs());
    if from < 0 {
        (1..=args.len().checked_sub(start)?).rev().find(|&index| is(args, index, word))
    } else {
        (start..args.len().checked_sub(1)?).find(|&index| is(args, index, word))
    }
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [STORE destination]`, with the options in any order. The last
/// `STORE` counts.
fn store_of_sort<A: Args + ?Sized>(args: &A) -> Option<Range> {
    let mut found = None;
    let mut index = 2;
    while index < args.len() {
        let values = if is(args, index, "LIMIT") {
            2
        } else if is(args, index, "STORE") && index + 1 < args.len() {
            found = Some(Range::one(index + 1));
            1
        } else {
            usize::from(is(args, index, "BY") || is(args, index, "GET"))
        };
        index += 1 + values;
    }
    found
}

/// `MIGRATE host port key database timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key …]`. With
/// `KEYS`, the argument `key` is empty.
fn keys_of_migrate<A: Args + ?Sized>(args: &A) -> Option<Range> {
    let mut index = 6;
    while index < args.len() {
        if is(args, index, "KEYS") {
            let is_valid = args.get(3)?.is_empty();
            return is_valid.then_some(Range { next: index + 1, end: args.len(), step: 1 });
        }
        let values = if is(args, index, "AUTH2") { 2 } else { usize::from(is(args, index, "AUTH")) };
        index += 1 + values;
    }
    (args.len() > 3).then_some(Range::one(3))
}

fn is<A: Args + ?Sized>(args: &A, index: usize, word: &str) -> bool {
    args.get(index).is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
}

/// A number without a sign, as the servers read it: no leading zero, and at most 18 digits.
fn decimal(digits: &[u8]) -> Option<usize> {
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 18 => digits.iter().try_fold(0, |number: usize, digit| {
            digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
        }),
        _ => None,
    }
}
