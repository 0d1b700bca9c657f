//! The options of a load: how long, how fast, which commands, which keys and which values.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::options::limits::count;
use crate::cli::options::parse;
use crate::load::{
    Arrivals, COMMAND_RATIO_MAX, KEY_SPACE_MAX, KeyDistribution, Limit, Mix, PIPELINE_MAX, RATE_MAX,
    Template, ValueSize, WeightedCommand, Workload, WorkloadError,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// How long to run, e.g. 500ms, 10s, 1m30s [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    #[arg(conflicts_with = "requests")]
    duration: Option<Duration>,
    /// Run until this many commands are done over all shards, instead of for a fixed time
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, u64::MAX))]
    requests: Option<u64>,
    /// Run the same load for this long before measuring, in addition to --duration or --requests. A command that is
    /// sent during the warm-up and ends after it counts with its whole latency [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_or_zero)]
    warm_up: Option<Duration>,
    /// Open loop: commands per second over all shards; latency counts from the intended send time [default: closed
    /// loop, as fast as replies arrive]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, RATE_MAX))]
    rate: Option<u64>,
    /// How the commands of --rate are spread over time [default: even]
    #[arg(long, value_name = "KIND")]
    arrivals: Option<ArrivalsArg>,
    /// How long a caller of the closed loop waits after a reply before it sends again [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration_or_zero, conflicts_with = "rate")]
    think: Option<Duration>,
    /// Ratio of SET to GET
    #[arg(long, value_name = "SET:GET", default_value = "1:10", value_parser = parse::ratio)]
    ratio: Mix,
    // clap replaces {n} by a line break. The joiner in it prevents that and is removed where help is shown.
    #[arg(long, value_name = "TEXT", conflicts_with = "ratio")]
    #[arg(
        help = "Send this command instead, quoted as in a shell, e.g. 'LPUSH {key} {value}'; repeat it for a random mix. \
                  Placeholders: {key}, further keys of the same command as {key:2} to {key:16}, {value}, {\u{2060}n} (a \
                  number that is unique to each command) and {random:MIN-MAX}; \\{ is a plain brace"
    )]
    command: Vec<Template>,
    /// The weight of a --command in the mix; give it once for each --command, in the same order [default: 1 each]
    #[arg(long, value_name = "N", requires = "command")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, COMMAND_RATIO_MAX.into()))]
    command_ratio: Vec<u64>,
    /// Number of different keys
    #[arg(long, value_name = "N", default_value = "100000")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, KEY_SPACE_MAX))]
    pub(super) key_space: u64,
    /// How keys are chosen: uniform; zipf:S (S is the exponent, e.g. 0.99; the first key is the most frequent);
    /// gaussian or gaussian:STDDEV (around the middle key, with a standard deviation in keys, by default a sixth of
    /// --key-space); hot:KEYS%:SHARE% (e.g. hot:1%:90%: the first 1 % of the keys get 90 % of the accesses); or
    /// sequential (each caller walks all keys in order, from its own starting key)
    #[arg(long, value_name = "KIND", default_value = "uniform", value_parser = parse::distribution)]
    key_distribution: KeyDistribution,
    /// Size of the values in bytes, or the smallest and the largest size, e.g. 64, 1KiB, 16-4096
    #[arg(long, value_name = "N|MIN-MAX", default_value = "64", value_parser = parse::value_size)]
    value_size: ValueSize,
    /// The share of each value that compression can remove, from 0 (random bytes) to 1 (one repeated byte), e.g. 0.5
    /// [default: random letters and digits, about a quarter]
    #[arg(long, value_name = "RATIO", value_parser = parse::share)]
    value_compressible: Option<f64>,
    /// Commands that a caller sends together before it waits for their replies
    #[arg(long, value_name = "N", default_value = "1")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, PIPELINE_MAX as u64))]
    pipeline: u64,
    /// Do not write the keys before a run that reads them
    #[arg(long)]
    no_load: bool,
    /// Check every reply: a GET must return what was last written to its key, and a counter that
    /// all callers increment must add up
    #[arg(long)]
    verify: bool,
    /// Seed of the random choices; the same seed repeats a run [default: a new one each time, shown in the report]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 0, u64::MAX))]
    seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArrivalsArg {
    /// At equal intervals
    Even,
    /// At random intervals, like independent users
    Poisson,
}

impl LoadArgs {
    /// The workload with this load.
    ///
    /// # Errors
    /// The error names the options that do not fit together.
    pub(super) fn apply(&self, workload: Workload) -> Result<Workload, String> {
        if self.arrivals.is_some() && self.rate.is_none() {
            // clap cannot check this by `requires`: a sweep has no --rate to name.
            return Err(WorkloadError::ArrivalsWithoutRate.to_string());
        }
        Ok(Workload {
            limit: match (self.requests, self.duration) {
                (Some(requests), _) => Limit::Requests(requests),
                (None, Some(duration)) => Limit::Duration(duration),
                (None, None) => workload.limit,
            },
            rate: self.rate,
            arrivals: match self.arrivals {
                Some(ArrivalsArg::Poisson) => Arrivals::Poisson,
                Some(ArrivalsArg::Even) | None => Arrivals::Even,
            },
            warm_up: self.warm_up.unwrap_or_default(),
            think: self.think.unwrap_or_default(),
            mix: self.mix()?,
            key_space: self.key_space,
            keys: self.key_distribution,
            values: self.value_size,
            compressible: self.value_compressible,
            pipeline: count(self.pipeline),
            load: !self.no_load,
            verify: self.verify,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
            ..workload
        })
    }

    /// The commands to send.
    fn mix(&self) -> Result<Mix, String> {
        let (commands, ratios) = (&self.command, &self.command_ratio);
        if commands.is_empty() {
            return Ok(self.ratio.clone());
        }
        if !ratios.is_empty() && ratios.len() != commands.len() {
            return Err(format!(
                "got {} --command-ratio for {} --command options; give it once for each --command, in the same order, \
                 or not at all",
                ratios.len(),
                commands.len()
            ));
        }
        let ratios = ratios.iter().copied().map(Some).chain(std::iter::repeat(None));
        let share = |(command, ratio): (&Template, Option<u64>)| WeightedCommand {
            command: command.clone(),
            // The range of the option ends far below `u32::MAX`.
            ratio: ratio.map_or(1, |ratio| u32::try_from(ratio).unwrap_or(u32::MAX)),
        };
        Ok(Mix::Commands(commands.iter().zip(ratios).map(share).collect()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: LoadArgs,
    }

    #[test]
    fn ratios_pair_with_commands_by_order() {
        let mix = |arguments: &[&str]| {
            let all = ["bench"].iter().chain(arguments);
            Only::try_parse_from(all).expect("options").args.mix()
        };
        let two = ["--command", "GET {key}", "--command", "PING"];
        let shown = |arguments: &[&str]| mix(&[&two[..], arguments].concat()).map(|mix| mix.to_string());
        assert_eq!(shown(&[]).as_deref(), Ok("1 × GET {key} + 1 × PING"));
        assert_eq!(
            shown(&["--command-ratio", "9", "--command-ratio", "2"]).as_deref(),
            Ok("9 × GET {key} + 2 × PING")
        );
        let error = shown(&["--command-ratio", "9"]).expect_err("which one is it?");
        assert!(error.contains("got 1 --command-ratio for 2 --command options"), "{error}");
        assert_eq!(mix(&[]).map(|mix| mix.to_string()).as_deref(), Ok("SET:GET 1:10"));
    }
}
