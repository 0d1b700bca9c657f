//! [`Slot`]: the hash slot of a key, which decides on the node that has the key.

/// One of the 16384 hash slots of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The number of slots.
    pub(crate) const COUNT: u16 = 16384;

    /// The slot of a key. If the key has a hash tag, which is a part in braces that is not empty, only that part counts.
    #[inline]
    pub(crate) fn of(key: &[u8]) -> Slot {
        Slot(crc16(hashed(key)) % Slot::COUNT)
    }

    /// `None` if the number is too large.
    pub(crate) fn new(number: u16) -> Option<Slot> {
        (number < Slot::COUNT).then_some(Slot(number))
    }

    pub(crate) fn get(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a key that is hashed: what is between the first `{` and the first `}` behind it, unless that is nothing.
#[inline]
fn hashed(key: &[u8]) -> &[u8] {
    if has_brace(key) { tag(key).unwrap_or(key) } else { key }
}

#[inline(never)]
fn tag(key: &[u8]) -> Option<&[u8]> {
    let behind = key.get(memchr::memchr(b'{', key)? + 1..)?;
    behind.get(..memchr::memchr(b'}', behind)?).filter(|tag| !tag.is_empty())
}

/// Whether a key has a `{`. Most keys are short and have none, and a search that says where it is costs three times as much.
#[inline]
fn has_brace(key: &[u8]) -> bool {
    let Some(last) = key.last_chunk::<8>() else { return key.contains(&b'{') };
    let (chunks, _) = key.as_chunks::<8>();
    chunks.iter().chain([last]).any(|chunk| {
        let zero_if_brace = u64::from_le_bytes(*chunk) ^ u64::from_le_bytes([b'{'; 8]);
        // The high bit of the lowest byte that is zero is set, and none if there is no zero.
        zero_if_brace.wrapping_sub(u64::from_le_bytes([1; 8]))
            & !zero_if_brace
            & u64::from_le_bytes([0x80; 8])
            != 0
    })
}

/// CRC-16/XMODEM: the polynomial `0x1021`, from 0 on, not reflected. Four bytes at a time take half of the instructions.
#[expect(clippy::indexing_slicing, reason = "a byte is always within a table of 256")]
fn crc16(bytes: &[u8]) -> u16 {
    let (chunks, rest) = bytes.as_chunks::<4>();
    let crc = chunks.iter().fold(0_u16, |crc, [a, b, c, d]| {
        let [high, low] = crc.to_be_bytes();
        let [first, second] = [usize::from(high ^ a), usize::from(low ^ b)];
        CRC16[3][first] ^ CRC16[2][second] ^ CRC16[1][usize::from(*c)] ^ CRC16[0][usize::from(*d)]
    });
    rest.iter().fold(crc, |crc, byte| crc << 8 ^ CRC16[0][usize::from((crc >> 8) as u8 ^ byte)])
}

/// The checksum of each byte, with as many zero bytes behind it as the index says.
static CRC16: [[u16; 256]; 4] = tables();

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time, an index out of bounds is an error of the compiler"
)]
const fn tables() -> [[u16; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 32 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn checksum_of_many_bytes_is_that_of_single_bytes() {
        let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
        for length in 0..64 {
            let bytes = &bytes[length * 7..][..length];
            let bitwise = bytes.iter().fold(0_u16, |crc, byte| {
                (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                    if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
                })
            });
            assert_eq!(crc16(bytes), bitwise, "{length}");
        }
    }

    #[test]
    fn brace_is_found_at_every_place() {
        for length in 0..30 {
            for other in [b'x', b'z', b'|', b'}', 0, 0xfb, 0xff] {
                let mut key = vec![other; length];
                assert!(!has_brace(&key), "{key:?}");
                for at in 0..length {
                    key[at] = b'{';
                    assert!(has_brace(&key), "{key:?}");
                    key[at] = other;
                }
            }
        }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        for (key, slot) in [("foo", 12182), ("bar", 5061), ("hello", 866), ("", 0), ("123456789", 12739)] {
            assert_eq!(Slot::of(key.as_bytes()).get(), slot, "{key}");
        }
    }

    #[test]
    fn only_the_first_hash_tag_counts_unless_it_is_empty() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo}{bar", "foo}{bar"),
            ("}{a}", "a"),
            ("{", "{"),
            ("{}", "{}"),
        ] {
            assert_eq!(super::hashed(key.as_bytes()), hashed.as_bytes(), "{key}");
            assert_eq!(Slot::of(key.as_bytes()), Slot(crc16(hashed.as_bytes()) % Slot::COUNT), "{key}");
        }
    }

    #[test]
    fn numbers_beyond_the_last_slot_are_none() {
        assert_eq!(Slot::new(16383).map(Slot::get), Some(16383));
        assert_eq!(Slot::new(16384), None);
    }
}
