//! Compares this decoder with that of the crate `redis-protocol` on the same bytes.
//!
//! The two differ by design in these points; everything else must be equal:
//!
//! - The oracle drops duplicates in sets: the comparison drops them as well. It keeps either of two values for one key of
//!   a map: such maps are not generated.
//! - The oracle rejects aggregates as elements of sets and as keys, which the specification allows: a scalar replaces
//!   them before the comparison.
//! - The oracle attaches attributes within an attributed frame in an order of its own: such attributes are not generated.
//! - The oracle rejects or ignores RESP2 nulls, pushes inside aggregates, and limits: they are not generated.

use bytes::BytesMut;
use redis_protocol::resp3::decode::streaming;
use redis_protocol::resp3::types::{BytesFrame, DecodedFrame};

use super::generate;
use crate::proto::resp::{Decoder, Frame, Limits};

/// Compares as many frames as `HITLESS_ORACLE_FRAMES` says, or 20,000.
#[test]
fn another_implementation_reads_the_same() {
    let wanted =
        std::env::var("HITLESS_ORACLE_FRAMES").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let (mut compared, mut seed) = (0u64, 0);
    while compared < wanted {
        let mut random = fastrand::Rng::with_seed(seed);
        for frame in generate::frames(&mut random, 3).into_iter().map(without_inner_attributes) {
            let mut wire = Vec::new();
            generate::write_streamed(&mut random, &frame, &mut wire, 0);
            let ours = Decoder::new(Limits::default()).decode(&mut &wire[..]).unwrap().unwrap();
            let theirs = oracle(&wire);
            let (ours, theirs) = (normal(&ours), normal(&theirs));
            assert_eq!(ours, theirs, "seed {seed}: {:?}", wire.escape_ascii().to_string());
            compared += 1;
        }
        seed += 1;
    }
    println!("{compared} frames compared");
}

/// The oracle returns streamed aggregates in parts, so that it only gets complete ones.
fn oracle(wire: &[u8]) -> Frame {
    let mut wire = BytesMut::from(wire);
    match streaming::decode_bytes_mut(&mut wire).unwrap().unwrap() {
        (DecodedFrame::Complete(frame), ..) => convert(frame),
        (DecodedFrame::Streaming(frame), ..) => panic!("streamed: {frame:?}"),
    }
}

fn convert(frame: BytesFrame) -> Frame {
    let list = |frames: Vec<BytesFrame>| frames.into_iter().map(convert).collect();
    let (converted, attributes) = match frame {
        BytesFrame::SimpleString { data, attributes } => (Frame::Simple(data), attributes),
        BytesFrame::SimpleError { data, attributes } => (Frame::Error(data.into_inner()), attributes),
        BytesFrame::BlobError { data, attributes } => (Frame::Error(data), attributes),
        BytesFrame::Number { data, attributes } => (Frame::Integer(data), attributes),
        BytesFrame::BlobString { data, attributes } => (Frame::Bulk(data), attributes),
        BytesFrame::Null => (Frame::Null, None),
        BytesFrame::Boolean { data, attributes } => (Frame::Boolean(data), attributes),
        BytesFrame::Double { data, attributes } => (Frame::Double(data), attributes),
        BytesFrame::BigNumber { data, attributes } => (Frame::BigNumber(data), attributes),
        BytesFrame::VerbatimString { data, attributes, .. } => {
            (Frame::Verbatim { format: *b"mkd", text: data }, attributes)
        }
        BytesFrame::Array { data, attributes } => (Frame::Array(list(data)), attributes),
        BytesFrame::Push { data, attributes } => (Frame::Push(list(data)), attributes),
        BytesFrame::Set { data, attributes } => {
            (Frame::Set(data.into_iter().map(convert).collect()), attributes)
        }
        BytesFrame::Map { data, attributes } => {
            let pairs = data.into_iter().map(|(key, value)| (convert(key), convert(value)));
            (Frame::Map(pairs.collect()), attributes)
        }
        other => panic!("not generated: {other:?}"),
    };
    match attributes {
        None => converted,
        Some(map) => {
            let attributes = map.into_iter().map(|(key, value)| (convert(key), convert(value))).collect();
            Frame::Attributed { attributes, frame: Box::new(converted) }
        }
    }
}

/// A text that does not depend on the order and the duplicates of sets, maps and attributes.
fn normal(frame: &Frame) -> String {
    let mut items = match frame {
        Frame::Set(items) => items.iter().map(normal).collect::<Vec<_>>(),
        Frame::Map(pairs) => pairs_normal(pairs),
        Frame::Attributed { attributes, .. } => pairs_normal(attributes),
        Frame::Array(items) | Frame::Push(items) => {
            let items = items.iter().map(normal).collect::<Vec<_>>().join(", ");
            return format!("{} [{items}]", frame.kind());
        }
        other => return format!("{other:?}"),
    };
    items.sort();
    items.dedup();
    let inner = match frame {
        Frame::Attributed { frame, .. } => normal(frame),
        _ => String::new(),
    };
    format!("{} {{{}}} {inner}", frame.kind(), items.join(", "))
}

fn pairs_normal(pairs: &[(Frame, Frame)]) -> Vec<String> {
    pairs.iter().map(|(key, value)| format!("{}: {}", normal(key), normal(value))).collect()
}

/// The oracle cannot represent the attributes of a null, and has its own order for nested ones.
fn without_inner_attributes(frame: Frame) -> Frame {
    let list = |frames: Vec<Frame>| -> Vec<Frame> { frames.into_iter().map(bare).collect() };
    match frame {
        Frame::Attributed { attributes, frame } if *frame != Frame::Null => {
            Frame::Attributed { attributes: scalar_keys(attributes), frame: Box::new(bare(*frame)) }
        }
        Frame::Attributed { frame, .. } => bare(*frame),
        Frame::Push(items) => Frame::Push(list(items)),
        other => bare(other),
    }
}

fn bare(frame: Frame) -> Frame {
    let list = |frames: Vec<Frame>| -> Vec<Frame> { frames.into_iter().map(bare).collect() };
    match frame {
        Frame::Attributed { frame, .. } => bare(*frame),
        Frame::Array(items) => Frame::Array(list(items)),
        Frame::Set(items) => Frame::Set(items.into_iter().map(scalar).collect()),
        Frame::Push(items) => Frame::Push(list(items)),
        Frame::Map(pairs) => Frame::Map(scalar_keys(pairs)),
        other => other,
    }
}

fn scalar_keys(pairs: Vec<(Frame, Frame)>) -> Vec<(Frame, Frame)> {
    let mut unique: Vec<(Frame, Frame)> = Vec::new();
    for (key, value) in pairs.into_iter().map(|(key, value)| (scalar(key), bare(value))) {
        if unique.iter().all(|(earlier, _)| *earlier != key) {
            unique.push((key, value));
        }
    }
    unique
}

fn scalar(frame: Frame) -> Frame {
    match bare(frame) {
        Frame::Array(_) | Frame::Set(_) | Frame::Map(_) => Frame::Integer(0),
        other => other,
    }
}
