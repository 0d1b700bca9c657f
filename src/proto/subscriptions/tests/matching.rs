//! The match of a tail with a buffer, against a comparison of all lengths.

use proptest::prelude::*;

use super::*;
use crate::proto::subscriptions::overlap::{End, Overlap};

fn message(payload: u8) -> Message {
    let payload = Bytes::copy_from_slice(&[payload]);
    Message { kind: CHANNEL, channel: bytes("a"), pattern: None, payload }
}

fn matching(tail: &[u8], buffer: &[u8]) -> usize {
    let (mut overlap, mut held) = (Overlap::default(), HeldBytes::default());
    overlap.begin_tail(&mut held);
    tail.iter().for_each(|payload| overlap.record(message(*payload), &mut held));
    overlap.confirm(at(0));
    for payload in buffer {
        overlap.buffer(message(*payload), &mut held);
    }
    overlap.end(End { cause: EndCause::Fence, at: at(0) }, at(0));
    let merged = overlap.into_merged(false, &mut held).unwrap();
    assert_eq!(merged.messages.len() + merged.duplicates, buffer.len());
    assert_eq!((held.get(), merged.is_bounded), (0, false));
    merged.duplicates
}

fn naive(tail: &[u8], buffer: &[u8]) -> usize {
    let longest = tail.len().min(buffer.len());
    (0..=longest).rev().find(|length| tail.ends_with(&buffer[..*length])).unwrap()
}

#[test]
fn longest_overlap_is_found() {
    for (tail, buffer, length) in [
        (&b""[..], &b""[..], 0),
        (b"abc", b"", 0),
        (b"", b"abc", 0),
        (b"abc", b"abc", 3),
        (b"abc", b"cde", 1),
        (b"abc", b"bcd", 2),
        (b"abc", b"xyz", 0),
        (b"c", b"cab", 1),
        (b"xabc", b"abc", 3),
        (b"aaa", b"aa", 2),
        (b"aa", b"aaa", 2),
        (b"aab", b"aabaab", 3),
        (b"ababac", b"ababab", 0),
        (b"abababa", b"ababab", 5),
    ] {
        assert_eq!(matching(tail, buffer), length, "{} {}", tail.escape_ascii(), buffer.escape_ascii());
    }
}

#[test]
fn messages_of_two_channels_differ() {
    let (mut overlap, mut held) = (Overlap::default(), HeldBytes::default());
    overlap.begin_tail(&mut held);
    overlap.record(message(1), &mut held);
    overlap.confirm(at(0));
    overlap.buffer(Message { channel: bytes("b"), ..message(1) }, &mut held);
    overlap.end(End { cause: EndCause::Fence, at: at(0) }, at(0));
    assert_eq!(overlap.into_merged(false, &mut held).unwrap().duplicates, 0);
}

#[test]
fn match_of_many_equal_messages_takes_linear_time() {
    let tail = vec![b'a'; 10_000];
    let buffer: Vec<u8> = [vec![b'a'; 9_999], vec![b'b']].concat();
    assert_eq!(matching(&tail, &buffer), 9_999);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn match_is_the_longest_of_all_lengths(
        tail in proptest::collection::vec(0_u8..3, 0..20),
        buffer in proptest::collection::vec(0_u8..3, 0..20),
    ) {
        prop_assert_eq!(matching(&tail, &buffer), naive(&tail, &buffer));
    }
}
