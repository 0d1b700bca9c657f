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

/// Unsigned filler, made once; every value is a prefix of it.
#[derive(Debug, Clone)]
pub(crate) struct Filler {
    bytes: Vec<u8>,
    size: ValueSize,
}

impl Filler {
    pub(crate) fn new(size: ValueSize, seed: u64) -> Filler {
        let mut rng = fastrand::Rng::with_seed(seed);
        let bytes = (0..size.max).map(|_| rng.alphanumeric() as u8).collect();
        Filler { bytes, size }
    }

    pub(crate) fn next(&self, rng: &mut fastrand::Rng) -> &[u8] {
        let size = self.size;
        let length = if size.min == size.max { size.max } else { rng.usize(size.min..=size.max) };
        self.bytes.get(..length).unwrap_or(&self.bytes)
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
    pub(crate) fn write(self, size: ValueSize, out: &mut Vec<u8>) {
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
        while out.len() < length {
            state = mix(state);
            out.extend_from_slice(&(state & 0x0f0f_0f0f_0f0f_0f0f | ALPHABET).to_le_bytes());
        }
        out.truncate(length);
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

/// Every byte of filler is `0x60 | nibble`: printable, mostly letters.
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

    #[test]
    fn a_signed_value_is_a_function_of_its_signature() {
        let size = ValueSize { min: SIGNED_SIZE_MIN, max: 200 };
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let mut lengths = std::collections::BTreeSet::new();
        for version in 0..500 {
            let signature = Signature { key: 123_456, version, run: 0xdead_beef };
            signature.write(size, &mut a);
            signature.write(size, &mut b);
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
        let filler = Filler::new(ValueSize { min: 3, max: 9 }, 1);
        let mut rng = fastrand::Rng::with_seed(1);
        let lengths: std::collections::BTreeSet<_> = (0..500).map(|_| filler.next(&mut rng).len()).collect();
        assert_eq!(lengths, (3..=9).collect());
        let empty = Filler::new(ValueSize { min: 0, max: 0 }, 1);
        assert_eq!(empty.next(&mut rng), b"");
    }
}
