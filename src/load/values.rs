//! The values that a run writes: plain filler, or text that says which write it came from.
//!
//! A checked run (`--verify`) writes *signed* values: a value is a pure function of the run, the
//! key and the version, and carries all three in front, so that any reply can be held against
//! the only bytes that could be right.

use super::keys::{self, DIGITS};

/// How large the values are, in bytes: each one between `min` and `max`, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSize {
    /// The smallest value.
    pub min: usize,
    /// The largest value; not below `min`.
    pub max: usize,
}

/// The largest value that a Redis server takes.
pub const VALUE_SIZE_MAX: usize = 512 * 1024 * 1024;

/// The smallest value that has room for the signature of a checked run.
pub const SIGNED_SIZE_MIN: usize = DIGITS + 1 + HEX + 1 + HEX + 1;

const HEX: usize = 8;

/// What values look like: their sizes, and how much of each a compressor finds to leave out.
///
/// A value that can be compressed is bytes that cannot be guessed, and then one byte over and over for the share that
/// is to be compressed away: whoever compresses single values, with gzip, LZ4, LZF or anything else, is left with the
/// rest and a few bytes more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Form {
    pub(crate) size: ValueSize,
    /// From 0 to 1; `None`: text, of which nothing was asked.
    pub(crate) compressible: Option<f64>,
}

impl Form {
    /// How many bytes of a value of this length cannot be guessed, if that matters.
    fn random(self, length: usize) -> Option<usize> {
        // Rounded from a number between 0 and the length, so it fits.
        Some(length - ((length as f64 * self.compressible?).round() as usize).min(length))
    }
}

/// What the compressible share of a value consists of.
const EASY: u8 = b'0';

/// Unsigned values: prefixes of text that is made once, or bytes made anew if they are to be compressible.
#[derive(Debug, Clone)]
pub(crate) struct Filler {
    text: Vec<u8>,
    form: Form,
}

impl Filler {
    pub(crate) fn new(form: Form, seed: u64) -> Filler {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = if form.compressible.is_some() { 0 } else { form.size.max };
        let text = (0..length).map(|_| rng.alphanumeric() as u8).collect();
        Filler { text, form }
    }

    /// The next value; `room` is where it is made if it is not there yet.
    pub(crate) fn next<'a>(&'a self, rng: &mut fastrand::Rng, room: &'a mut Vec<u8>) -> &'a [u8] {
        let size = self.form.size;
        let length = if size.min == size.max { size.max } else { rng.usize(size.min..=size.max) };
        let Some(random) = self.form.random(length) else {
            return self.text.get(..length).unwrap_or(&self.text);
        };
        // Kept at its length, so that only what is random is written anew for values of one size.
        room.resize(length, EASY);
        let (hard, easy) = room.split_at_mut(random);
        rng.fill(hard);
        easy.fill(EASY);
        room
    }
}

/// Who wrote a signed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key: u64,
    pub(crate) version: u32,
    pub(crate) run: u32,
}

impl Signature {
    /// Writes the one value that has this signature into `out`, in place of what was there.
    pub(crate) fn write(self, form: Form, out: &mut Vec<u8>) {
        let size = form.size;
        let mut state = self.hash();
        let spread = (size.max - size.min + 1) as u64;
        let length = size.min + (state % spread) as usize;
        out.clear();
        out.resize(DIGITS, b'0');
        keys::write_digits(out, self.key);
        out.push(b'.');
        push_hex(out, self.version);
        out.push(b'.');
        push_hex(out, self.run);
        out.push(b':');
        let (random, mask, letters) = match form.random(length) {
            Some(random) => (random.max(SIGNED_SIZE_MIN), u64::MAX, 0),
            None => (length, NIBBLES, ALPHABET),
        };
        while out.len() < random {
            state = mix(state);
            out.extend_from_slice(&(state & mask | letters).to_le_bytes());
        }
        out.truncate(random);
        out.resize(length, EASY);
    }

    /// Reads the signature in front of `value`; `None` if there is none.
    pub(crate) fn read(value: &[u8]) -> Option<Signature> {
        let header = std::str::from_utf8(value.get(..SIGNED_SIZE_MIN)?).ok()?;
        let (key, rest) = header.strip_suffix(':')?.split_once('.')?;
        let (version, run) = rest.split_once('.')?;
        if key.len() != DIGITS || version.len() != HEX {
            return None;
        }
        Some(Signature {
            key: key.parse().ok()?,
            version: u32::from_str_radix(version, 16).ok()?,
            run: u32::from_str_radix(run, 16).ok()?,
        })
    }

    fn hash(self) -> u64 {
        mix(self.key ^ mix(u64::from(self.version) << 32 | u64::from(self.run)))
    }
}

const NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
/// Every byte of signed text is `0x60 | nibble`: printable, mostly letters.
const ALPHABET: u64 = 0x6060_6060_6060_6060;

/// SplitMix64: spreads every bit of the input over the whole output.
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn push_hex(out: &mut Vec<u8>, number: u32) {
    for shift in (0..HEX as u32).rev() {
        // The mask leaves 4 bits, so nothing is cut off.
        let nibble = (number >> (shift * 4) & 0xf) as u8;
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(min: usize, max: usize) -> Form {
        Form { size: ValueSize { min, max }, compressible: None }
    }

    #[test]
    fn a_signed_value_is_a_function_of_its_signature() {
        let size = ValueSize { min: SIGNED_SIZE_MIN, max: 200 };
        let form = text(size.min, size.max);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let mut lengths = std::collections::BTreeSet::new();
        for version in 0..500 {
            let signature = Signature { key: 123_456, version, run: 0xdead_beef };
            signature.write(form, &mut a);
            signature.write(form, &mut b);
            assert_eq!(a, b);
            assert_eq!(Signature::read(&a), Some(signature));
            assert!((size.min..=size.max).contains(&a.len()));
            assert!(a.is_ascii());
            lengths.insert(a.len());
        }
        assert!(lengths.len() > 100, "{} lengths", lengths.len());
    }

    #[test]
    fn what_is_not_signed_has_no_signature() {
        for text in [&b""[..], b"OK", b"000000000001.00000001.0000000g:", &[0xff; 40]] {
            assert_eq!(Signature::read(text), None);
        }
    }

    #[test]
    fn filler_has_the_sizes_asked_for() {
        let mut rng = fastrand::Rng::with_seed(1);
        for compressible in [None, Some(0.0), Some(0.7), Some(1.0)] {
            let filler = |min, max| Filler::new(Form { compressible, ..text(min, max) }, 1);
            let (small, empty, mut room) = (filler(3, 9), filler(0, 0), Vec::new());
            let lengths: std::collections::BTreeSet<_> =
                (0..500).map(|_| small.next(&mut rng, &mut room).len()).collect();
            assert_eq!(lengths, (3..=9).collect());
            assert_eq!(empty.next(&mut rng, &mut room), b"");
        }
    }

    /// How long the run is that a value ends with.
    fn easy(value: &[u8]) -> usize {
        value.iter().rev().take_while(|byte| **byte == EASY).count()
    }

    /// What is left of a value when runs are written as one byte and a length: no compressor that deserves the name
    /// does worse on the run, and none does better on what cannot be guessed.
    fn assert_compresses_by(value: &[u8], share: f64) {
        let expected = (value.len() as f64 * share).round() as usize;
        // The last of the random bytes may happen to be like those of the run.
        assert!((expected..=expected + 3).contains(&easy(value)), "{} of {}", easy(value), value.len());
    }

    #[test]
    fn the_share_that_is_asked_for_can_be_compressed_away_and_no_more() {
        use crate::load::fit::{chi_square, chi_square_limit};
        let mut rng = fastrand::Rng::with_seed(4);
        for share in [0.0, 0.25, 0.5, 0.9, 1.0] {
            let filler = Filler::new(Form { compressible: Some(share), ..text(100, 3000) }, 1);
            let (mut room, mut hard) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                let value = filler.next(&mut rng, &mut room);
                assert_compresses_by(value, share);
                hard.extend_from_slice(&value[..value.len() - (value.len() as f64 * share).round() as usize]);
            }
            if hard.is_empty() {
                continue;
            }
            // Every byte is as likely as every other, also behind a given one: nothing is left to find.
            let even = [1.0 / 256.0; 256];
            let mut next = hard.iter();
            let misfit = chi_square(&even, hard.len() as u32, || usize::from(*next.next().expect("a byte")));
            assert!(misfit < chi_square_limit(255), "{share}: {misfit}");
            let mut pairs = hard.windows(2);
            let mut differ =
                || pairs.next().map(|pair| usize::from(pair[0].wrapping_sub(pair[1]))).expect("a pair");
            let misfit = chi_square(&even, hard.len() as u32 - 1, &mut differ);
            assert!(misfit < chi_square_limit(255), "{share}: {misfit}");
        }
    }

    #[test]
    fn signed_values_can_be_compressed_too_but_for_their_signature() {
        let signature = Signature { key: 7, version: 3, run: 9 };
        let mut value = Vec::new();
        for (share, left) in [(0.5, 500), (0.99, SIGNED_SIZE_MIN), (0.0, 1000)] {
            signature.write(Form { compressible: Some(share), ..text(1000, 1000) }, &mut value);
            assert_eq!((value.len(), Signature::read(&value)), (1000, Some(signature)));
            assert!((1000 - left..=1000 - left + 3).contains(&easy(&value)), "{share}: {}", easy(&value));
        }
    }
}
