//! Repeated runs, which alternate with those of `--versus`, so that background load affects both equally.

use clap::Args;

use crate::cli::options::parse;
use crate::cli::report::published::Published;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparison")]
pub(crate) struct RepeatArgs {
    /// Number of runs. The report shows the run with the median throughput, and the JSON keeps all runs. A comparison
    /// uses the spread of the runs (Mann-Whitney U test), and needs 5 runs of each
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, REPEAT_MAX))]
    pub(crate) repeat: u64,
    /// Compare with the same command line changed by these options, quoted as in a shell, e.g. '--connections 8' or
    /// '--url redis://other.example'; runs of both alternate
    #[arg(long, value_name = "OPTIONS", conflicts_with = "compare", allow_hyphen_values = true)]
    pub(crate) versus: Option<String>,
}

/// The command line of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// As the user gave it.
    Given,
    /// Changed by the options of `--versus`.
    Versus,
}

/// The order of all runs: one, the other, the other, one, and so on. A drift of the machine affects both equally.
pub(crate) fn turns(repeat: u64, has_versus: bool) -> impl Iterator<Item = Turn> {
    (0..repeat).flat_map(move |round| {
        let both = if round % 2 == 0 { [Turn::Given, Turn::Versus] } else { [Turn::Versus, Turn::Given] };
        both.into_iter().filter(move |turn| has_versus || *turn == Turn::Given)
    })
}

/// The run with the median throughput; of two in the middle, the slower one.
pub(crate) fn median_run<R: Published>(reports: &[R]) -> Option<&R> {
    let mut order: Vec<&R> = reports.iter().collect();
    order.sort_by(|one, other| one.throughput_per_second().total_cmp(&other.throughput_per_second()));
    order.get(order.len().saturating_sub(1) / 2).copied()
}

/// The most runs of one command: the report keeps each.
const REPEAT_MAX: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Report;

    #[test]
    fn runs_alternate_in_abba_order() {
        use Turn::{Given, Versus};
        let order: Vec<Turn> = turns(3, true).collect();
        assert_eq!(order, [Given, Versus, Versus, Given, Given, Versus]);
        assert_eq!(turns(3, false).collect::<Vec<_>>(), [Given; 3]);
    }

    #[test]
    fn the_median_run_is_reported() {
        let report =
            |throughput_per_second| Report { throughput_per_second, ..crate::cli::report::testing::full() };
        let median_run = |rates: &[f64]| {
            let reports: Vec<Report> = rates.iter().copied().map(report).collect();
            median_run(&reports).map(|report| report.throughput_per_second)
        };
        assert_eq!(median_run(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median_run(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!((median_run(&[7.0]), median_run(&[])), (Some(7.0), None));
    }
}
