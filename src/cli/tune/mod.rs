//! `hitless tune`: raw options → a sweep → a recommendation, as text and JSON.

mod args;
mod json;
mod output;
mod phrases;
mod plot;
mod progress;
mod report_input;
mod sweep;
mod text;

use std::time::Instant;

use self::args::SweepArgs;
pub(crate) use self::args::TuneArgs;
use self::output::Output;
use self::report_input::ReportInput;
use self::sweep::SweepRunner;
use crate::cli::bench::resolved::Resolved;
use crate::cli::exit::{FAILED, Failure, SUCCESS};
use crate::cli::terminal::{message, stop};
use crate::cli::topology;
use crate::load::tuner::sweep::{Grid, SETTINGS_MAX, doublings};

/// Runs the sweep and returns the exit code.
pub(crate) fn run(args: TuneArgs) -> Result<u8, Failure> {
    let begin = Instant::now();
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let (bench, sweep, tuning, output) = args.split()?;
    let resolved = Resolved::new(&bench)?;
    let grid = grid(&sweep, resolved.effective.shard_cores().len())?;
    let is_quiet = output.quiet;
    let output = Output::new(&output)?;
    if resolved.embedded.is_none() {
        topology::check_before_sweep(&resolved.config, &resolved.effective, &stop)?;
    }
    let runner = SweepRunner::new(&resolved, &bench, &tuning, &grid, stop)?;
    let result = runner.run(begin)?;
    let input = ReportInput { resolved: &resolved, grid: &grid, tuning: &tuning, result: &result };
    output.write(&input).map_err(Failure::Failed)?;
    if let Some(problem) = phrases::nothing_measured(&result.rows).filter(|_| is_quiet) {
        message::print_error(problem);
    }
    Ok(match result.is_well() {
        false => FAILED,
        true if result.interrupted => stop::code(),
        true => SUCCESS,
    })
}

/// The settings to sweep, for a client with up to `shards_max` shards.
fn grid(sweep: &SweepArgs, shards_max: usize) -> Result<Grid, Failure> {
    let grid = Grid {
        shards: sweep.shards.as_ref().map_or_else(|| doublings(shards_max), |shards| shards.0.clone()),
        connections: sweep.connections.0.clone(),
        tasks: sweep.tasks.0.clone(),
    };
    match grid.settings().len() {
        count if count > SETTINGS_MAX => Err(Failure::Usage(format!(
            "--shards, --connections, --tasks: {count} combinations; allowed: {SETTINGS_MAX}, which take hours already"
        ))),
        _ => Ok(grid),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: TuneArgs,
    }

    fn swept(arguments: &[&str], shards_max: usize) -> Result<Grid, Failure> {
        let only = Only::try_parse_from(["tune"].iter().chain(arguments)).expect("options");
        grid(&only.args.split().expect("sense").1, shards_max)
    }

    #[test]
    fn shards_are_swept_up_to_the_most() {
        let shards = |arguments: &[&str], most| swept(arguments, most).expect("a grid").shards;
        assert_eq!(shards(&[], 6), [1, 2, 4, 6]);
        assert_eq!(shards(&["--shards", "3"], 3), [3]);
    }

    #[test]
    fn a_sweep_of_days_is_rejected() {
        let many: Vec<String> = (1..=60).map(|count| count.to_string()).collect();
        let many = many.join(",");
        let found = swept(&["--connections", &many, "--tasks", &many, "--shards", "1,2"], 2);
        assert!(matches!(found, Err(Failure::Usage(why)) if why.contains("combinations; allowed: 2000")));
    }
}
