//! Skipped pushes: they take little memory, and the frames behind them are decoded as if they were not there.

use super::allocation::peak_of;
use super::*;

const MIB: usize = 1 << 20;
/// The reply behind a push.
const REPLY: &[u8] = b"$5\r\nhello\r\n";

/// Decodes chunks with these limits for pushes. Returns the frames, and how many pushes were skipped.
fn decode_with<'a>(
    push_limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<Frame>, u64), DecodeError> {
    let mut decoder = Decoder { push_limits, ..decoder() };
    let mut frames = Vec::new();
    for mut chunk in chunks {
        while let Some(frame) = decoder.decode(&mut chunk)? {
            frames.push(frame);
        }
        assert!(chunk.is_empty(), "the decoder must consume an incomplete frame");
    }
    Ok((frames, decoder.take_skipped()))
}

/// Decodes the wire whole, byte by byte, and cut in two at all places. All results must be equal.
fn decode_cut(push_limits: Limits, wire: &[u8]) -> Result<(Vec<Frame>, u64), DecodeError> {
    let whole = decode_with(push_limits, [wire]);
    assert_eq!(decode_with(push_limits, wire.chunks(1)), whole, "{}", wire.escape_ascii());
    for cut in 0..wire.len() {
        let (head, tail) = wire.split_at(cut);
        assert_eq!(decode_with(push_limits, [head, tail]), whole, "{} cut at {cut}", wire.escape_ascii());
    }
    whole
}

#[test]
fn px_oversize_push_skipped() {
    let long = |kind: &str, length: usize| {
        let mut wire = kind.replace('N', &length.to_string()).into_bytes();
        wire.resize(wire.len() + length, b'x');
        wire.extend_from_slice(b"\r\n");
        wire
    };
    let after = |head: &[u8], tail: Vec<u8>| [head, &tail].concat();
    for (wire, most) in [
        (after(b">2\r\n+a\r\n", long("$N\r\n", 2 * MIB)), 4 << 10),
        (after(b"|1\r\n+k\r\n+v\r\n>2\r\n+a\r\n", long("$N\r\n", 2 * MIB)), 4 << 10),
        (after(b">1\r\n", long("=N\r\n", 2 * MIB)), 4 << 10),
        (after(b">2\r\n+a\r\n", long("+", 2 * MIB)), 256 << 10),
        (after(b">300000\r\n", b":12345\r\n".repeat(300_000)), 4 << 10),
        // If only the sum exceeds the limit, the push is kept until then.
        (after(b">2048\r\n", long("$N\r\n", 1 << 10).repeat(2048)), 3 * MIB),
        (after(b">400\r\n", [&b"*500\r\n"[..], &b":12345\r\n".repeat(500)].concat().repeat(400)), 8 * MIB),
    ] {
        let mut decoder = decoder();
        let shown = wire[..40].escape_ascii();
        let (after, peak) = peak_of(|| {
            for mut chunk in wire.chunks(16 << 10) {
                assert_eq!(decoder.decode(&mut chunk), Ok(None), "{shown}");
                assert!(chunk.is_empty());
            }
            decoder.decode(&mut &REPLY[..])
        });
        assert_eq!(after, Ok(Some(bulk("hello"))), "{shown}");
        assert_eq!((decoder.take_skipped(), decoder.take_skipped()), (1, 0), "{shown}");
        assert!(peak <= most, "{shown}: {peak} bytes");
    }
}

#[test]
fn push_of_hundreds_of_megabytes_is_never_in_memory() {
    const CHUNKS: usize = 4800;
    let chunk = vec![b'x'; 64 << 10];
    let mut decoder = decoder();
    let head = format!(">2\r\n+a\r\n${}\r\n", CHUNKS * chunk.len());
    let ((), peak) = peak_of(|| {
        assert_eq!(decoder.decode(&mut head.as_bytes()), Ok(None));
        for _ in 0..CHUNKS {
            assert!(decoder.read_buffer().is_none(), "a skipped push has no memory");
            assert_eq!(decoder.decode(&mut &chunk[..]), Ok(None));
        }
    });
    assert!(peak <= 4 << 10, "{peak} bytes");
    let (mut rest, mut reply) = (&b"\r\n"[..], REPLY);
    assert_eq!(decoder.decode(&mut rest), Ok(None));
    assert_eq!(decoder.take_skipped(), 1);
    assert_eq!(decoder.decode(&mut reply), Ok(Some(bulk("hello"))));
}

