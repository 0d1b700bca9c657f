//! What a verb is.

use super::arguments::VerbResult;
use crate::rehearsal::context::{Scope, ServerContext};

/// A verb: its name and arguments, its help text, and its function.
pub(super) struct Verb {
    pub(super) syntax: &'static str,
    pub(super) help: &'static str,
    pub(super) call: VerbFunction,
}

pub(super) type VerbFunction = fn(&mut ServerContext<'_>, &Scope, &[&str]) -> VerbResult;

impl Verb {
    pub(super) fn name(&self) -> &'static str {
        self.syntax.split(' ').next().unwrap_or_default()
    }
}

pub(super) const fn verb(syntax: &'static str, help: &'static str, call: VerbFunction) -> Verb {
    Verb { syntax, help, call }
}
