//! Options that several commands share: expiry, and the `MATCH` and `COUNT` of scans.

use super::{NOT_AN_INTEGER, Outcome, SYNTAX_ERROR};
use crate::rehearsal::data::glob;
use crate::rehearsal::data::keyspace::Lifetime;
use crate::rehearsal::data::number::parse_i64;
use crate::rehearsal::wire::reply::{Failure, ReplyBuffer};
use crate::rehearsal::wire::request::Args;

pub(crate) fn integer(text: &[u8]) -> Result<i64, Failure> {
    Ok(parse_i64(text).ok_or(NOT_AN_INTEGER)?)
}

/// A count that must not be negative.
pub(crate) fn count(text: &[u8]) -> Result<usize, Failure> {
    let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
    Ok(count.ok_or("ERR value is out of range, must be positive")?)
}

/// How a time in an option or a command is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeUnit {
    pub(crate) in_seconds: bool,
    /// Since 1970, not from now.
    pub(crate) is_absolute: bool,
}

impl TimeUnit {
    pub(crate) const EX: Self = Self { in_seconds: true, is_absolute: false };
    pub(crate) const PX: Self = Self { in_seconds: false, is_absolute: false };
    pub(crate) const EXAT: Self = Self { in_seconds: true, is_absolute: true };
    pub(crate) const PXAT: Self = Self { in_seconds: false, is_absolute: true };

    /// The unit that an option of `SET` or `GETEX` names.
    pub(crate) fn named(option: &[u8]) -> Option<Self> {
        [("EX", Self::EX), ("PX", Self::PX), ("EXAT", Self::EXAT), ("PXAT", Self::PXAT)]
            .into_iter()
            .find(|(name, _)| option.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, unit)| unit)
    }

    /// The Unix time in milliseconds that `value` stands for; it may lie in the past, even before
    /// 1970.
    pub(crate) fn at_ms(self, value: i64, now_ms: u64, command: &str) -> Result<i64, Failure> {
        let value_ms = if self.in_seconds { value.checked_mul(1_000) } else { Some(value) };
        let base_ms = if self.is_absolute { Some(0) } else { i64::try_from(now_ms).ok() };
        let at_ms = value_ms.zip(base_ms).and_then(|(value, base)| value.checked_add(base));
        at_ms.ok_or_else(|| invalid_expire_time(command))
    }

    /// The lifetime that a positive `value` gives a key which is written.
    pub(crate) fn lifetime(self, value: &[u8], now_ms: u64, command: &str) -> Result<Lifetime, Failure> {
        let value = integer(value)?;
        if value <= 0 {
            return Err(invalid_expire_time(command));
        }
        let at_ms = self.at_ms(value, now_ms, command)?;
        Ok(Lifetime::Until(u64::try_from(at_ms).unwrap_or(0)))
    }
}

fn invalid_expire_time(command: &str) -> Failure {
    format!("ERR invalid expire time in '{command}' command").into()
}

/// What a scan was asked for.
pub(crate) struct Scan<'a> {
    pub(crate) cursor: u64,
    pub(crate) count: usize,
    pub(crate) pattern: Option<&'a [u8]>,
    pub(crate) type_name: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    /// Reads a cursor and the options behind it. `TYPE` is only known where there are types.
    pub(crate) fn parse(args: Args<'a>, has_type: bool) -> Result<Self, Failure> {
        let cursor = std::str::from_utf8(args.at(0)).ok().and_then(|text| text.parse().ok());
        let cursor = cursor.ok_or("ERR invalid cursor")?;
        let mut scan = Self { cursor, count: 10, pattern: None, type_name: None };
        if args.len().is_multiple_of(2) {
            return Err(SYNTAX_ERROR.into());
        }
        for (option, value) in args.from(1).pairs() {
            if option.eq_ignore_ascii_case(b"MATCH") {
                scan.pattern = Some(value);
            } else if option.eq_ignore_ascii_case(b"COUNT") {
                let count = integer(value)?;
                scan.count = usize::try_from(count).ok().filter(|&n| n > 0).ok_or(SYNTAX_ERROR)?;
            } else if has_type && option.eq_ignore_ascii_case(b"TYPE") {
                scan.type_name = Some(value);
            } else {
                return Err(SYNTAX_ERROR.into());
            }
        }
        Ok(scan)
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, text))
    }

    /// How many elements of a collection of `len` to look at: small ones are given whole, as Redis
    /// does.
    pub(crate) fn count_for(&self, len: usize) -> usize {
        const WHOLE_MAX: usize = 128;
        if len <= WHOLE_MAX { usize::MAX } else { self.count }
    }
}

/// Answers a scan: the cursor to go on with, and what was found.
pub(crate) fn write_scan(reply: &mut ReplyBuffer, next: u64, found: &[&[u8]]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len());
    found.iter().for_each(|element| reply.bulk(element));
}

/// Fails unless the options are pairs and there is at least one.
pub(crate) fn require_pairs(args: Args<'_>, command: &str) -> Outcome {
    match args.len() % 2 {
        0 if args.len() > 0 => Ok(()),
        _ => Err(super::wrong_arity(command)),
    }
}
