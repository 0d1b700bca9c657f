//! The data: numbered databases of typed values, with expiry and with versions of watched keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::dictionary::Dictionary;
use crate::rehearsal::wire::reply::Failure;

/// The answer to a command for another type than the key holds.
pub(crate) const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Keys that expire are removed by [`Keyspace::advance`], before any command of that time sees
/// them: there is no command that has to think of it, and what expired takes no memory.
#[derive(Debug)]
pub(crate) struct Keyspace {
    databases: Vec<Database>,
}

impl Keyspace {
    /// So many databases, at least one.
    pub(crate) fn new(databases: usize) -> Self {
        Self { databases: (0..databases.max(1)).map(|_| Database::default()).collect() }
    }

    /// Lets time pass: what had to live until before `now_ms` is gone.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        for database in &mut self.databases {
            database.expire_until(now_ms);
        }
    }

    pub(crate) fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// Database `index`, which `SELECT` has checked; a wrong one gives the first.
    #[expect(clippy::indexing_slicing, reason = "a checked index, or 0: there is always one database")]
    pub(crate) fn database(&mut self, index: usize) -> &mut Database {
        let index = if index < self.databases.len() { index } else { 0 };
        &mut self.databases[index]
    }

    pub(crate) fn clear(&mut self) {
        self.databases.iter_mut().for_each(Database::clear);
    }
}

pub(crate) type List = VecDeque<Box<[u8]>>;
pub(crate) type Hash = Dictionary<Vec<u8>>;
pub(crate) type Set = Dictionary<()>;

