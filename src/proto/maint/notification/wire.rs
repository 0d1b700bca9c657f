//! The layout of the fields in a push.
//!
//! Servers and proxies differ in the fields that they leave out or add, and in how they write numbers and absence. The
//! parser accepts all forms that it can understand: a dropped notification costs more than one that is acted on without
//! need. It does not recurse, and it reads each element a constant number of times.

use std::time::Duration;

use super::{Notification, NotificationKind, Parsed, SlotMove};
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::slots;
use crate::proto::resp::Frame;

/// Reads the elements of a push. `port` is the port of the connection, and of an endpoint that is named without one.
///
/// - A number may be an integer or text. An event number that cannot be read is `None`. A time that cannot be read, is
///   missing, or is not positive, is zero, which means now. A time beyond a day is a day.
/// - A time may be missing before shards or an endpoint, and may be present before the shards of a closer.
/// - An endpoint that cannot be read counts as a bad item, and as absent.
/// - Slots that cannot be read count as bad items. An empty list means that the slots are unknown.
/// - Elements after the last field are ignored. An aggregate in the place of a scalar makes the push malformed; within
///   the moves of `SMIGRATED` it only makes that move a bad item.
pub(crate) fn parse(items: &[Frame], port: u16) -> Parsed {
    let Some((Frame::Bulk(name) | Frame::Simple(name), fields)) = items.split_first() else {
        return Parsed::Other;
    };
    match NotificationKind::of(name) {
        None => Parsed::Other,
        Some(kind) => read(kind, fields, port).unwrap_or_else(Parsed::Malformed),
    }
}

fn read(kind: NotificationKind, fields: &[Frame], port: u16) -> Result<Parsed, &'static str> {
    let mut bad_items = 0;
    let (seq, fields) = take_seq(kind, fields)?;
    let notification = match kind {
        NotificationKind::Moving => {
            let (grace, endpoint) = take_time(fields)?;
            let target = match endpoint {
                None => None,
                Some(frame) => {
                    let endpoint = Scalar::of(frame).ok_or(NESTED)?;
                    endpoint_of(endpoint, port, &mut bad_items)
                }
            };
            Notification::Moving { seq, grace, target }
        }
        NotificationKind::Migrating => {
            let (time, shards) = take_time(fields)?;
            Notification::Migrating { seq, time, shards: shards_of(shards)? }
        }
        NotificationKind::FailingOver => {
            let (time, shards) = take_time(fields)?;
            Notification::FailingOver { seq, time, shards: shards_of(shards)? }
        }
        NotificationKind::Migrated => {
            Notification::Migrated { seq, shards: shards_of(take_time(fields)?.1)? }
        }
        NotificationKind::FailedOver => {
            Notification::FailedOver { seq, shards: shards_of(take_time(fields)?.1)? }
        }
        NotificationKind::SlotsMigrating => {
            if fields.first().is_some_and(|frame| Scalar::of(frame).is_none()) {
                return Err(NESTED);
            }
            let mut slots = Vec::new();
            for list in fields.iter().filter_map(Scalar::of) {
                bad_items += list.with_text(|list| slots::read(list, &mut slots));
            }
            Notification::SlotsMigrating { seq, slots }
        }
        NotificationKind::SlotsMigrated => {
            Notification::SlotsMigrated { seq, moves: moves_of(fields, port, &mut bad_items)? }
        }
    };
    Ok(Parsed::Maintenance { notification, bad_items })
}

/// The event's number, and the fields after it. The number is missing if the next field stands in its place.
fn take_seq(kind: NotificationKind, fields: &[Frame]) -> Result<(Option<i64>, &[Frame]), &'static str> {
    let Some((first, rest)) = fields.split_first() else { return Ok((None, fields)) };
    match Scalar::of(first) {
        None if kind == NotificationKind::SlotsMigrated => Ok((None, fields)),
        None => Err(NESTED),
        Some(Scalar::Text(text)) if is_list(text) || text.contains(&b':') => Ok((None, fields)),
        Some(Scalar::Text(text)) if kind == NotificationKind::SlotsMigrating && digits(text).is_none() => {
            Ok((None, fields))
        }
        Some(scalar) => Ok((scalar.number().and_then(exact), rest)),
    }
}

