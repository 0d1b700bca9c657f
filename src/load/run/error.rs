//! Why a run returned no report.

use crate::Error;
use crate::load::workload::WorkloadError;

/// Why a run returned no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The workload is invalid.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The keys could not be written.
    #[error("could not write the keys before the run")]
    Preparing(#[source] Error),
    /// The client failed.
    #[error("the client failed")]
    Client(#[from] Error),
    /// The in-process endpoints could not announce the `MOVING`.
    #[error("could not rehearse a MOVING: {0}")]
    Rehearsing(String),
    /// The workload's callers run in tokio, and the function does not, or the other way round.
    #[error("callers in tokio need run_in_tokio, and other callers need run or run_over")]
    Via,
    /// The system has no descriptor left for the callers' timers.
    #[error("could not make a timer for the callers")]
    Timer(#[source] std::io::Error),
    /// A thread of the run panicked.
    #[error("a thread of the run panicked; this is a bug")]
    Panicked,
}