/// What a key holds. Collections are never empty: the last element takes the key with it.
#[derive(Debug)]
pub(crate) enum Value {
    Str(Vec<u8>),
    // Boxed, so that a string's entry is not as large as a collection's head.
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
pub(crate) trait Kind {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn empty() -> Value;
}

macro_rules! kind {
    ($kind:ty, $variant:ident) => {
        impl Kind for $kind {
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

kind!(Vec<u8>, Str);
kind!(List, List);
kind!(Hash, Hash);
kind!(Set, Set);

/// When a key that is written lives until.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    Forever,
    /// As long as before.
    Keep,
    /// Through this millisecond of Unix time.
    Until(u64),
}

#[derive(Debug)]
struct Entry {
    value: Value,
    /// Zero: never.
    expires_ms: u64,
}

/// One numbered database.
#[derive(Debug, Default)]
pub(crate) struct Database {
    entries: Dictionary<Entry>,
    expiries: BTreeSet<(u64, Box<[u8]>)>,
    watched: BTreeMap<Box<[u8]>, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    watchers: usize,
    version: u64,
}

impl Database {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have a time to live.
    pub(crate) fn expiring(&self) -> usize {
        self.expiries.len()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains(key)
    }

    pub(crate) fn value(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value of `key` if it is a `K`. Fails if it is something else.
    #[inline]
    pub(crate) fn get<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, Failure> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(entry) => Ok(Some(K::of(&entry.value).ok_or(WRONG_TYPE)?)),
        }
    }

    /// The same, to change it: whoever does must call [`Database::changed`].
    pub(crate) fn get_mut<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, Failure> {
        match self.entries.get_mut(key) {
            None => Ok(None),
            Some(entry) => Ok(Some(K::of_mut(&mut entry.value).ok_or(WRONG_TYPE)?)),
        }
    }

    /// The same, created empty if the key does not exist: whoever calls this must put something
    /// into it.
    pub(crate) fn get_or_create<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, Failure> {
        let entry = self.entries.get_or_insert_with(key, || Entry { value: K::empty(), expires_ms: 0 });
        Ok(K::of_mut(&mut entry.value).ok_or(WRONG_TYPE)?)
    }

    /// Sets `key` to a string, whatever it held.
    #[inline]
    pub(crate) fn set_string(&mut self, key: &[u8], bytes: &[u8], lifetime: Lifetime) {
        let entry = self.entries.get_or_insert_with(key, || Entry { value: Vec::empty(), expires_ms: 0 });
        match &mut entry.value {
            // Memory of the former value is used again, unless it is far too much.
            Value::Str(former) if former.capacity() <= 2 * bytes.len() + 64 => {
                former.clear();
                former.extend_from_slice(bytes);
            }
            value => *value = Value::Str(bytes.to_vec()),
        }
        if lifetime != Lifetime::Keep && (entry.expires_ms != 0 || lifetime != Lifetime::Forever) {
            self.set_lifetime(key, lifetime);
        }
        self.touch(key);
    }

    pub(crate) fn put(&mut self, key: &[u8], value: Value, lifetime: Lifetime) {
        let entry = self.entries.get_or_insert_with(key, || Entry { value: Vec::empty(), expires_ms: 0 });
        entry.value = value;
        self.set_lifetime(key, lifetime);
        self.touch(key);
    }

    /// Removes `key`: its value, and until when it would have lived.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<(Value, Lifetime)> {
        let entry = self.entries.remove(key)?;
        self.touch(key);
        match entry.expires_ms {
            0 => Some((entry.value, Lifetime::Forever)),
            expires_ms => {
                self.expiries.remove(&(expires_ms, key.into()));
                Some((entry.value, Lifetime::Until(expires_ms)))
            }
        }
    }

    /// Notes that the value of `key` was changed in place: watchers hear of it, and an empty
    /// collection goes.
    pub(crate) fn changed(&mut self, key: &[u8]) {
        if self.value(key).is_some_and(Value::is_empty_collection) {
            self.remove(key);
        } else {
            self.touch(key);
        }
    }

    /// Until when `key`, which must exist, lives: zero for ever.
    pub(crate) fn expires_ms(&self, key: &[u8]) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.expires_ms)
    }

    /// Changes the lifetime alone.
    pub(crate) fn expire(&mut self, key: &[u8], lifetime: Lifetime) {
        self.set_lifetime(key, lifetime);
        self.touch(key);
    }

    pub(crate) fn clear(&mut self) {
        let existing: Vec<Box<[u8]>> =
            self.watched.keys().filter(|key| self.entries.contains(key)).cloned().collect();
        self.entries = Dictionary::default();
        self.expiries.clear();
        existing.iter().for_each(|key| self.touch(key));
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    pub(crate) fn scan(&self, cursor: u64, count: usize) -> (impl Iterator<Item = (&[u8], &Value)>, u64) {
        let (entries, next) = self.entries.scan(cursor, count);
        (entries.map(|(key, entry)| (key, &entry.value)), next)
    }

    pub(crate) fn pick(&self, random: &mut fastrand::Rng) -> Option<&[u8]> {
        self.entries.pick(random).map(|(key, _)| key)
    }

    /// Watches `key`, and returns the version that it has now. [`Database::unwatch`] must follow
    /// one day.
    pub(crate) fn watch(&mut self, key: &[u8]) -> u64 {
        let watched = self.watched.entry(key.into()).or_default();
        watched.watchers += 1;
        watched.version
    }

    /// Ends one watch of `key`, and returns the version that it has now.
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
    }

    fn set_lifetime(&mut self, key: &[u8], lifetime: Lifetime) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let expires_ms = match lifetime {
            Lifetime::Keep => return,
            Lifetime::Forever => 0,
            Lifetime::Until(expires_ms) => expires_ms,
        };
        let former_ms = std::mem::replace(&mut entry.expires_ms, expires_ms);
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
                self.entries.remove(&key);
                self.touch(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expired_is_gone_and_takes_no_memory() {
        let mut keyspace = Keyspace::new(2);
        keyspace.database(1).set_string(b"k", b"v", Lifetime::Until(10));
        keyspace.advance(10);
        assert!(keyspace.database(1).contains(b"k"));
        keyspace.advance(11);
        assert!(!keyspace.database(1).contains(b"k"));
        assert!(keyspace.database(1).expiries.is_empty());
    }

    #[test]
    fn a_later_lifetime_replaces_the_former() {
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
