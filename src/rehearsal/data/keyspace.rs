//! The stored data: numbered databases of typed values, with expiry and with versions of watched keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;

use super::dictionary::Dictionary;
use super::waiting::WaitingSessions;
use crate::rehearsal::wire::reply::ErrorReply;

/// All databases of a server.
///
/// The owner calls [`Keyspace::advance`] before it executes commands of a new time. That removes all expired keys, so
/// no command has to check for expiry, and expired keys take no memory.
#[derive(Debug)]
pub(crate) struct Keyspace {
    databases: Vec<Database>,
}

impl Keyspace {
    /// Creates this many empty databases.
    pub(crate) fn new(databases: NonZeroUsize) -> Self {
        Self { databases: (0..databases.get()).map(|_| Database::default()).collect() }
    }

    /// Advances the time: removes the keys that expired before `now_ms`.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        for database in &mut self.databases {
            database.expire_until(now_ms);
        }
    }

    pub(crate) fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Database `index`, which `SELECT` has checked. An index out of range gives the first database.
    #[expect(clippy::indexing_slicing, reason = "a checked index, or 0: there is always one database")]
    pub(crate) fn database(&mut self, index: usize) -> &mut Database {
        let index = if index < self.databases.len() { index } else { 0 };
        &mut self.databases[index]
    }

    pub(crate) fn clear(&mut self) {
        self.databases.iter_mut().for_each(Database::clear);
    }

    /// Removes the next key that has become a list while sessions wait for it. Returns it with its database.
    pub(crate) fn take_ready(&mut self) -> Option<(usize, Box<[u8]>)> {
        let mut databases = self.databases.iter_mut().enumerate();
        databases.find_map(|(index, database)| Some((index, database.waiting.take_ready()?)))
    }
}

pub(crate) type List = VecDeque<Box<[u8]>>;
pub(crate) type Hash = Dictionary<Vec<u8>>;
pub(crate) type Set = Dictionary<()>;

/// The value of a key. Collections are never empty: a key is removed together with its last element.
#[derive(Debug)]
pub(crate) enum Value {
    Str(Vec<u8>),
    // Boxed, so that the record of a string is not as large as a collection's header.
    List(Box<List>),
    Hash(Box<Hash>),
    Set(Box<Set>),
}

impl Value {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Str(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
        }
    }

    fn is_empty_collection(&self) -> bool {
        match self {
            Self::Str(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }
}

/// One of the types that a [`Value`] can hold.
pub(crate) trait StoredType {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn empty() -> Value;
}

macro_rules! stored_type {
    ($type:ty, $variant:ident) => {
        impl StoredType for $type {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }

            fn empty() -> Value {
                Value::$variant(Default::default())
            }
        }
    };
}

stored_type!(Vec<u8>, Str);
stored_type!(List, List);
stored_type!(Hash, Hash);
stored_type!(Set, Set);

/// How long a key lives after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Forever,
    /// The lifetime of the key does not change.
    Keep,
    /// The key lives through this millisecond of Unix time.
    Until(u64),
}

#[derive(Debug)]
struct Record {
    value: Value,
    /// Unix time in milliseconds; zero means never.
    expires_ms: u64,
}

/// One numbered database.
#[derive(Debug, Default)]
pub(crate) struct Database {
    records: Dictionary<Record>,
    expiries: BTreeSet<(u64, Box<[u8]>)>,
    watched: BTreeMap<Box<[u8]>, Watched>,
    /// The sessions that wait for lists of this database.
    pub(crate) waiting: WaitingSessions,
}

#[derive(Debug, Default)]
struct Watched {
    watchers: usize,
    version: u64,
}

impl Database {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The number of keys with a time to live.
    pub(crate) fn expiring(&self) -> usize {
        self.expiries.len()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.records.contains(key)
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<&Value> {
        self.records.get(key).map(|record| &record.value)
    }

    /// The value of `key`. Fails if the value has another type than `T`.
    #[inline]
    pub(crate) fn get<T: StoredType>(&self, key: &[u8]) -> Result<Option<&T>, ErrorReply> {
        match self.records.get(key) {
            None => Ok(None),
            Some(record) => Ok(Some(T::of(&record.value).ok_or(WRONG_TYPE)?)),
        }
    }

    /// As [`Database::get`], for a change. The caller must call [`Database::changed`] after it.
    pub(crate) fn get_mut<T: StoredType>(&mut self, key: &[u8]) -> Result<Option<&mut T>, ErrorReply> {
        match self.records.get_mut(key) {
            None => Ok(None),
            Some(record) => Ok(Some(T::of_mut(&mut record.value).ok_or(WRONG_TYPE)?)),
        }
    }

    /// As [`Database::get_mut`], but creates an empty value if the key does not exist. The caller must add an element.
    pub(crate) fn get_or_create<T: StoredType>(&mut self, key: &[u8]) -> Result<&mut T, ErrorReply> {
        let record = self.records.get_or_insert_with(key, || Record { value: T::empty(), expires_ms: 0 });
        Ok(T::of_mut(&mut record.value).ok_or(WRONG_TYPE)?)
    }

    /// Sets `key` to a string and replaces a value of any type.
    #[inline]
    pub(crate) fn set_string(&mut self, key: &[u8], bytes: &[u8], lifetime: Lifetime) {
        let record = self.records.get_or_insert_with(key, || Record { value: Vec::empty(), expires_ms: 0 });
        match &mut record.value {
            // The memory of the former value is reused, unless it is more than twice the new value.
            Value::Str(former) if former.capacity() <= 2 * bytes.len() + 64 => {
                former.clear();
                former.extend_from_slice(bytes);
            }
            value => *value = Value::Str(bytes.to_vec()),
        }
        if lifetime != Lifetime::Keep && (record.expires_ms != 0 || lifetime != Lifetime::Forever) {
            self.set_lifetime(key, lifetime);
        }
        self.touch(key);
    }

    pub(crate) fn put(&mut self, key: &[u8], value: Value, lifetime: Lifetime) {
        let record = self.records.get_or_insert_with(key, || Record { value: Vec::empty(), expires_ms: 0 });
        record.value = value;
        self.set_lifetime(key, lifetime);
        self.touch(key);
    }

    /// Removes `key`. Returns its value and its lifetime.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<(Value, Lifetime)> {
        let record = self.records.remove(key)?;
        self.touch(key);
        match record.expires_ms {
            0 => Some((record.value, Lifetime::Forever)),
            expires_ms => {
                self.expiries.remove(&(expires_ms, key.into()));
                Some((record.value, Lifetime::Until(expires_ms)))
            }
        }
    }

