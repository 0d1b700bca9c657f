//! The input of a sweep's report.

use super::args::TuningArgs;
use super::sweep::SweepResult;
use crate::cli::bench::resolved::Resolved;
use crate::load::tuner::sweep::Grid;

/// Everything that a report shows.
pub(super) struct ReportInput<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) grid: &'a Grid,
    pub(super) tuning: &'a TuningArgs,
    pub(super) result: &'a SweepResult,
}
