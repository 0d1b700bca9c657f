//! The decoder: however a stream is cut, it means the same, and no announcement is worth memory.

use super::script::{Script, pieces};
use super::wire;
use crate::proto::resp::{DecodeError, Decoder, Frame, Limits};

/// What a stream was: its frames, how many pushes were left out, and how it broke.
pub(super) struct Decoded {
    /// Each frame as it is written plainly: a number that is none would not be equal to itself.
    wire: Vec<Vec<u8>>,
    pub(super) frames: Vec<Frame>,
    skipped: u64,
    error: Option<DecodeError>,
}

/// The first bytes choose limits and cuts, the others are the stream.
///
/// # Panics
/// If what is decoded depends on the cuts, does not survive being written and read again, or takes memory for what
/// has not arrived.
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
    assert_eq!(whole.wire, rewritten.wire, "what was read is what is written");
    assert_eq!((rewritten.skipped, rewritten.error), (0, None));
}

/// Decodes piece by piece, as a driver does: what belongs to a large payload goes to where the decoder wants it.
pub(super) fn decode<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(limits);
    let mut decoded = Decoded { wire: Vec::new(), frames: Vec::new(), skipped: 0, error: None };
    let mut given = 0;
    for mut piece in pieces {
        given += piece.len();
        loop {
            if let Some(space) = decoder.space() {
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
                    assert!(decoder.space().is_some(), "it stopped before the end, and wants nothing")
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

/// How much may be reserved for a payload before any of it has arrived.
const SPACE_FIRST: usize = 1 << 20;
