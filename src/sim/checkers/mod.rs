//! The invariants, one a file: each looks at a world and says what is wrong with it.

pub(super) mod awake;
pub(super) mod bounds;
pub(super) mod dead;
pub(super) mod deadlines;
pub(super) mod demotions;
pub(super) mod endings;
pub(super) mod floods;
pub(super) mod handoffs;
pub(super) mod liveness;
pub(super) mod logins;
pub(super) mod losses;
pub(super) mod news;
pub(super) mod own_words;
pub(super) mod providers;
pub(super) mod reach;
pub(super) mod refusals;
pub(super) mod storms;
pub(super) mod truth;

use std::fmt;

/// An invariant that did not hold, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(super) fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Violation { invariant, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Told by whoever delivers: see [`Outcomes`](super::outcomes::Outcomes).
pub(super) const ONCE: &str = "each ticket resolves exactly once";
