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
    let tag = || {
        let behind = key.get(memchr::memchr(b'{', key)? + 1..)?;
        behind.get(..memchr::memchr(b'}', behind)?)
    };
    tag().filter(|tag| !tag.is_empty()).unwrap_or(key)
}

/// CRC-16/XMODEM: the polynomial `0x1021`, from 0 on, not reflected.
#[expect(clippy::indexing_slicing, reason = "a byte is always within a table of 256")]
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        let [first, second] = CRC16[usize::from(high ^ byte)].to_be_bytes();
        u16::from_be_bytes([first ^ low, second])
    })
}

/// What each byte, shifted out of the register, adds to it.
static CRC16: [u16; 256] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time, an index out of bounds is an error of the compiler"
)]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
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
