//! Arguments that several commands share: numbers, expiry, and the `MATCH` and `COUNT` of scans.

use super::command::{CommandResult, NOT_AN_INTEGER, SYNTAX_ERROR, wrong_arity};
use crate::rehearsal::data::glob;
use crate::rehearsal::data::keyspace::Lifetime;
use crate::rehearsal::wire::number::{parse_f64, parse_i64};
use crate::rehearsal::wire::reply::{ErrorReply, ReplyBuffer};
use crate::rehearsal::wire::request::Args;

pub(crate) fn integer(text: &[u8]) -> Result<i64, ErrorReply> {
    Ok(parse_i64(text).ok_or(NOT_AN_INTEGER)?)
}

/// Reads a count, which must not be negative.
pub(crate) fn count(text: &[u8]) -> Result<usize, ErrorReply> {
    let count = parse_i64(text).and_then(|count| usize::try_from(count).ok());
    Ok(count.ok_or("ERR value is out of range, must be positive")?)
}

/// The unit and base of a time argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeUnit {
    pub(crate) in_seconds: bool,
    /// The time counts from 1970 instead of from now.
    pub(crate) is_absolute: bool,
}

impl TimeUnit {
    pub(crate) const EX: Self = Self { in_seconds: true, is_absolute: false };
    pub(crate) const PX: Self = Self { in_seconds: false, is_absolute: false };
    pub(crate) const EXAT: Self = Self { in_seconds: true, is_absolute: true };
    pub(crate) const PXAT: Self = Self { in_seconds: false, is_absolute: true };

    /// Finds the unit by the name of an option of `SET` or `GETEX`.
    pub(crate) fn named(option: &[u8]) -> Option<Self> {
        [("EX", Self::EX), ("PX", Self::PX), ("EXAT", Self::EXAT), ("PXAT", Self::PXAT)]
            .into_iter()
            .find(|(name, _)| option.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, unit)| unit)
    }

    /// Converts `value` to Unix time in milliseconds. The time can be in the past, even before 1970.
    pub(crate) fn at_ms(self, value: i64, now_ms: u64, command: &str) -> Result<i64, ErrorReply> {
        let value_ms = if self.in_seconds { value.checked_mul(1_000) } else { Some(value) };
        let base_ms = if self.is_absolute { Some(0) } else { i64::try_from(now_ms).ok() };
        let at_ms = value_ms.zip(base_ms).and_then(|(value, base)| value.checked_add(base));
        at_ms.ok_or_else(|| invalid_expire_time(command))
    }

    /// Converts a positive `value` to the lifetime of a written key.
    pub(crate) fn lifetime(self, value: &[u8], now_ms: u64, command: &str) -> Result<Lifetime, ErrorReply> {
        let value = integer(value)?;
        if value <= 0 {
            return Err(invalid_expire_time(command));
        }
        let at_ms = self.at_ms(value, now_ms, command)?;
        Ok(Lifetime::Until(u64::try_from(at_ms).unwrap_or(0)))
    }
}

fn invalid_expire_time(command: &str) -> ErrorReply {
    format!("ERR invalid expire time in '{command}' command").into()
}

/// Reads the timeout of a blocking command: seconds and their fractions. Returns when it is over, or `None` for 0, which
/// is never.
pub(crate) fn timeout_s(text: &[u8], now_us: u64) -> Result<Option<u64>, ErrorReply> {
    let seconds = parse_f64(text).ok_or("ERR timeout is not a float or out of range")?;
    // As in Redis, a part of a millisecond counts as a whole one, so that a short timeout is not 0.
    let ms = (seconds * 1_000.0).ceil();
    if ms >= i64::MAX as f64 {
        return Err(TIMEOUT_OUT_OF_RANGE.into());
    }
    timeout(ms as i64, now_us)
}

/// Reads a timeout in whole milliseconds. Returns the same as [`timeout_s`].
pub(crate) fn timeout_ms(text: &[u8], now_us: u64) -> Result<Option<u64>, ErrorReply> {
    timeout(parse_i64(text).ok_or("ERR timeout is not an integer or out of range")?, now_us)
}

fn timeout(ms: i64, now_us: u64) -> Result<Option<u64>, ErrorReply> {
    let ms = u64::try_from(ms).map_err(|_| "ERR timeout is negative")?;
    let now_ms = now_us / 1_000;
    if ms > (i64::MAX as u64).saturating_sub(now_ms) {
        return Err(TIMEOUT_OUT_OF_RANGE.into());
    }
    Ok((ms > 0).then(|| now_us.saturating_add(ms.saturating_mul(1_000))))
}

/// The arguments of a scan.
pub(crate) struct Scan<'a> {
    pub(crate) cursor: u64,
    pub(crate) count: usize,
    pub(crate) pattern: Option<&'a [u8]>,
    pub(crate) type_name: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    /// Reads a cursor and the options behind it. `has_type` allows the option `TYPE`.
    pub(crate) fn parse(args: Args<'a>, has_type: bool) -> Result<Self, ErrorReply> {
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

    /// The number of elements to scan in a collection of `len`. As in Redis, one scan returns a small collection whole.
    pub(crate) fn count_for(&self, len: usize) -> usize {
        if len <= WHOLE_MAX { usize::MAX } else { self.count }
    }
}

/// Writes the reply of a scan: the next cursor and the found elements.
pub(crate) fn write_scan(reply: &mut ReplyBuffer, next: u64, found: &[&[u8]]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(found.len());
    found.iter().for_each(|element| reply.bulk(element));
}

/// Fails unless the arguments are at least one pair.
pub(crate) fn require_pairs(args: Args<'_>, command: &str) -> CommandResult {
    match args.len() % 2 {
        0 if args.len() > 0 => Ok(()),
        _ => Err(wrong_arity(command)),
    }
}

const TIMEOUT_OUT_OF_RANGE: &str = "ERR timeout is out of range";
/// The size up to which a collection is scanned whole.
const WHOLE_MAX: usize = 128;
