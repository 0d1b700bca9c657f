//! What an element says: the run, its source, its number among those of the source, and when it was due.

use std::fmt;

/// The content of an element, as text: `run:source:number:nanoseconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) run: u32,
    pub(super) source: usize,
    /// Counts from 0; for publishers, on each channel.
    pub(super) number: u64,
    /// When it was due, in nanoseconds since the epoch of the run.
    pub(super) at: u64,
}

impl Stamp {
    /// `None` if the text is no stamp of this run.
    pub(super) fn parse(text: &[u8], run: u32) -> Option<Stamp> {
        let mut parts = std::str::from_utf8(text).ok()?.split(':');
        let stamp = Stamp {
            run: u32::from_str_radix(parts.next()?, 16).ok()?,
            source: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && stamp.run == run).then_some(stamp)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp { run, source, number, at } = self;
        write!(f, "{run:08x}:{source}:{number}:{at}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_in_its_run_only() {
        let stamp = Stamp { run: 0xab, source: 3, number: 70, at: 123_456 };
        let text = stamp.to_string();
        assert_eq!(Stamp::parse(text.as_bytes(), 0xab), Some(stamp));
        assert_eq!(Stamp::parse(text.as_bytes(), 0xac), None);
        for other in ["", "000000ab:3:70", "000000ab:3:70:1:2", "000000ab:x:70:1", "\u{e9}"] {
            assert_eq!(Stamp::parse(other.as_bytes(), 0xab), None, "{other}");
        }
    }
}