    /// Must follow each change of a value in place: it invalidates watches, notes lists for the sessions that wait for
    /// them, and removes an empty collection.
    pub(crate) fn changed(&mut self, key: &[u8]) {
        if self.value(key).is_some_and(Value::is_empty_collection) {
            self.remove(key);
        } else {
            self.touch(key);
        }
    }

    /// The time at which an existing `key` expires in Unix milliseconds; zero means never.
    pub(crate) fn expires_ms(&self, key: &[u8]) -> u64 {
        self.records.get(key).map_or(0, |record| record.expires_ms)
    }

    /// Changes the lifetime and keeps the value.
    pub(crate) fn expire(&mut self, key: &[u8], lifetime: Lifetime) {
        self.set_lifetime(key, lifetime);
        self.touch(key);
    }

    pub(crate) fn clear(&mut self) {
        let existing: Vec<Box<[u8]>> =
            self.watched.keys().filter(|key| self.records.contains(key)).cloned().collect();
        self.records = Dictionary::default();
        self.expiries.clear();
        existing.iter().for_each(|key| self.touch(key));
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.records.iter().map(|(key, record)| (key, &record.value))
    }

    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (impl Iterator<Item = (&[u8], &Value)>, u64) {
        let (records, next) = self.records.scan(cursor, count);
        (records.map(|(key, record)| (key, &record.value)), next)
    }

    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> Option<&[u8]> {
        self.records.pick(random).map(|(key, _)| key)
    }

    /// Watches `key` and returns its version. One call of [`Database::unwatch`] must follow for each watch, or the key's
    /// version stays in memory.
    pub(crate) fn watch(&mut self, key: &[u8]) -> u64 {
        let watched = self.watched.entry(key.into()).or_default();
        watched.watchers += 1;
        watched.version
    }

    /// Ends one watch of `key` and returns its version.
    pub(crate) fn unwatch(&mut self, key: &[u8]) -> Option<u64> {
        let watched = self.watched.get_mut(key)?;
        let version = watched.version;
        watched.watchers -= 1;
        if watched.watchers == 0 {
            self.watched.remove(key);
        }
        Some(version)
    }

    fn touch(&mut self, key: &[u8]) {
        if !self.watched.is_empty()
            && let Some(watched) = self.watched.get_mut(key)
        {
            watched.version += 1;
        }
        if !self.waiting.is_empty() && matches!(self.value(key), Some(Value::List(_))) {
            self.waiting.note_list(key);
        }
    }

    fn set_lifetime(&mut self, key: &[u8], lifetime: Lifetime) {
        let Some(record) = self.records.get_mut(key) else {
            return;
        };
        let expires_ms = match lifetime {
            Lifetime::Keep => return,
            Lifetime::Forever => 0,
            Lifetime::Until(expires_ms) => expires_ms,
        };
        let former_ms = std::mem::replace(&mut record.expires_ms, expires_ms);
        if former_ms != 0 {
            self.expiries.remove(&(former_ms, key.into()));
        }
        if expires_ms != 0 {
            self.expiries.insert((expires_ms, key.into()));
        }
    }

    fn expire_until(&mut self, now_ms: u64) {
        while self.expiries.first().is_some_and(|(expires_ms, _)| *expires_ms < now_ms) {
            if let Some((_, key)) = self.expiries.pop_first() {
                self.records.remove(&key);
                self.touch(&key);
            }
        }
    }
}

/// The reply to a command for another type than the key holds.
const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_keys_are_removed_from_memory() {
        let mut keyspace = Keyspace::new(NonZeroUsize::MIN.saturating_add(1));
        keyspace.database(1).set_string(b"k", b"v", Lifetime::Until(10));
        keyspace.advance(10);
        assert!(keyspace.database(1).contains(b"k"));
        keyspace.advance(11);
        assert!(!keyspace.database(1).contains(b"k"));
        assert!(keyspace.database(1).expiries.is_empty());
    }

    #[test]
    fn a_later_lifetime_replaces_the_earlier_one() {
        let mut database = Database::default();
        database.set_string(b"k", b"v", Lifetime::Until(10));
        database.set_string(b"k", b"w", Lifetime::Keep);
        assert_eq!(database.expires_ms(b"k"), 10);
        database.set_string(b"k", b"x", Lifetime::Until(20));
        database.expire_until(15);
        assert!(database.contains(b"k"));
        database.set_string(b"k", b"y", Lifetime::Forever);
        database.expire_until(u64::MAX);
        assert!(database.contains(b"k") && database.expiries.is_empty());
    }

    #[test]
    fn watched_keys_have_versions_only_while_they_are_watched() {
        let mut database = Database::default();
        let before = database.watch(b"k");
        database.set_string(b"k", b"v", Lifetime::Forever);
        assert_ne!(database.unwatch(b"k"), Some(before));
        assert!(database.watched.is_empty());
    }
}
