//! What this machine allows this process, and whether that is enough for a client. Nothing here starts an executor.
//!
//! The start of a client and `hitless doctor` run the same checks, so that `doctor` explains what a start refuses.

#[cfg(feature = "cli")]
mod advice;
mod checks;
mod facts;
mod uring;

#[cfg(feature = "cli")]
pub(crate) use self::advice::{Cores, examine};
#[cfg(feature = "cli")]
pub(crate) use self::checks::Finding;
pub(crate) use self::checks::{Level, Needs};
pub(crate) use self::facts::Facts;
use crate::config::ResolvedConfig;
use crate::error::{Error, Result};

/// Whether executors for this configuration can run, each with its connections.
///
/// # Errors
/// Names the cause, and the remedy.
pub(crate) fn can_run(config: &ResolvedConfig) -> Result<()> {
    let shards = config.shard_cores().len();
    check(Needs { shards, connections: config.connections_per_shard() })
}

/// Whether io_uring can be used, by one executor at least.
///
/// # Errors
/// Names what forbids it, and the remedy.
#[cfg(feature = "cli")]
pub(crate) fn io_uring() -> Result<()> {
    check(Needs { shards: 1, connections: 1 })
}

fn check(needs: Needs) -> Result<()> {
    problem(&Facts::read(), needs).map_or(Ok(()), |problem| Err(Error::machine(problem)))
}

/// What keeps a client with these needs from running, with its remedy.
fn problem(facts: &Facts, needs: Needs) -> Option<String> {
    let mut findings = checks::necessary(facts, needs).into_iter();
    let failed = findings.find(|finding| finding.level == Level::Fail)?;
    let remedy = failed.remedy.unwrap_or_default();
    Some(format!("this machine cannot run it ({}: {}): {remedy}", failed.check, failed.found))
}

#[cfg(all(test, feature = "cli"))]
mod tests;
