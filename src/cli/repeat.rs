//! Runs that are repeated, and alternated with those of other options, so that whatever the machine does in the course of
//! time meets both alike.

use clap::Args;

use super::parse;
use crate::load::Report;

/// The most runs of one command: the report keeps each.
const REPEAT_MAX: u64 = 100;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparison")]
pub(super) struct RepeatArgs {
    /// Run so many times. The report is that of the run with the median throughput; the JSON keeps all runs, and a
    /// comparison is decided by how far they lie apart (Mann-Whitney U test), for which it takes 5 runs of each
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, REPEAT_MAX))]
    pub(super) repeat: u64,
    /// Compare with the same command line but for these options, quoted as in a shell, e.g. '--connections 8' or
    /// '--url redis://other.example'; runs of both are taken in turn
    #[arg(long, value_name = "OPTIONS", conflicts_with = "compare", allow_hyphen_values = true)]
    pub(super) versus: Option<String>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The command line as it is.
    Given,
    /// With the options of `--versus`.
    Other,
}

/// The order of all runs: one, the other, the other, one, and so on. A drift of the machine meets both alike.
pub(super) fn turns(repeat: u64, has_other: bool) -> impl Iterator<Item = Turn> {
    (0..repeat).flat_map(move |round| {
        let both = if round % 2 == 0 { [Turn::Given, Turn::Other] } else { [Turn::Other, Turn::Given] };
        both.into_iter().filter(move |turn| has_other || *turn == Turn::Given)
    })
}

/// The run with the median throughput, the slower of the two in the middle.
pub(super) fn middle(reports: &[Report]) -> Option<&Report> {
    let mut order: Vec<&Report> = reports.iter().collect();
    order.sort_by(|one, other| one.throughput_per_second.total_cmp(&other.throughput_per_second));
    order.get(order.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_take_turns_and_change_who_is_first() {
        use Turn::{Given, Other};
        let order: Vec<Turn> = turns(3, true).collect();
        assert_eq!(order, [Given, Other, Other, Given, Given, Other]);
        assert_eq!(turns(3, false).collect::<Vec<_>>(), [Given; 3]);
    }

    #[test]
    fn the_median_run_is_reported() {
        let report =
            |throughput_per_second| Report { throughput_per_second, ..crate::cli::json::tests::full() };
        let middle = |rates: &[f64]| {
            let reports: Vec<Report> = rates.iter().copied().map(report).collect();
            middle(&reports).map(|report| report.throughput_per_second)
        };
        assert_eq!(middle(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(middle(&[4.0, 1.0, 3.0, 2.0]), Some(2.0));
        assert_eq!((middle(&[7.0]), middle(&[])), (Some(7.0), None));
    }
}
