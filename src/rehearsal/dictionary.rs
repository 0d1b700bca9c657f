//! A hash table that shows its elements in one deterministic order: that of their slots.
//!
//! An element stays in its slot until it is removed, also when the table grows. That makes a slot
//! number a cursor for `SCAN`: an element that was there all along is seen exactly once. The hash
//! has no random seed, so the same commands give the same replies; nothing here defends against
//! keys chosen to collide.

use slab::Slab;

/// The end of a chain; also why a table holds fewer than 2³² elements.
const NIL: u32 = u32::MAX;
const BUCKETS_MIN: usize = 8;

/// Byte-string keys to values.
#[derive(Debug)]
pub(crate) struct Dictionary<V> {
    /// First slot of each chain. The length is a power of two, or zero before the first insertion.
    heads: Vec<u32>,
    slots: Slab<Slot<V>>,
}

#[derive(Debug)]
struct Slot<V> {
    key: Box<[u8]>,
    value: V,
    hash: u32,
    next: u32,
}

impl<V> Default for Dictionary<V> {
    fn default() -> Self {
        Self { heads: Vec::new(), slots: Slab::new() }
    }
}

impl<V> Dictionary<V> {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        Some(&self.slots.get(self.find(key, hash(key))?)?.value)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        let slot = self.find(key, hash(key))?;
        Some(&mut self.slots.get_mut(slot)?.value)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.find(key, hash(key)).is_some()
    }

    /// The value of `key`, made by `make` if there is none; and whether it was made.
    pub(crate) fn get_or_insert_with(&mut self, key: &[u8], make: impl FnOnce() -> V) -> (&mut V, bool) {
        let hash = hash(key);
        let found = self.find(key, hash);
        let slot = match found {
            Some(slot) => slot,
            None => self.insert_new(key, hash, make()),
        };
        (&mut self.slots[slot].value, found.is_none())
    }

    /// Sets `key`, and returns whether it is new.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> bool {
        let hash = hash(key);
        match self.find(key, hash).and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) => {
                slot.value = value;
                false
            }
            None => {
                self.insert_new(key, hash, value);
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<V> {
        let hash = hash(key);
        let slot = self.find(key, hash)?;
        let next = self.slots.get(slot)?.next;
        let bucket = self.bucket(hash);
        let mut at = self.heads[bucket];
        if at as usize == slot {
            self.heads[bucket] = next;
        } else {
            while let Some(previous) = self.slots.get_mut(at as usize) {
                if previous.next as usize == slot {
                    previous.next = next;
                    break;
                }
                at = previous.next;
            }
        }
        Some(self.slots.remove(slot).value)
    }

    /// All elements in the order of their slots: of insertion, as long as nothing was removed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.slots.iter().map(|(_, slot)| (&*slot.key, &slot.value))
    }

    /// The elements of at most `count` slots from `cursor` on, and the cursor to go on with: zero
    /// at the end.
    pub(crate) fn scan_elements(
        &self,
        cursor: u64,
        count: usize,
    ) -> (impl Iterator<Item = (&[u8], &V)>, u64) {
        let end = self.slots.capacity() as u64;
        let stop = cursor.saturating_add(count as u64).min(end);
        let elements = (cursor..stop)
            .filter_map(|slot| self.slots.get(slot as usize))
            .map(|slot| (&*slot.key, &slot.value));
        (elements, if stop < end { stop } else { 0 })
    }

    /// Some element, chosen by `random` (any number).
    pub(crate) fn pick(&self, random: u64) -> Option<(&[u8], &V)> {
        let end = self.slots.capacity();
        let start = usize::try_from(random % (end as u64).max(1)).unwrap_or(0);
        let slot = (start..end).chain(0..start).find_map(|slot| self.slots.get(slot))?;
        Some((&slot.key, &slot.value))
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.heads.len() - 1)
    }

    #[inline]
    fn find(&self, key: &[u8], hash: u32) -> Option<usize> {
        if self.heads.is_empty() {
            return None;
        }
        let mut at = self.heads[self.bucket(hash)];
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.hash == hash && *slot.key == *key {
                return Some(at as usize);
            }
            at = slot.next;
        }
        None
    }

    fn insert_new(&mut self, key: &[u8], hash: u32, value: V) -> usize {
        if self.slots.len() >= self.heads.len() {
            self.grow();
        }
        let bucket = self.bucket(hash);
        let next = self.heads[bucket];
        let slot = self.slots.insert(Slot { key: key.into(), value, hash, next });
        self.heads[bucket] = slot as u32;
        slot
    }

    fn grow(&mut self) {
        let buckets = (self.heads.len() * 2).max(BUCKETS_MIN);
        self.heads.clear();
        self.heads.resize(buckets, NIL);
        for (index, slot) in &mut self.slots {
            let bucket = slot.hash as usize & (buckets - 1);
            slot.next = self.heads[bucket];
            self.heads[bucket] = index as u32;
        }
    }
}

/// Multiplies eight bytes at a time into the state (the idea of FxHash), then takes the high half,
/// which every input bit has reached.
#[inline]
fn hash(key: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(26) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    state = (state.rotate_left(26) ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    ((state ^ (state >> 29)).wrapping_mul(FACTOR) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
    }

    #[test]
    fn a_scan_sees_what_stays_exactly_once_while_the_table_grows() {
        let mut dictionary = Dictionary::default();
        for key in 0..100u32 {
            dictionary.insert(&key.to_le_bytes(), key);
        }
        let (mut cursor, mut seen, mut turn) = (0, BTreeMap::new(), 100);
        loop {
            let (elements, next) = dictionary.scan_elements(cursor, 7);
            elements.for_each(|(_, &value)| *seen.entry(value).or_insert(0) += 1);
            cursor = next;
            for _ in 0..10 {
                dictionary.insert(&u32::to_le_bytes(turn), turn);
                turn += 1;
            }
            if cursor == 0 || turn > 1_000 {
                break;
            }
        }
        assert!((0..100).all(|key| seen[&key] == 1));
    }

    #[test]
    fn picks_only_what_is_there() {
        let mut dictionary = Dictionary::default();
        assert!(dictionary.pick(3).is_none());
        dictionary.insert(b"a", 1);
        dictionary.insert(b"b", 2);
        dictionary.remove(b"a");
        assert!((0..9).all(|random| dictionary.pick(random) == Some((&b"b"[..], &2))));
    }
}
