//! The decoder: the result does not depend on how the stream is split, and an announced length allocates nothing.

use super::script::{Script, pieces};
use super::wire;
use crate::proto::resp::{DecodeError, Decoder, Frame, Limits};

/// The result of one stream: its frames, the number of skipped pushes, and the error that ended it.
pub(super) struct Decoded {
    /// Each frame as bytes, because a NaN inside a frame is not equal to itself.
    wire: Vec<Vec<u8>>,
    pub(super) frames: Vec<Frame>,
    skipped: u64,
    error: Option<DecodeError>,
}

/// The first bytes choose the limits and the splits. The rest is the stream.
///
/// # Panics If the frames depend on the splits, or change when they are written and decoded again. If memory is
/// allocated for bytes that have not arrived.
pub fn decoder(data: &[u8]) {
    let mut script = Script::new(data);
    let limits = script.choice(&[
        Limits::default(),
        Limits { depth: 2, elements: 5, bytes: 64 },
        Limits { depth: 1024, ..Limits::default() },
    ]);
    let cuts = script.cuts();
    let stream = script.rest();
    let whole = decode(limits, [stream]);
    assert_same(&whole, &decode(limits, pieces(stream, &cuts)), &cuts);
    assert_same(&whole, &decode(limits, stream.chunks(1)), &[1]);

    let rewritten = decode(limits, [&whole.wire.concat()[..]]);
    assert_eq!(whole.wire, rewritten.wire, "frames survive a round trip");
    assert_eq!((rewritten.skipped, rewritten.error), (0, None));
}

/// Decodes piece by piece, as a driver does: bytes of a large payload go directly into the decoder's read buffer.
pub(super) fn decode<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(limits);
    let mut decoded = Decoded { wire: Vec::new(), frames: Vec::new(), skipped: 0, error: None };
    let mut given = 0;
    for mut piece in pieces {
        given += piece.len();
        loop {
            if let Some(space) = decoder.read_buffer() {
                assert!(space.len() <= SPACE_FIRST.max(given), "{} for {given} bytes", space.len());
                let count = space.len().min(piece.len());
                let (head, rest) = piece.split_at(count);
                space[..count].copy_from_slice(head);
                decoder.fill(count);
                piece = rest;
            }
            match decoder.decode(&mut piece) {
                Ok(Some(frame)) => {
                    let mut wire = Vec::new();
                    wire::write(&frame, &mut wire);
                    decoded.wire.push(wire);
                    decoded.frames.push(frame);
                }
                Ok(None) if piece.is_empty() => break,
                Ok(None) => {
                    assert!(
                        decoder.read_buffer().is_some(),
                        "the decoder stopped early and has no read buffer"
                    )
                }
                Err(error) => {
                    decoded.error = Some(error);
                    decoded.skipped += decoder.take_skipped();
                    return decoded;
                }
            }
        }
    }
    decoded.skipped += decoder.take_skipped();
    decoded
}

fn assert_same(whole: &Decoded, cut: &Decoded, cuts: &[usize]) {
    assert_eq!(whole.wire, cut.wire, "cut into {cuts:?}");
    assert_eq!((whole.skipped, whole.error), (cut.skipped, cut.error), "cut into {cuts:?}");
}

/// Most bytes that are reserved for a payload before any of it has arrived.
const SPACE_FIRST: usize = 1 << 20;
