//! The decoder against generated frames, all ways to cut them, another implementation, and random bytes.

pub(crate) mod allocation;
mod generate;
mod oracle;
mod skip;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn decoder() -> Decoder {
    Decoder::new(Limits::default())
}

/// Decodes chunk by chunk, and each chunk to its end.
fn decode_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Frame>, DecodeError> {
    let mut decoder = decoder();
    let mut frames = Vec::new();
    for mut chunk in chunks {
        while let Some(frame) = decoder.decode(&mut chunk)? {
            frames.push(frame);
        }
        assert!(chunk.is_empty(), "the decoder must consume an incomplete frame");
    }
    Ok(frames)
}

fn decode(bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    decode_chunks([bytes])
}

fn bulk(text: &'static str) -> Frame {
    Frame::Bulk(Bytes::from_static(text.as_bytes()))
}

fn simple(text: &'static str) -> Frame {
    Frame::Simple(Bytes::from_static(text.as_bytes()))
}

#[test]
fn every_type_of_the_specification_is_decoded() {
    let big = "3492890328409238509324850943850943825024385";
    for (wire, frame) in [
        ("+OK\r\n", simple("OK")),
        ("-ERR no\r\n", Frame::Error("ERR no".into())),
        ("!6\r\nERR \r\n\r\n", Frame::Error("ERR \r\n".into())),
        (":-12\r\n", Frame::Integer(-12)),
        (":+12\r\n", Frame::Integer(12)),
        ("$5\r\na\r\nbc\r\n", bulk("a\r\nbc")),
        ("$0\r\n\r\n", bulk("")),
        ("$-1\r\n", Frame::Null),
        ("*-1\r\n", Frame::Null),
        ("_\r\n", Frame::Null),
        ("#t\r\n", Frame::Boolean(true)),
        ("#f\r\n", Frame::Boolean(false)),
        (",1.5\r\n", Frame::Double(1.5)),
        (",10\r\n", Frame::Double(10.0)),
        (",-1e3\r\n", Frame::Double(-1000.0)),
        (",inf\r\n", Frame::Double(f64::INFINITY)),
        (",-inf\r\n", Frame::Double(f64::NEG_INFINITY)),
        ("(3492890328409238509324850943850943825024385\r\n", Frame::BigNumber(big.into())),
        ("=8\r\ntxt:text\r\n", Frame::Verbatim { format: *b"txt", text: "text".into() }),
        ("*0\r\n", Frame::Array(vec![])),
        ("*2\r\n$1\r\na\r\n:1\r\n", Frame::Array(vec![bulk("a"), Frame::Integer(1)])),
        ("~1\r\n+a\r\n", Frame::Set(vec![simple("a")])),
        ("%1\r\n+a\r\n:1\r\n", Frame::Map(vec![(simple("a"), Frame::Integer(1))])),
        (">1\r\n+message\r\n", Frame::Push(vec![simple("message")])),
        ("$?\r\n;3\r\nabc\r\n;2\r\nde\r\n;0\r\n", bulk("abcde")),
        ("$?\r\n;0\r\n", bulk("")),
        ("*?\r\n:1\r\n:2\r\n.\r\n", Frame::Array(vec![Frame::Integer(1), Frame::Integer(2)])),
        ("~?\r\n.\r\n", Frame::Set(vec![])),
        ("%?\r\n+a\r\n:1\r\n.\r\n", Frame::Map(vec![(simple("a"), Frame::Integer(1))])),
    ] {
        assert_eq!(decode(wire.as_bytes()), Ok(vec![frame]), "{wire:?}");
    }
    assert!(matches!(decode(b",nan\r\n").unwrap()[..], [Frame::Double(number)] if number.is_nan()));
}

#[test]
fn attributes_belong_to_the_next_frame_at_any_depth() {
    let attributes = || vec![(simple("ttl"), Frame::Integer(3))];
    let attributed = |frame| Frame::Attributed { attributes: attributes(), frame: Box::new(frame) };
    assert_eq!(decode(b"|1\r\n+ttl\r\n:3\r\n+a\r\n+b\r\n").unwrap(), [attributed(simple("a")), simple("b")]);
    let inner = decode(b"*2\r\n+a\r\n|1\r\n+ttl\r\n:3\r\n+b\r\n").unwrap();
    assert_eq!(inner, [Frame::Array(vec![simple("a"), attributed(simple("b"))])]);
    let push = decode(b"|1\r\n+ttl\r\n:3\r\n>1\r\n+x\r\n").unwrap();
    assert_eq!(push, [attributed(Frame::Push(vec![simple("x")]))]);
    assert!(push[0].is_push());
    assert_eq!(decode(b"*1\r\n|1\r\n+ttl\r\n:3\r\n"), Ok(vec![]));
}

