//! Lists of hash slots, as clusters announce them: `1,7-9`.

use std::ops::RangeInclusive;

/// Adds the slots of a list to `ranges`, in their order, and returns how many of its items could not be read.
///
/// An item is a number of at most 16383, or two with a `-` between, the greater one last; spaces around items and
/// numbers do not matter. A list without text has no items.
pub(crate) fn read(list: &[u8], ranges: &mut Vec<RangeInclusive<u16>>) -> u32 {
    let list = list.trim_ascii();
    if list.is_empty() {
        return 0;
    }
    let mut bad_items = 0u32;
    for text in list.split(|byte| *byte == b',') {
        match item(text) {
            Some(range) if ranges.len() < RANGES_MAX => ranges.push(range),
            _ => bad_items = bad_items.saturating_add(1),
        }
    }
    bad_items
}

fn item(text: &[u8]) -> Option<RangeInclusive<u16>> {
    match text.iter().position(|byte| *byte == b'-') {
        None => slot(text).map(|slot| slot..=slot),
        Some(dash) => {
            let (first, last) = (slot(text.get(..dash)?)?, slot(text.get(dash + 1..)?)?);
            (first <= last).then_some(first..=last)
        }
    }
}

fn slot(digits: &[u8]) -> Option<u16> {
    let digits = digits.trim_ascii();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let slot = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (slot <= SLOT_MAX).then_some(slot)
}

const SLOT_MAX: u16 = 16383;
/// One range for each slot: no list needs more.
const RANGES_MAX: usize = 16384;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(list: &str) -> (Vec<RangeInclusive<u16>>, u32) {
        let mut ranges = Vec::new();
        let bad_items = read(list.as_bytes(), &mut ranges);
        (ranges, bad_items)
    }

    #[test]
    fn px_slot_grammar() {
        assert_eq!(read_all("1,5-3,99999, 7-9,x"), (vec![1..=1, 7..=9], 3));
        assert_eq!(read_all("8892-8991"), (vec![8892..=8991], 0));
        assert_eq!(read_all("9,1-2,9"), (vec![9..=9, 1..=2, 9..=9], 0), "the order is as sent");
        assert_eq!(read_all(" 0 - 16383 "), (vec![0..=16383], 0));
        assert_eq!(read_all("16383,16384,65536,0-16384"), (vec![16383..=16383], 3));
        for nothing in ["", "  "] {
            assert_eq!(read_all(nothing), (vec![], 0));
        }
        for bad in ["-", "1-", "-1", "1-2-3", "+1", "0x1", "1 2", "\u{661}", "?"] {
            assert_eq!(read_all(bad), (vec![], 1), "{bad}");
        }
        assert_eq!(read_all(",1,"), (vec![1..=1], 2));
    }

    #[test]
    fn list_adds_to_another_up_to_a_bound() {
        let mut ranges = vec![5..=5];
        assert_eq!(read(b"6,7", &mut ranges), 0);
        assert_eq!(ranges, [5..=5, 6..=6, 7..=7]);
        let (ranges, bad_items) = read_all(&"1,".repeat(RANGES_MAX + 10));
        assert_eq!((ranges.len(), bad_items), (RANGES_MAX, 11));
    }
}
