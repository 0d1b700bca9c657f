//! The replies that a correct endpoint must give: a model of one caller's own keys, and the `INCR` audit.
//!
//! With `verify`, every caller owns a disjoint slice of the key space, so it knows what each of its keys must hold. A
//! write with an unknown outcome may take effect at any later time, even after later writes, if its connection was
//! lost. The model keeps it as possible until a read shows it.

use std::collections::HashMap;

use crate::load::recording::findings::Findings;
use crate::load::workload::keys::{KEY_PREFIX, KeyText};
use crate::load::workload::values::{Signature, ValueForm};

/// The keys that one caller owns: `first`, `first + stride`, …, `count` of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) first: u64,
    pub(crate) stride: u64,
    pub(crate) count: u64,
}

impl Slice {
    /// The share of caller `part` of `parts` in a space of `keys` keys.
    pub(crate) fn of(keys: u64, part: u64, parts: u64) -> Slice {
        let stride = parts.max(1);
        Slice { first: part, stride, count: keys.saturating_sub(part).div_ceil(stride) }
    }

    pub(crate) fn key(&self, index: u64) -> u64 {
        self.first + index * self.stride
    }
}

/// Whether a write was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    No,
    Perhaps,
}

/// One caller's model of its keys. A key is identified by its index in the caller's slice.
///
/// The caller passes every reply in the order of its commands. [`next_value`](Verifier::next_value) must be followed by
/// [`set_done`](Verifier::set_done) for the same version, or a correct endpoint is reported as wrong.
#[derive(Debug)]
pub(crate) struct Verifier {
    run: u32,
    form: ValueForm,
    slice: Slice,
    /// Formats the names of the keys.
    names: KeyText,
    current: Vec<u32>,
    /// Versions whose write was ambiguous and that no read has shown yet, by index.
    possible: HashMap<u64, Vec<u32>>,
    next_version: u32,
    counter_seen: i64,
    expected: Vec<u8>,
    findings: Findings,
}

