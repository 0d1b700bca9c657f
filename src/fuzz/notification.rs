//! Notifications: any push is either parsed or rejected, and the result is never larger than the push.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::decoder::decode;
use super::script::Script;
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::notification::{Notification, NotificationKind, Parsed, SlotMove, parse};
use crate::proto::resp::{Frame, Limits};

/// The input is a port in two bytes, then a stream in which every array counts as a push.
///
/// # Panics
/// If a notification holds more than was sent, or changes when it is written and parsed again.
pub fn notification(data: &[u8]) {
    let mut script = Script::new(data);
    let port = u16::from_le_bytes([script.byte(), script.byte()]);
    let stream = script.rest();
    for frame in decode(Limits::default(), [stream]).frames {
        let frame = match frame {
            Frame::Array(items) => Frame::Push(items),
            frame => frame,
        };
        let Some(items) = frame.push_items() else { continue };
        let named = match items.first() {
            Some(Frame::Bulk(name) | Frame::Simple(name)) => NotificationKind::of(name),
            _ => None,
        };
        match parse(items, port) {
            Parsed::Other => assert_eq!(named, None),
            Parsed::Malformed(reason) => assert!(named.is_some() && !reason.is_empty()),
            Parsed::Maintenance { notification, bad_items } => {
                assert_eq!(Some(notification.kind()), named);
                assert!(usize::try_from(bad_items).is_ok_and(|bad| bad <= stream.len()));
                check(notification, stream.len());
            }
        }
    }
}

fn check(notification: Notification, sent: usize) {
    let ranges = match &notification {
        Notification::SlotsMigrating { slots, .. } => slots.len(),
        Notification::SlotsMigrated { moves, .. } => {
            moves.len() + moves.iter().map(|one| one.slots.len()).sum::<usize>()
        }
        Notification::Migrating { shards, .. }
        | Notification::Migrated { shards, .. }
        | Notification::FailingOver { shards, .. }
        | Notification::FailedOver { shards, .. } => {
            assert!(shards.len() <= SHARDS_TEXT_MAX, "{} bytes of shards", shards.len());
            0
        }
        _ => 0,
    };
    assert!(ranges <= sent, "{ranges} ranges in {sent} bytes");
    let again = parse(&written(&notification), 0);
    assert_eq!(again, Parsed::Maintenance { notification, bad_items: 0 });
}

/// The items of the push that a server sends for this notification.
fn written(notification: &Notification) -> Vec<Frame> {
    let seq = notification.seq().map_or(Frame::Null, Frame::Integer);
    let seconds =
        |time: &std::time::Duration| Frame::Integer(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let mut items = vec![text(notification.kind().name()), seq];
    match notification {
        Notification::Moving { grace, target, .. } => {
            items.extend([seconds(grace), endpoint_frame(target.as_ref())])
        }
        Notification::Migrating { time, shards, .. } | Notification::FailingOver { time, shards, .. } => {
            items.extend([seconds(time), text(shards)]);
        }
        // Without a time in front, a numeric shard list would be parsed as the time.
        Notification::Migrated { shards, .. } | Notification::FailedOver { shards, .. } => {
            items.extend([Frame::Integer(0), text(shards)]);
        }
        Notification::SlotsMigrating { slots, .. } if slots.is_empty() => {}
        Notification::SlotsMigrating { slots, .. } => items.push(text(&list(slots))),
        Notification::SlotsMigrated { moves, .. } => {
            let triple = |one: &SlotMove| {
                let ends = [endpoint_frame(one.source.as_ref()), endpoint_frame(one.target.as_ref())];
                Frame::Array(ends.into_iter().chain([text(&list(&one.slots))]).collect())
            };
            items.push(Frame::Array(moves.iter().map(triple).collect()));
        }
    }
    items
}

fn text(text: &str) -> Frame {
    Frame::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}

fn endpoint_frame(endpoint: Option<&Endpoint>) -> Frame {
    endpoint.map_or(Frame::Null, |endpoint| text(&endpoint.to_string()))
}

fn list(slots: &[RangeInclusive<u16>]) -> String {
    let ranges = slots.iter().map(|range| format!("{}-{}", range.start(), range.end()));
    ranges.collect::<Vec<_>>().join(",")
}

const SHARDS_TEXT_MAX: usize = 4 << 10;
