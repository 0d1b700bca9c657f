//! Hash slots of keys, and ranges of slots.

/// The number of hash slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of `key`: that of the text between its first `{` and the next `}`, if there is any, else of the whole key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|&byte| byte == b'}').filter(|&close| close > 0)?;
        rest.get(..close)
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM. This server does not take it from the client, whose slots it has to check.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let first = crc ^ u16::from(byte) << 8;
        (0..8).fold(first, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// Slots as ranges, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotRanges(Vec<(u16, u16)>);

impl SlotRanges {
    /// Reads `7`, `0-99`, or several of these with commas between them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let slot = |text: &str| text.trim().parse().ok().filter(|&slot: &u16| slot < SLOTS);
        let range = |item: &str| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some((slot(first)?, slot(last)?)).filter(|(first, last)| first <= last)
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    pub(crate) fn single(slot: u16) -> Self {
        Self(vec![(slot, slot)])
    }

    pub(crate) fn all() -> Self {
        Self(vec![(0, SLOTS - 1)])
    }

    /// The slots for which `is_wanted` is true.
    pub(crate) fn filtered(is_wanted: impl Fn(u16) -> bool) -> Self {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in (0..SLOTS).filter(|&slot| is_wanted(slot)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        Self(ranges)
    }

    #[inline]
    pub(crate) fn contains(&self, slot: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&slot))
    }

    pub(crate) fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    pub(crate) fn count(&self) -> usize {
        self.slots().count()
    }
}

impl std::fmt::Display for SlotRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_equal_those_of_a_real_server() {
        for (key, slot) in [
            ("", 0),
            ("foo", 12_182),
            ("bar", 5_061),
            ("123456789", 12_739),
            ("{bar}1", 5_061),
            ("a{bar}{foo}", 5_061),
            ("{}bar", slot_of(b"{}bar")),
            ("x", 16_287),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_ne!(slot_of(b"{}bar"), slot_of(b"bar"), "an empty tag is no tag");
        assert_eq!(slot_of(b"{bar"), crc16(b"{bar") % SLOTS);
    }

    #[test]
    fn ranges_are_read_and_written() {
        for text in ["7", "0-99", "0-99,200,16383"] {
            assert_eq!(SlotRanges::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "x", "1-", "9-1", "16384", "1,,2", "-1"] {
            assert_eq!(SlotRanges::parse(text), None, "{text}");
        }
        let odd = SlotRanges::filtered(|slot| slot < 3 || slot == 9);
        assert_eq!((odd.to_string().as_str(), odd.count()), ("0-2,9", 4));
        assert!(odd.contains(9) && !odd.contains(3));
    }
}