impl Verifier {
    /// `loaded`: every key holds version [`LOADED`] at the start.
    pub(crate) fn new(run: u32, form: ValueForm, slice: Slice, loaded: bool) -> Verifier {
        let at_first = if loaded { LOADED } else { UNKNOWN };
        let count = usize::try_from(slice.count).unwrap_or(usize::MAX);
        Verifier {
            run,
            form,
            slice,
            names: KeyText::new(KEY_PREFIX, 0),
            current: vec![at_first; count],
            possible: HashMap::new(),
            next_version: LOADED + 1,
            counter_seen: 0,
            expected: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// The same with other names for the keys.
    pub(crate) fn with_names(self, names: KeyText) -> Verifier {
        Verifier { names, ..self }
    }

    pub(crate) fn key(&self, index: u64) -> u64 {
        self.slice.key(index)
    }

    /// Writes the value of a new version of a key, and returns the version.
    pub(crate) fn next_value(&mut self, index: u64, value: &mut Vec<u8>) -> u32 {
        let version = self.next_version;
        // After four billion writes of one caller the versions start again.
        self.next_version = if version + 1 == ABSENT { LOADED + 1 } else { version + 1 };
        self.signature(index, version).write(self.form, value);
        version
    }

    pub(crate) fn set_done(&mut self, index: u64, version: u32, written: Written) {
        match written {
            Written::Yes => self.observe(index, version),
            Written::Perhaps => self.possible.entry(index).or_default().push(version),
            Written::No => {}
        }
    }

    /// Checks the reply of a `GET`. Replies must come in the order of the commands.
    pub(crate) fn get_answered(&mut self, index: u64, reply: Option<&[u8]>) {
        let held = match reply {
            Some(value) => self.check_value(index, value),
            None => self.check_absent(index),
        };
        self.findings.note(held);
    }

    /// Counts a reply of the wrong type as a mismatch.
    pub(crate) fn wrong_type(&mut self, error: &dyn std::fmt::Display) {
        self.findings.note(Err(format!("a reply of the wrong type: {error}")));
    }

    /// Checks the reply of an `INCR` of the audit counter, which only grows.
    pub(crate) fn incr_answered(&mut self, reply: i64) {
        self.findings.audit.answered += 1;
        let before = std::mem::replace(&mut self.counter_seen, reply);
        let held = if reply > before { Ok(()) } else { Err(()) };
        self.findings.note(held.map_err(|()| {
            format!("INCR answered {reply} after it had answered {before} to the same caller")
        }));
    }

    pub(crate) fn incr_failed(&mut self, written: Written) {
        self.findings.audit.ambiguous += u64::from(written == Written::Perhaps);
    }

    pub(crate) fn into_findings(self) -> Findings {
        self.findings
    }

    fn signature(&self, index: u64, version: u32) -> Signature {
        Signature { key: self.key(index), version, run: self.run }
    }

    fn current(&self, index: u64) -> u32 {
        self.version_at(index).copied().unwrap_or(UNKNOWN)
    }

    fn version_at(&self, index: u64) -> Option<&u32> {
        self.current.get(usize::try_from(index).ok()?)
    }

    fn observe(&mut self, index: u64, version: u32) {
        let slot = usize::try_from(index).ok().and_then(|index| self.current.get_mut(index));
        if let Some(slot) = slot {
            *slot = version;
        }
    }

    fn check_absent(&mut self, index: u64) -> Result<(), String> {
        match self.current(index) {
            UNKNOWN | ABSENT => {
                self.observe(index, ABSENT);
                Ok(())
            }
            version => {
                self.observe(index, ABSENT);
                let name = self.names.name_of(self.key(index));
                Err(format!("GET {name}: nothing, instead of version {version}"))
            }
        }
    }

    fn check_value(&mut self, index: u64, value: &[u8]) -> Result<(), String> {
        let key = self.key(index);
        let current = self.current(index);
        let Some(found) = Signature::read(value) else {
            if current == UNKNOWN {
                return Ok(());
            }
            return self.wrong(key, format!("{} bytes that this run never wrote", value.len()));
        };
        if found.key != key {
            return self
                .wrong(key, format!("the value of {} (a mixed-up reply)", self.names.name_of(found.key)));
        }
        if found.run != self.run {
            if current == UNKNOWN {
                return Ok(());
            }
            return self.wrong(key, "the value of an earlier run (a lost update)".to_owned());
        }
        found.write(self.form, &mut self.expected);
        if self.expected != value {
            return self.wrong(key, format!("version {} with damaged content", found.version));
        }
        if found.version == current {
            return Ok(());
        }
        // From here on the model has the version that was read, so that one fault is counted once.
        self.observe(index, found.version);
        if current == UNKNOWN || self.take_possible(index, found.version) {
            return Ok(());
        }
        let expected = if current == ABSENT { "nothing".into() } else { format!("version {current}") };
        self.wrong(key, format!("version {}, instead of {expected} (a lost update)", found.version))
    }

    fn wrong(&self, key: u64, what: String) -> Result<(), String> {
        Err(format!("GET {}: {what}", self.names.name_of(key)))
    }

    /// Whether an ambiguous write explains this version. Such a write is executed at most once, so it explains one
    /// change only.
    fn take_possible(&mut self, index: u64, version: u32) -> bool {
        let Some(versions) = self.possible.get_mut(&index) else {
            return false;
        };
        let Some(at) = versions.iter().position(|&v| v == version) else {
            return false;
        };
        versions.swap_remove(at);
        if versions.is_empty() {
            self.possible.remove(&index);
        }
        true
    }
}

/// The version of a key whose content is unknown, because the run did not write it.
const UNKNOWN: u32 = u32::MAX;
/// The version of a key that is known not to exist.
const ABSENT: u32 = u32::MAX - 1;
/// The version that the load phase writes.
pub(crate) const LOADED: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::findings::AuditTally;
    use crate::load::workload::values::ValueSize;

    const FORM: ValueForm = ValueForm { size: ValueSize { min: 40, max: 80 }, compressible: None };

    fn verifier(loaded: bool) -> Verifier {
        Verifier::new(9, FORM, Slice::of(10, 1, 3), loaded)
    }

    fn value(v: &Verifier, index: u64, version: u32) -> Vec<u8> {
        let mut out = Vec::new();
        v.signature(index, version).write(FORM, &mut out);
        out
    }

    fn get(v: &mut Verifier, index: u64, version: u32) -> u64 {
        let reply = value(v, index, version);
        v.get_answered(index, Some(&reply));
        v.findings.mismatched
    }

    fn set(v: &mut Verifier, index: u64, written: Written) -> u32 {
        let version = v.next_value(index, &mut Vec::new());
        v.set_done(index, version, written);
        version
    }

    #[test]
    fn slices_are_disjoint_and_cover_the_space() {
        let mut keys: Vec<u64> = (0..3)
            .map(|part| Slice::of(10, part, 3))
            .flat_map(|slice| (0..slice.count).map(move |index| slice.key(index)))
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_write_is_the_correct_value() {
        let mut v = verifier(true);
        assert_eq!(get(&mut v, 0, LOADED), 0);
        let first = set(&mut v, 0, Written::Yes);
        assert_eq!(get(&mut v, 0, first), 0);
        set(&mut v, 0, Written::No);
        assert_eq!(get(&mut v, 0, first), 0);
        assert_eq!(v.findings.checked, 3);
    }

    #[test]
    fn a_mixed_up_reply_is_caught() {
        let mut v = verifier(true);
        let other = value(&v, 1, LOADED);
        v.get_answered(0, Some(&other));
        assert_eq!(v.findings.mismatched, 1);
        assert!(v.findings.examples[0].contains("mixed-up"), "{:?}", v.findings.examples);
        v.get_answered(0, Some(b"PONG"));
        v.get_answered(0, None);
        assert_eq!(v.findings.mismatched, 3);
    }

    #[test]
    fn a_lost_update_is_caught_and_counted_once() {
        let mut v = verifier(true);
        set(&mut v, 0, Written::Yes);
        assert_eq!(get(&mut v, 0, LOADED), 1);
        assert_eq!(get(&mut v, 0, LOADED), 1);
        assert!(v.findings.examples[0].contains("lost update"), "{:?}", v.findings.examples);
    }

    #[test]
    fn damaged_content_is_caught() {
        let mut v = verifier(true);
        let mut reply = value(&v, 0, LOADED);
        reply.pop();
        v.get_answered(0, Some(&reply));
        let mut reply = value(&v, 0, LOADED);
        if let Some(last) = reply.last_mut() {
            *last ^= 1;
        }
        v.get_answered(0, Some(&reply));
        assert_eq!(v.findings.mismatched, 2);
    }

    #[test]
    fn an_ambiguous_write_takes_effect_at_most_once() {
        let mut v = verifier(true);
        let perhaps = set(&mut v, 0, Written::Perhaps);
        assert_eq!(get(&mut v, 0, LOADED), 0);
        assert_eq!(get(&mut v, 0, perhaps), 0);
        assert_eq!(get(&mut v, 0, LOADED), 1, "it has taken effect, so the old value is gone");
    }

    #[test]
    fn an_ambiguous_write_may_take_effect_late() {
        let mut v = verifier(true);
        let late = set(&mut v, 0, Written::Perhaps);
        let next = set(&mut v, 0, Written::Yes);
        assert_eq!(get(&mut v, 0, next), 0);
        assert_eq!(get(&mut v, 0, late), 0);
        assert_eq!(get(&mut v, 0, next), 1, "it was executed once, so it cannot go away again");
    }

    #[test]
    fn without_loading_the_first_read_is_correct() {
        let mut v = verifier(false);
        v.get_answered(0, None);
        v.get_answered(0, None);
        v.get_answered(1, Some(b"of another program"));
        assert_eq!(v.findings.mismatched, 0);
        let version = set(&mut v, 0, Written::Yes);
        assert_eq!(get(&mut v, 0, version), 0);
        v.get_answered(0, None);
        assert_eq!(v.findings.mismatched, 1);
    }

    #[test]
    fn the_audit_must_add_up() {
        let mut v = verifier(true);
        v.incr_answered(3);
        v.incr_answered(4);
        v.incr_failed(Written::No);
        v.incr_failed(Written::Perhaps);
        assert_eq!(v.findings.mismatched, 0);
        v.incr_answered(4);
        assert_eq!(v.findings.mismatched, 1, "two callers cannot get the same count");
        let tally = v.into_findings().audit;
        assert_eq!(tally, AuditTally { answered: 3, ambiguous: 1 });
        assert!(tally.check(2).is_err() && tally.check(5).is_err());
        assert!(tally.check(3).is_ok() && tally.check(4).is_ok());
    }
}