/// The time, and the field after it. The time is missing if the next field stands in its place.
fn take_time(fields: &[Frame]) -> Result<(Duration, Option<&Frame>), &'static str> {
    let Some((first, rest)) = fields.split_first() else { return Ok((Duration::ZERO, None)) };
    match Scalar::of(first) {
        None if matches!(first, Frame::Array(_)) => Ok((Duration::ZERO, Some(first))),
        None => Err(NESTED),
        Some(scalar) => match (scalar.number(), scalar) {
            (Some(seconds), _) => Ok((time(seconds), rest.first())),
            (None, Scalar::Text(text)) if is_list(text) || rest.is_empty() => {
                Ok((Duration::ZERO, Some(first)))
            }
            (None, _) => Ok((Duration::ZERO, rest.first())),
        },
    }
}

/// The ids of shards as text. An array of ids gets the form that other servers send as text.
fn shards_of(field: Option<&Frame>) -> Result<String, &'static str> {
    let Some(frame) = field else { return Ok(String::new()) };
    let mut shards = match (frame, Scalar::of(frame)) {
        (_, Some(scalar)) => scalar.with_text(|text| String::from_utf8_lossy(text).into_owned()),
        (Frame::Array(ids), None) => {
            let mut shards = String::from("[");
            for id in ids {
                if shards.len() > 1 {
                    shards.push(',');
                }
                let id = Scalar::of(id).ok_or(NESTED)?;
                shards.push('"');
                id.with_text(|id| shards.push_str(&String::from_utf8_lossy(id)));
                shards.push('"');
            }
            shards.push(']');
            shards
        }
        _ => return Err(NESTED),
    };
    if shards.len() > SHARDS_LENGTH_MAX {
        let end = (0..=SHARDS_LENGTH_MAX).rev().find(|end| shards.is_char_boundary(*end));
        shards.truncate(end.unwrap_or(0));
        shards.shrink_to_fit();
    }
    Ok(shards)
}

/// The moves, in any form that servers and proxies write: an array of `[source, target, slots]`, of `[target, slots]`
/// or of `"target slots"`, with or without a count before it; or the same fields without an array. Another item is a
/// bad item, and the rest is read.
fn moves_of(fields: &[Frame], port: u16, bad_items: &mut u32) -> Result<Vec<SlotMove>, &'static str> {
    let mut moves = Vec::new();
    let mut add = |found: Option<SlotMove>, bad_items: &mut u32| match found {
        Some(found) if moves.len() < MOVES_MAX => moves.push(found),
        _ => *bad_items += 1,
    };
    let listed = fields.iter().take(2).find(|field| Scalar::of(field).is_none());
    if let Some(list) = listed {
        let Frame::Array(items) = list else { return Err(NESTED) };
        for item in items {
            let found = match item {
                Frame::Array(item) => {
                    let item: Option<Vec<_>> = item.iter().take(FIELDS_MAX).map(Scalar::of).collect();
                    item.and_then(|item| move_of(&item, port, bad_items))
                }
                item => Scalar::of(item).and_then(|item| words_of(item, port, bad_items)),
            };
            add(found, bad_items);
        }
    } else {
        let size = if fields.len() == 2 { 2 } else { 3 };
        for item in fields.chunks(size) {
            let item: Option<Vec<_>> = item.iter().map(Scalar::of).collect();
            let found = match item.as_deref() {
                Some([words]) => words_of(*words, port, bad_items),
                Some(item) => move_of(item, port, bad_items),
                None => None,
            };
            add(found, bad_items);
        }
    }
    Ok(moves)
}

