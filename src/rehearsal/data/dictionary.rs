//! What the server asks of a hash table beyond `indexmap`: cursors for `SCAN`, random choices, and
//! memory that is given back.
//!
//! Elements are shown in one deterministic order, and the hash has no random seed, so the same
//! commands give the same replies; nothing here defends against keys chosen to collide.

use indexmap::IndexMap;
use indexmap::map::RawEntryApiV1;
use indexmap::map::raw_entry_v1::RawEntryMut;
use rustc_hash::FxBuildHasher;

/// Capacity that is kept, however empty the table gets.
const CAPACITY_KEPT: usize = 64;
/// The table shrinks, to twice its elements, once it has room for this many times as many.
const CAPACITY_EXCESS: usize = 8;

/// Byte-string keys to values.
#[derive(Debug)]
pub(crate) struct Dictionary<V>(IndexMap<Box<[u8]>, V, FxBuildHasher>);

impl<V> Default for Dictionary<V> {
    fn default() -> Self {
        Self(IndexMap::default())
    }
}

impl<V> Dictionary<V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        self.0.get(key)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.0.contains_key(key)
    }

    /// The value of `key`, made by `make` if there is none.
    #[inline]
    pub(crate) fn get_or_insert_with(&mut self, key: &[u8], make: impl FnOnce() -> V) -> &mut V {
        self.0.raw_entry_mut_v1().from_key(key).or_insert_with(|| (key.into(), make())).1
    }

    /// Sets `key`, and returns whether it is new.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> bool {
        match self.0.raw_entry_mut_v1().from_key(key) {
            RawEntryMut::Occupied(mut entry) => {
                entry.insert(value);
                false
            }
            RawEntryMut::Vacant(entry) => {
                entry.insert(key.into(), value);
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let removed = self.0.swap_remove(key);
        self.give_memory_back();
        removed
    }

    /// All elements: in the order of insertion, as long as nothing was removed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// At most `count` elements from `cursor` on, and the cursor to go on with: zero at the end.
    ///
    /// A cursor is how many elements, from the first one, are still to be seen, so a scan walks
    /// from the last element to the first. Whatever changes between two calls, an element that
    /// stays only ever moves towards the front, into the place of one that was removed: from the
    /// part already seen it may come back to be seen twice, but out of the part still to be seen it
    /// cannot get.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (impl Iterator<Item = (&[u8], &V)>, u64) {
        // Zero is also where a scan starts.
        let end = match usize::try_from(cursor) {
            Ok(0) | Err(_) => self.len(),
            Ok(cursor) => cursor.min(self.len()),
        };
        let start = end.saturating_sub(count);
        let elements = self.0.get_range(start..end).into_iter().flatten();
        (elements.map(|(key, value)| (&**key, value)), start as u64)
    }

    /// Some element.
    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> Option<(&[u8], &V)> {
        let (key, value) = random.choice(self.0.iter())?;
        Some((key, value))
    }

    /// Some element, which is removed.
    pub(crate) fn take(&mut self, random: &mut fastrand::Rng) -> Option<(Box<[u8]>, V)> {
        let index = random.choice(0..self.len())?;
        let taken = self.0.swap_remove_index(index);
        self.give_memory_back();
        taken
    }

    fn give_memory_back(&mut self) {
        let (len, capacity) = (self.0.len(), self.0.capacity());
        if capacity > CAPACITY_KEPT && capacity / CAPACITY_EXCESS >= len {
            self.0.shrink_to(2 * len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn numbers(range: std::ops::Range<u32>) -> Dictionary<u32> {
        let mut dictionary = Dictionary::default();
        for number in range {
            assert!(dictionary.insert(&number.to_le_bytes(), number));
        }
        dictionary
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            steps in prop::collection::vec((any::<bool>(), 0u8..60, any::<u16>()), 0..300)
        ) {
            let mut dictionary = Dictionary::default();
            let mut model = BTreeMap::new();
            for (insert, key, value) in steps {
                let key = vec![key; usize::from(key) % 11];
                if insert {
                    let is_new = model.insert(key.clone(), value).is_none();
                    prop_assert_eq!(dictionary.insert(&key, value), is_new);
                } else {
                    prop_assert_eq!(dictionary.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(dictionary.len(), model.len());
            }
            let mut elements: Vec<_> = dictionary.iter().map(|(k, v)| (k.to_vec(), *v)).collect();
            elements.sort();
            prop_assert_eq!(elements, model.into_iter().collect::<Vec<_>>());
        }

        /// Between two calls of a scan, `turns` remove so many elements, chosen by the seed, and add
        /// so many.
        #[test]
        fn a_scan_misses_nothing_that_stays(
            count in 1usize..9,
            turns in prop::collection::vec((0usize..9, 0u32..9), 1..60),
            seed: u64,
        ) {
            const FIRST: u32 = 200;
            let mut random = fastrand::Rng::with_seed(seed);
            let mut dictionary = numbers(0..FIRST);
            let (mut cursor, mut seen, mut added) = (0, BTreeSet::new(), FIRST);
            for (removals, insertions) in turns.into_iter().cycle() {
                let (elements, next) = dictionary.scan(cursor, count);
                seen.extend(elements.map(|(_, number)| *number));
                cursor = next;
                if cursor == 0 {
                    break;
                }
                (0..removals).for_each(|_| drop(dictionary.take(&mut random)));
                for number in added..added + insertions {
                    dictionary.insert(&number.to_le_bytes(), number);
                }
                added += insertions;
            }
            let mut stayed = dictionary.iter().map(|(_, number)| *number).filter(|number| *number < FIRST);
            prop_assert!(stayed.all(|number| seen.contains(&number)));
        }
    }

    #[test]
    fn a_scan_sees_everything_once_while_nothing_is_removed() {
        let dictionary = numbers(0..100);
        let (mut cursor, mut seen) = (0, Vec::new());
        loop {
            let (elements, next) = dictionary.scan(cursor, 7);
            seen.extend(elements.map(|(_, number)| *number));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, Vec::from_iter(0..100));
        assert_eq!(dictionary.scan(u64::MAX, usize::MAX).0.count(), 100);
    }

    #[test]
    fn chooses_only_what_is_there() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut dictionary = numbers(0..2);
        dictionary.remove(&0u32.to_le_bytes());
        assert_eq!(dictionary.pick(&mut random).map(|(_, number)| *number), Some(1));
        assert_eq!(dictionary.take(&mut random).map(|(_, number)| number), Some(1));
        assert!(dictionary.pick(&mut random).is_none() && dictionary.take(&mut random).is_none());
    }

    #[test]
    fn an_emptied_table_gives_its_memory_back() {
        let mut dictionary = numbers(0..10_000);
        for number in 0..9_990u32 {
            dictionary.remove(&number.to_le_bytes());
        }
        assert!(dictionary.0.capacity() <= CAPACITY_KEPT * 2, "{}", dictionary.0.capacity());
        let mut left: Vec<u32> = dictionary.iter().map(|(_, number)| *number).collect();
        left.sort_unstable();
        assert_eq!(left, Vec::from_iter(9_990..10_000));
    }
}
