//! What this machine allows this process, and whether that is enough. Nothing here starts an executor.
//!
//! The start of a client and `hitless doctor` ask the same questions, so that what one of them refuses the other
//! explains.

#[cfg(feature = "cli")]
mod advice;
mod checks;
mod facts;

#[cfg(feature = "cli")]
pub(crate) use self::advice::{Cores, examine};
#[cfg(feature = "cli")]
pub(crate) use self::checks::Finding;
pub(crate) use self::checks::{Level, Needs};
pub(crate) use self::facts::Facts;

/// What keeps a client that needs this much from running, with its remedy.
pub(super) fn obstacle(facts: &Facts, needs: Needs) -> Option<String> {
    let mut findings = checks::necessary(facts, needs).into_iter();
    let failed = findings.find(|finding| finding.level == Level::Fail)?;
    let remedy = failed.remedy.unwrap_or_default();
    Some(format!("this machine cannot run it ({}: {}): {remedy}", failed.check, failed.found))
}

#[cfg(all(test, feature = "cli"))]
mod tests;
