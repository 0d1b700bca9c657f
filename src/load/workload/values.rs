//! The values that a run writes: plain filler, or signed values that a check can verify.
//!
//! A checked run (`--verify`) writes *signed* values. A signed value is a pure function of the run, the key and the
//! version, and begins with all three. So a check can compute the only correct bytes for any reply.

use super::keys::{self, DIGITS};

/// The sizes of the values in bytes: uniformly distributed between `min` and `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSize {
    /// The smallest value.
    pub min: usize,
    /// The largest value; not below `min`.
    pub max: usize,
}

/// The form of the values: their sizes, and the share that a compressor can remove.
///
/// A compressible value consists of random bytes, followed by one repeated byte for the compressible share. A
/// compressor of single values, such as gzip, LZ4 or LZF, reduces it to the random part and a few bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ValueForm {
    pub(crate) size: ValueSize,
    /// From 0 to 1; `None`: text without a defined compressibility.
    pub(crate) compressible: Option<f64>,
}

impl ValueForm {
    /// The number of random bytes in a value of this length; `None` for text.
    fn random(self, length: usize) -> Option<usize> {
        // Rounded from a number between 0 and the length, so it fits.
        Some(length - ((length as f64 * self.compressible?).round() as usize).min(length))
    }
}

/// Unsigned values: prefixes of a text that is generated once, or new random bytes if they must be compressible.
#[derive(Debug, Clone)]
pub(crate) struct Filler {
    text: Vec<u8>,
    form: ValueForm,
}

impl Filler {
    pub(crate) fn new(form: ValueForm, seed: u64) -> Filler {
        let mut rng = fastrand::Rng::with_seed(seed);
        let length = if form.compressible.is_some() { 0 } else { form.size.max };
        let text = (0..length).map(|_| rng.alphanumeric() as u8).collect();
        Filler { text, form }
    }

    /// The next value; `buffer` is the buffer for values that are not part of the text.
    pub(crate) fn next<'a>(&'a self, rng: &mut fastrand::Rng, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let size = self.form.size;
        let length = if size.min == size.max { size.max } else { rng.usize(size.min..=size.max) };
        let Some(random) = self.form.random(length) else {
            return self.text.get(..length).unwrap_or(&self.text);
        };
        // The buffer keeps its length: for values of one size only the random part is written again.
        buffer.resize(length, REPEATED);
        let (hard, easy) = buffer.split_at_mut(random);
        rng.fill(hard);
        easy.fill(REPEATED);
        buffer
    }
}

/// The identity of a signed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) key: u64,
    pub(crate) version: u32,
    pub(crate) run: u32,
}

impl Signature {
    /// Writes the value of this signature into `out`, and replaces its content.
    pub(crate) fn write(self, form: ValueForm, out: &mut Vec<u8>) {
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
            state = splitmix64(state);
            out.extend_from_slice(&(state & mask | letters).to_le_bytes());
        }
        out.truncate(random);
        out.resize(length, REPEATED);
    }

    /// Reads the signature at the beginning of `value`; `None` if there is none.
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
        splitmix64(self.key ^ splitmix64(u64::from(self.version) << 32 | u64::from(self.run)))
    }
}

/// SplitMix64: every input bit affects the whole output.
pub(crate) fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn push_hex(out: &mut Vec<u8>, number: u32) {
    for shift in (0..HEX as u32).rev() {
        // The mask leaves 4 bits, so the conversion is exact.
        let nibble = (number >> (shift * 4) & 0xf) as u8;
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

/// The largest value that a Redis server accepts.
pub(crate) const VALUE_SIZE_MAX: usize = 512 * 1024 * 1024;
/// The smallest value that has buffer for the signature of a checked run.
pub(crate) const SIGNED_SIZE_MIN: usize = DIGITS + 1 + HEX + 1 + HEX + 1;
const HEX: usize = 8;

/// The repeated byte of the compressible share.
const REPEATED: u8 = b'0';
const NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// Every byte of signed text is `0x60 | nibble`: printable, mostly letters.
const ALPHABET: u64 = 0x6060_6060_6060_6060;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(min: usize, max: usize) -> ValueForm {
        ValueForm { size: ValueSize { min, max }, compressible: None }
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
    fn unsigned_values_have_no_signature() {
        for text in [&b""[..], b"OK", b"000000000001.00000001.0000000g:", &[0xff; 40]] {
            assert_eq!(Signature::read(text), None);
        }
    }

    #[test]
    fn filler_has_the_sizes_asked_for() {
        let mut rng = fastrand::Rng::with_seed(1);
        for compressible in [None, Some(0.0), Some(0.7), Some(1.0)] {
            let filler = |min, max| Filler::new(ValueForm { compressible, ..text(min, max) }, 1);
            let (small, empty, mut buffer) = (filler(3, 9), filler(0, 0), Vec::new());
            let lengths: std::collections::BTreeSet<_> =
                (0..500).map(|_| small.next(&mut rng, &mut buffer).len()).collect();
            assert_eq!(lengths, (3..=9).collect());
            assert_eq!(empty.next(&mut rng, &mut buffer), b"");
        }
    }

    /// The length of the repeated bytes at the end of a value.
    fn easy(value: &[u8]) -> usize {
        value.iter().rev().take_while(|byte| **byte == REPEATED).count()
    }

    /// Checks the length of the repeated part: a compressor encodes it in a few bytes, and cannot reduce the random
    /// part.
    fn assert_compresses_by(value: &[u8], share: f64) {
        let expected = (value.len() as f64 * share).round() as usize;
        // The last random bytes may happen to equal the repeated byte.
        assert!((expected..=expected + 3).contains(&easy(value)), "{} of {}", easy(value), value.len());
    }

    #[test]
    fn values_compress_by_exactly_the_share() {
        use crate::load::workload::goodness_of_fit::{chi_square, chi_square_limit};
        let mut rng = fastrand::Rng::with_seed(4);
        for share in [0.0, 0.25, 0.5, 0.9, 1.0] {
            let filler = Filler::new(ValueForm { compressible: Some(share), ..text(100, 3000) }, 1);
            let (mut buffer, mut hard) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                let value = filler.next(&mut rng, &mut buffer);
                assert_compresses_by(value, share);
                hard.extend_from_slice(&value[..value.len() - (value.len() as f64 * share).round() as usize]);
            }
            if hard.is_empty() {
                continue;
            }
            // Every byte value is equally likely, also after a given byte, so a compressor finds no redundancy.
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
    fn signed_values_compress_except_for_the_signature() {
        let signature = Signature { key: 7, version: 3, run: 9 };
        let mut value = Vec::new();
        for (share, left) in [(0.5, 500), (0.99, SIGNED_SIZE_MIN), (0.0, 1000)] {
            signature.write(ValueForm { compressible: Some(share), ..text(1000, 1000) }, &mut value);
            assert_eq!((value.len(), Signature::read(&value)), (1000, Some(signature)));
            assert!((1000 - left..=1000 - left + 3).contains(&easy(&value)), "{share}: {}", easy(&value));
        }
    }
}