#[test]
fn pushes_and_replies_have_their_own_limits() {
    let nested =
        |kind: &[u8], depth: usize| [kind, b"1\r\n", &b"*1\r\n".repeat(depth - 1), b"+a\r\n"].concat();
    let large = |kind: &[u8], length: usize| {
        [kind, b"1\r\n", format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat()
    };
    let many = |kind: &[u8], count: usize| {
        [kind, format!("{count}\r\n").as_bytes(), &b":1\r\n".repeat(count)].concat()
    };
    for (push, reply) in [
        ([nested(b">", 4), nested(b">", 5)], nested(b"*", 5)),
        ([large(b">", MIB), large(b">", MIB + 1)], large(b"*", MIB + 1)),
        ([many(b">", 64 << 10), many(b">", (64 << 10) + 1)], many(b"*", (64 << 10) + 1)),
    ] {
        let [kept, skipped] = push;
        let wire = [&reply[..], &kept, &skipped, &reply, &kept].concat();
        let (frames, skipped) = decode_with(PUSH_LIMITS, [&wire[..]]).unwrap();
        assert_eq!(frames.iter().map(Frame::is_push).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!((frames[0] == frames[2], skipped), (true, 1));
    }
    // Lower limits for replies lower those for pushes.
    let mut decoder = Decoder::new(Limits { bytes: 3, ..Limits::default() });
    assert_eq!(decoder.decode(&mut &b">1\r\n$4\r\nabcd\r\n"[..]), Ok(None));
    assert_eq!(decoder.take_skipped(), 1);
}

#[test]
fn push_with_a_malformed_value_is_skipped() {
    for push in [
        ">3\r\n+a\r\n:12x\r\n+b\r\n",
        ">3\r\n:9223372036854775808\r\n$3\r\nabc\r\n*1\r\n+b\r\n",
        ">1\r\n*2\r\n#x\r\n_\r\n",
        ">2\r\n=3\r\ntxt\r\n+a\r\n",
        ">2\r\n%?\r\n+a\r\n.\r\n$?\r\n;1\r\na\r\n;0\r\n",
        ">2\r\n*?\r\n|1\r\n+a\r\n+b\r\n.\r\n+a\r\n",
        "|1\r\n+a\r\n+b\r\n>1\r\n,x\r\n",
    ] {
        let wire = [push.as_bytes(), REPLY].concat();
        assert_eq!(decode_cut(PUSH_LIMITS, &wire), Ok((vec![bulk("hello")], 1)), "{push:?}");
    }
}

#[test]
fn only_a_broken_frame_breaks_the_stream() {
    use DecodeError::*;
    let limits = Limits { elements: 1, ..PUSH_LIMITS };
    for (rest, error) in [
        (&b"HELLO"[..], UnknownType(b'H')),
        (b"$x\r\n", BadNumber(b'$')),
        (b"$-2\r\n", BadNumber(b'$')),
        (b"*-2\r\n", BadNumber(b'*')),
        (b"*1234567890123456789012345678901234567890", BadNumber(b'*')),
        (b"|?\r\n", BadNumber(b'|')),
        (b"$1\r\nab\r\n", MissingTerminator),
        (b"$1\n", MissingTerminator),
        (b"+a\n", MissingTerminator),
        (b".\r\n", BrokenStream),
        (b";1\r\na\r\n", BrokenStream),
        (b"$?\r\n+a\r\n", BrokenStream),
        (b"*?\r\n*1\r\n.\r\n", BrokenStream),
        (b">1\r\n+a\r\n", Misplaced),
    ] {
        let wire = [b">2\r\n", rest].concat();
        assert_eq!(decode_cut(limits, &wire), Err(error), "{}", rest.escape_ascii());
    }
}

#[test]
fn depth_costs_memory_only_if_it_is_streamed() {
    let fixed = [b">1\r\n", &b"*1\r\n".repeat(100_000)[..], b"+a\r\n"].concat();
    let (skipped, peak) = peak_of(|| decode_with(PUSH_LIMITS, [&fixed[..], REPLY]));
    assert_eq!(skipped, Ok((vec![bulk("hello")], 1)));
    assert!(peak <= 64 << 10, "{peak} bytes");
    let streamed = |depth: usize| [b">1\r\n", &b"*?\r\n".repeat(depth)[..], &b".\r\n".repeat(depth)].concat();
    assert_eq!(decode_with(PUSH_LIMITS, [&streamed(1000)[..], REPLY]), Ok((vec![bulk("hello")], 1)));
    assert_eq!(decode_with(PUSH_LIMITS, [&streamed(2000)[..]]), Err(DecodeError::TooDeep));
}

/// The elements, the bytes of payload and the depth of a frame.
fn measure(frame: &Frame) -> (usize, usize, usize) {
    let sum = |items: &mut dyn Iterator<Item = &Frame>| {
        let (mut elements, mut bytes, mut depth) = (1, 0, 0);
        for item in items {
            let inner = measure(item);
            elements += inner.0;
            bytes += inner.1;
            depth = depth.max(inner.2);
        }
        (elements, bytes, depth + 1)
    };
    match frame {
        Frame::Simple(text) | Frame::Error(text) | Frame::Bulk(text) | Frame::BigNumber(text) => {
            (1, text.len(), 0)
        }
        Frame::Verbatim { text, .. } => (1, text.len() + 4, 0),
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => sum(&mut items.iter()),
        Frame::Map(pairs) => sum(&mut pairs.iter().flat_map(|(key, value)| [key, value])),
        Frame::Attributed { attributes, frame } => {
            let outer = sum(&mut attributes.iter().flat_map(|(key, value)| [key, value]));
            let inner = measure(frame);
            (outer.0 + inner.0, outer.1 + inner.1, outer.2.max(inner.2))
        }
        _ => (1, 0, 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_pushes_above_a_limit_are_skipped(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = Limits { depth: random.usize(1..4), elements: random.usize(1..12), bytes: random.usize(0..60) };
        let mut frames = generate::frames(&mut random, 3);
        frames.push(Frame::Push(frames.iter().filter(|frame| !frame.is_push()).cloned().collect()));
        frames.push(bulk("hello"));
        let mut wire = Vec::new();
        for frame in &frames {
            generate::write_streamed(&mut random, frame, &mut wire, 0);
        }
        let sent = frames.len();
        frames.retain(|frame| {
            let (elements, bytes, depth) = measure(frame);
            let fits = elements <= limits.elements + 1 && bytes <= limits.bytes && depth <= limits.depth;
            fits || !frame.is_push()
        });
        let skipped = (sent - frames.len()) as u64;
        prop_assert_eq!(decode_cut(limits, &wire), Ok((frames, skipped)));
    }

    #[test]
    fn streamed_parts_make_no_difference(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let limits = Limits { elements: random.usize(1..6), ..PUSH_LIMITS };
        let mut frames = generate::frames(&mut random, 3);
        frames.push(Frame::Push(frames.iter().filter(|frame| !frame.is_push()).cloned().collect()));
        frames.push(bulk("hello"));
        let mut wire = Vec::new();
        for frame in &frames {
            generate::write_streamed(&mut random, frame, &mut wire, 2);
        }
        let (kept, skipped) = decode_cut(limits, &wire).unwrap();
        prop_assert_eq!(kept.len() as u64 + skipped, frames.len() as u64);
        let replies = |frames: &[Frame]| -> Vec<Frame> {
            frames.iter().filter(|frame| !frame.is_push()).cloned().collect()
        };
        prop_assert_eq!(replies(&kept), replies(&frames));
        let mut sent = frames.iter();
        prop_assert!(kept.iter().all(|frame| sent.any(|sent| sent == frame)), "not in order");
    }

    #[test]
    fn random_bytes_in_a_push_decode_alike_however_they_are_cut(
        bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(),
            proptest::sample::select(&b"$*+-:%~>|#_,(!=;.?\r\n0123456789-"[..]),
        ], 0..40),
    ) {
        let limits = Limits { elements: 2, ..PUSH_LIMITS };
        let _ = decode_cut(limits, &[b">9\r\n", &bytes[..]].concat());
    }
}

/// Skipped text may have any length. A number or a length with this many digits is malformed.
#[test]
fn push_with_a_long_line_is_skipped_if_it_is_text() {
    for (kind, is_skipped) in
        [("+", true), ("-", true), ("(", true), (":", false), ("$", false), ("*", false)]
    {
        let digits = "1".repeat(LINE_MAX + 10);
        let wire = [format!(">1\r\n{kind}{digits}\r\n").as_bytes(), REPLY].concat();
        let decoded = decode_with(Limits::default(), wire.chunks(1000));
        match is_skipped {
            true => assert_eq!(decoded.unwrap().1, 1, "{kind}"),
            false => assert_eq!(decoded, Err(DecodeError::LineTooLong), "{kind}"),
        }
    }
}
