//! A hash table that adds to `indexmap`: cursors for `SCAN`, random choices, and shrinking.
//!
//! The order of elements is deterministic and the hash has no random seed, so the same commands give the same replies.
//! Nothing here protects against keys that are chosen to collide.

use indexmap::IndexMap;
use indexmap::map::RawEntryApiV1;
use indexmap::map::raw_entry_v1::RawEntryMut;
use rustc_hash::FxBuildHasher;

/// A map from byte strings to values.
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

    /// The value of `key`, created by `make` if `key` is new.
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
        self.shrink();
        removed
    }

    /// All elements, in the order of insertion until the first removal.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// At most `count` elements from `cursor` on, and the next cursor, which is zero at the end.
    ///
    /// A cursor is the number of elements, counted from the first, that the scan has not visited yet. So a scan walks
    /// from the last element to the first. A removal moves the last element into the place of the removed one, which is
    /// always towards the front. So an element can move from the visited part to the other part, and is then returned
    /// twice. It can never leave the part that is still to be visited.
    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (impl Iterator<Item = (&[u8], &V)>, u64) {
        // A scan starts with cursor zero.
        let end = match usize::try_from(cursor) {
            Ok(0) | Err(_) => self.len(),
            Ok(cursor) => cursor.min(self.len()),
        };
        let start = end.saturating_sub(count);
        let elements = self.0.get_range(start..end).into_iter().flatten();
        (elements.map(|(key, value)| (&**key, value)), start as u64)
    }

    /// A random element.
    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> Option<(&[u8], &V)> {
        let (key, value) = random.choice(self.0.iter())?;
        Some((key, value))
    }

    /// Removes and returns a random element.
    pub(crate) fn take(&mut self, random: &mut fastrand::Rng) -> Option<(Box<[u8]>, V)> {
        let index = random.choice(0..self.len())?;
        let taken = self.0.swap_remove_index(index);
        self.shrink();
        taken
    }

    /// Frees memory after many removals.
    fn shrink(&mut self) {
        let (len, capacity) = (self.0.len(), self.0.capacity());
        if capacity > CAPACITY_KEPT && capacity / CAPACITY_EXCESS >= len {
            self.0.shrink_to(2 * len);
        }
    }
}

/// Capacity that an empty table keeps.
const CAPACITY_KEPT: usize = 64;
/// The table shrinks to twice its elements when its capacity is this many times its elements.
const CAPACITY_EXCESS: usize = 8;

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

        /// Each of `turns` removes and adds a number of elements between two calls of a scan.
        #[test]
        fn a_scan_visits_every_element_that_stays(
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
    fn a_scan_without_removals_visits_each_element_once() {
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
    fn random_choices_are_existing_elements() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut dictionary = numbers(0..2);
        dictionary.remove(&0u32.to_le_bytes());
        assert_eq!(dictionary.pick(&mut random).map(|(_, number)| *number), Some(1));
        assert_eq!(dictionary.take(&mut random).map(|(_, number)| number), Some(1));
        assert!(dictionary.pick(&mut random).is_none() && dictionary.take(&mut random).is_none());
    }

    #[test]
    fn an_emptied_table_frees_its_memory() {
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