#[test]
fn broken_protocol_is_named() {
    use DecodeError::*;
    for (wire, error) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], UnknownType(b'H')),
        (b"\r\n", UnknownType(b'\r')),
        (b"\n", UnknownType(b'\n')),
        (b":12x\r\n", BadNumber(b':')),
        (b":\r\n", BadNumber(b':')),
        (b":9223372036854775808\r\n", BadNumber(b':')),
        (b"$-2\r\n", BadNumber(b'$')),
        (b"$1 \r\n", BadNumber(b'$')),
        (b"*99999999999999999999\r\n", BadNumber(b'*')),
        (b"%-1\r\n", BadNumber(b'%')),
        (b">?\r\n", BadNumber(b'>')),
        (b"#x\r\n", BadNumber(b'#')),
        (b"_x\r\n", BadNumber(b'_')),
        (b",infinite\r\n", BadNumber(b',')),
        (b"(12a\r\n", BadNumber(b'(')),
        (b"(-\r\n", BadNumber(b'(')),
        (b"=3\r\ntxt\r\n", BadVerbatim),
        (b"+OK\n", MissingTerminator),
        (b"$1\r\nabc", MissingTerminator),
        (b"$1\r\na\rb", MissingTerminator),
        (b"*1000000000\r\n", TooManyElements),
        (b"%999999999999999999\r\n", TooManyElements),
        (b"$1000000000\r\n", TooLong),
        (b".\r\n", BrokenStream),
        (b"*1\r\n.\r\n", BrokenStream),
        (b";1\r\na\r\n", BrokenStream),
        (b"$?\r\n+a\r\n", BrokenStream),
        (b"%?\r\n+a\r\n.\r\n", OddMap),
        (b"*1\r\n>1\r\n+a\r\n", Misplaced),
        (b"*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", Misplaced),
    ] {
        assert_eq!(decode(wire), Err(error), "{:?}", wire.escape_ascii().to_string());
        let bytes = wire.chunks(1);
        assert_eq!(decode_chunks(bytes), Err(error), "{:?}", wire.escape_ascii().to_string());
    }
    let nested = b"*1\r\n".repeat(Limits::default().depth + 1);
    assert_eq!(decode(&nested), Err(TooDeep));
    assert_eq!(decode(&[&b"+"[..], &vec![b'a'; LINE_MAX]].concat()), Err(LineTooLong));
}

#[test]
fn limits_count_per_frame() {
    let decode = |limits, mut wire: &[u8]| -> Result<usize, DecodeError> {
        let mut decoder = Decoder::new(limits);
        let mut frames = 0;
        while decoder.decode(&mut wire)?.is_some() {
            frames += 1;
        }
        Ok(frames)
    };
    let few = Limits { elements: 4, ..Limits::default() };
    assert_eq!(decode(few, b"*2\r\n*1\r\n:1\r\n:2\r\n*1\r\n:1\r\n"), Ok(2));
    assert_eq!(decode(few, b"*2\r\n*2\r\n:1\r\n:2\r\n*1\r\n:1\r\n"), Err(DecodeError::TooManyElements));
    assert_eq!(decode(few, &b"|0\r\n".repeat(6)), Err(DecodeError::TooManyElements));
    let short = Limits { bytes: 4, ..Limits::default() };
    assert_eq!(decode(short, b"$4\r\nabcd\r\n$4\r\nabcd\r\n"), Ok(2));
    assert_eq!(decode(short, b"$5\r\nabcde\r\n"), Err(DecodeError::TooLong));
    assert_eq!(decode(short, b"*2\r\n$4\r\nabcd\r\n$1\r\na\r\n"), Err(DecodeError::TooLong));
    assert_eq!(decode(short, b"$?\r\n;3\r\nabc\r\n;2\r\nde\r\n"), Err(DecodeError::TooLong));
}

#[test]
fn large_value_is_read_into_the_memory_of_the_caller() {
    let value: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut wire = format!("*2\r\n${}\r\n", value.len()).into_bytes();
    wire.extend_from_slice(&value);
    wire.extend_from_slice(b"\r\n+after\r\n");
    let mut decoder = decoder();
    let (mut first, mut rest) = wire.split_at(100);
    assert_eq!(decoder.decode(&mut first), Ok(None));
    let mut direct = 0;
    let frame = loop {
        let mut chunk = match decoder.read_buffer() {
            Some(buffer) => {
                let count = buffer.len().min(rest.len()).min(100_000);
                buffer[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                direct += count;
                decoder.fill(count);
                &[][..]
            }
            None => std::mem::take(&mut rest),
        };
        if let Some(frame) = decoder.decode(&mut chunk).unwrap() {
            break frame;
        }
    };
    assert_eq!(frame, Frame::Array(vec![Frame::Bulk(value.into()), simple("after")]));
    assert!(direct > 2_900_000, "{direct}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_frames(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let frames = generate::frames(&mut random, 3);
        let mut wire = Vec::new();
        for frame in &frames {
            generate::write(&mut random, frame, &mut wire);
        }
        prop_assert_eq!(&decode(&wire).unwrap(), &frames);
        prop_assert_eq!(&decode_chunks(wire.chunks(1)).unwrap(), &frames);
        for cut in 0..wire.len() {
            let (head, tail) = wire.split_at(cut);
            prop_assert_eq!(&decode_chunks([head, tail]).unwrap(), &frames, "cut at {}", cut);
        }
    }

    #[test]
    fn random_bytes_decode_alike_however_they_are_cut(
        bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(),
            proptest::sample::select(&b"$*+-:%~>|#_,(!=;.?\r\n0123456789-"[..]),
        ], 0..64),
        chunk in 1usize..8,
    ) {
        prop_assert_eq!(decode(&bytes), decode_chunks(bytes.chunks(chunk)));
    }
}