/// One move. Without a source, the source is the node that sent it.
fn move_of(item: &[Scalar<'_>], port: u16, bad_items: &mut u32) -> Option<SlotMove> {
    let (source, target, list) = match *item {
        [target, list] => (None, target, list),
        [source, target, list] => (endpoint_of(source, port, bad_items), target, list),
        _ => return None,
    };
    let target = endpoint_of(target, port, bad_items);
    let mut slots = Vec::new();
    *bad_items += list.with_text(|list| slots::read(list, &mut slots));
    Some(SlotMove { source, target, slots })
}

/// One move, as one text.
fn words_of(item: Scalar<'_>, port: u16, bad_items: &mut u32) -> Option<SlotMove> {
    let Scalar::Text(text) = item else { return None };
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<_> = words.take(FIELDS_MAX).map(Scalar::Text).collect();
    move_of(&words, port, bad_items)
}

fn endpoint_of(field: Scalar<'_>, port: u16, bad_items: &mut u32) -> Option<Endpoint> {
    let found = match field {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => std::str::from_utf8(text)
            .map_err(drop)
            .and_then(|text| Endpoint::from_wire(text, port).map_err(drop)),
        Scalar::Number(_) | Scalar::Other => Err(()),
    };
    found.unwrap_or_else(|()| {
        *bad_items += 1;
        None
    })
}

/// An element that is no aggregate.
#[derive(Clone, Copy, Debug)]
enum Scalar<'a> {
    Absent,
    Number(i64),
    Text(&'a [u8]),
    /// A boolean or a floating-point number, which no field holds.
    Other,
}

impl<'a> Scalar<'a> {
    fn of(frame: &'a Frame) -> Option<Scalar<'a>> {
        let frame = match frame {
            Frame::Attributed { frame, .. } => frame,
            frame => frame,
        };
        match frame {
            Frame::Null => Some(Scalar::Absent),
            Frame::Integer(number) => Some(Scalar::Number(*number)),
            Frame::Simple(text)
            | Frame::Bulk(text)
            | Frame::Error(text)
            | Frame::BigNumber(text)
            | Frame::Verbatim { text, .. } => Some(Scalar::Text(text)),
            Frame::Boolean(_) | Frame::Double(_) => Some(Scalar::Other),
            _ => None,
        }
    }

    fn number(self) -> Option<i128> {
        match self {
            Scalar::Number(number) => Some(number.into()),
            Scalar::Text(text) => digits(text),
            Scalar::Absent | Scalar::Other => None,
        }
    }

    fn with_text<T>(self, read: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Scalar::Text(text) => read(text),
            Scalar::Number(number) => read(itoa::Buffer::new().format(number).as_bytes()),
            Scalar::Absent | Scalar::Other => read(b""),
        }
    }
}

/// A number in digits, with an optional sign. A number out of range becomes the greatest or least one.
fn digits(text: &[u8]) -> Option<i128> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0i128, |number, digit| number.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    Some(if text.starts_with(b"-") { -number } else { number })
}

/// The number of an event, if it is in range.
fn exact(number: i128) -> Option<i64> {
    number.try_into().ok()
}

fn time(seconds: i128) -> Duration {
    Duration::from_secs(u64::try_from(seconds.clamp(0, TIME_MAX_S.into())).unwrap_or(0))
}

/// Whether a text is a list of shards, rather than an unreadable number.
fn is_list(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

const NESTED: &str = "an aggregate in the place of a scalar";
/// Longer announced times are cut to this.
const TIME_MAX_S: u64 = 24 * 60 * 60;
/// Longer texts are cut: they are only compared.
const SHARDS_LENGTH_MAX: usize = 4 << 10;
/// One move for each slot: more have no meaning.
const MOVES_MAX: usize = 16384;
/// A move has at most three fields: a fourth one shows that there are too many.
const FIELDS_MAX: usize = 4;
