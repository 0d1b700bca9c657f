//! Random frames, and random encodings of one frame.

use bytes::Bytes;

use crate::proto::resp::Frame;

/// One to five frames.
pub(super) fn frames(random: &mut fastrand::Rng, depth: u32) -> Vec<Frame> {
    (0..random.u32(1..=5)).map(|_| top_level(random, depth)).collect()
}

fn top_level(random: &mut fastrand::Rng, depth: u32) -> Frame {
    if random.u32(..8) == 0 { Frame::Push(list(random, depth, 1)) } else { frame(random, depth) }
}

fn frame(random: &mut fastrand::Rng, depth: u32) -> Frame {
    let kinds = if depth == 0 { 9 } else { 13 };
    match random.u32(..kinds) {
        0 => Frame::Simple(line(random)),
        1 => Frame::Error(line(random)),
        2 => Frame::Integer(random.i64(..)),
        3 => Frame::Bulk(payload(random)),
        4 => Frame::Null,
        5 => Frame::Boolean(random.bool()),
        6 => Frame::Double(f64::from(random.i32(..)) / 8.0),
        7 => Frame::BigNumber(Bytes::from(format!("-{}{}", random.u64(1..), random.u64(..)))),
        8 => Frame::Verbatim { format: *b"mkd", text: payload(random) },
        9 => Frame::Array(list(random, depth - 1, 0)),
        10 => Frame::Set(list(random, depth - 1, 0)),
        11 => Frame::Map(pairs(random, depth - 1)),
        _ => {
            let attributes = (0..random.u32(1..3)).map(|_| (frame(random, 0), frame(random, 0))).collect();
            let inner = Box::new(match frame(random, depth - 1) {
                Frame::Attributed { frame, .. } => *frame,
                other => other,
            });
            Frame::Attributed { attributes, frame: inner }
        }
    }
}

fn list(random: &mut fastrand::Rng, depth: u32, least: u32) -> Vec<Frame> {
    (0..random.u32(least..=4)).map(|_| frame(random, depth)).collect()
}

fn pairs(random: &mut fastrand::Rng, depth: u32) -> Vec<(Frame, Frame)> {
    (0..random.u32(..=3)).map(|_| (frame(random, depth), frame(random, depth))).collect()
}

/// Printable bytes, sometimes none.
fn line(random: &mut fastrand::Rng) -> Bytes {
    (0..random.usize(..12)).map(|_| random.u8(b' '..=b'~')).collect()
}

/// Any bytes, with more line ends and type bytes than a uniform choice has.
fn payload(random: &mut fastrand::Rng) -> Bytes {
    let byte = |random: &mut fastrand::Rng| match random.u32(..4) {
        0 => b"\r\n$*:;.|"[random.usize(..8)],
        _ => random.u8(..),
    };
    (0..random.usize(..24)).map(|_| byte(random)).collect()
}

/// Writes a frame as RESP3, sometimes streamed where that is allowed.
pub(super) fn write(random: &mut fastrand::Rng, frame: &Frame, out: &mut Vec<u8>) {
    write_streamed(random, frame, out, 6);
}

/// Like [`write`], but streams with a probability of `1 / odds`; never if `odds` is 0.
pub(super) fn write_streamed(random: &mut fastrand::Rng, frame: &Frame, out: &mut Vec<u8>, odds: u32) {
    let streamed = odds > 0 && random.u32(..odds) == 0;
    match frame {
        Frame::Simple(text) => blob(out, "+", text),
        Frame::Error(text) if text.contains(&b'\r') || text.contains(&b'\n') || random.bool() => {
            header(out, '!', text.len());
            blob(out, "", text);
        }
        Frame::Error(text) => blob(out, "-", text),
        Frame::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
        Frame::Bulk(bytes) if streamed => {
            out.extend(b"$?\r\n");
            for chunk in bytes.chunks(random.usize(1..=8)) {
                header(out, ';', chunk.len());
                blob(out, "", chunk);
            }
            out.extend(b";0\r\n");
        }
        Frame::Bulk(bytes) => {
            header(out, '$', bytes.len());
            blob(out, "", bytes);
        }
        Frame::Null => out.extend(b"_\r\n"),
        Frame::Boolean(truth) => out.extend(if *truth { b"#t\r\n" } else { b"#f\r\n" }),
        Frame::Double(number) => out.extend(format!(",{number}\r\n").bytes()),
        Frame::BigNumber(digits) => blob(out, "(", digits),
        Frame::Verbatim { format, text } => {
            header(out, '=', text.len() + 4);
            out.extend(format);
            blob(out, ":", text);
        }
        Frame::Array(items) => write_items(random, out, '*', items.len(), items, streamed, odds),
        Frame::Set(items) => write_items(random, out, '~', items.len(), items, streamed, odds),
        Frame::Push(items) => write_items(random, out, '>', items.len(), items, false, odds),
        Frame::Map(pairs) => write_pairs(random, out, '%', pairs, streamed, odds),
        Frame::Attributed { attributes, frame } => {
            write_pairs(random, out, '|', attributes, false, odds);
            write_streamed(random, frame, out, odds);
        }
    }
}

fn write_items<'a>(
    random: &mut fastrand::Rng,
    out: &mut Vec<u8>,
    kind: char,
    count: usize,
    items: impl IntoIterator<Item = &'a Frame>,
    streamed: bool,
    odds: u32,
) {
    if streamed {
        out.extend(format!("{kind}?\r\n").bytes());
    } else {
        header(out, kind, count);
    }
    for item in items {
        write_streamed(random, item, out, odds);
    }
    if streamed {
        out.extend(b".\r\n");
    }
}

fn write_pairs(
    random: &mut fastrand::Rng,
    out: &mut Vec<u8>,
    kind: char,
    pairs: &[(Frame, Frame)],
    streamed: bool,
    odds: u32,
) {
    let items = pairs.iter().flat_map(|(key, value)| [key, value]);
    write_items(random, out, kind, pairs.len(), items, streamed, odds);
}

fn header(out: &mut Vec<u8>, kind: char, length: usize) {
    out.extend(format!("{kind}{length}\r\n").bytes());
}

fn blob(out: &mut Vec<u8>, before: &str, bytes: &[u8]) {
    out.extend(before.bytes());
    out.extend(bytes);
    out.extend(b"\r\n");
}
