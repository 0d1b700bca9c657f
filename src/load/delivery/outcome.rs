//! What the tasks of a run return besides their accounts: failed commands.

use std::collections::BTreeMap;

use crate::Error;

/// Failed commands, by the kind of the error.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    /// The text of the first error of each kind.
    pub(super) examples: BTreeMap<&'static str, String>,
}

impl Failures {
    pub(super) fn note(&mut self, error: &Error) {
        let kind = error.kind().name();
        self.count += 1;
        *self.by_kind.entry(kind).or_default() += 1;
        self.examples.entry(kind).or_insert_with(|| error.to_string());
    }

    pub(super) fn add(&mut self, other: Failures) {
        self.count += other.count;
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        for (kind, example) in other.examples {
            self.examples.entry(kind).or_insert(example);
        }
    }
}
