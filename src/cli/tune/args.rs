//! The options of `hitless tune`: those of `hitless bench`, with lists where a setting is swept.

use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::cli::bench::args::{BenchArgs, CoreList, EndpointArgs, LoadArgs, MaintArg, ViaArg};
use crate::cli::bench::keys::KeyArgs;
use crate::cli::exit::Failure;
use crate::cli::options::limits::{CONNECTIONS_MAX, SHARDS_MAX, count};
use crate::cli::options::parse;
use crate::cli::options::tls::TlsArgs;
use crate::cli::report::output::{plot_file, plot_size};
use crate::load::TASKS_MAX;
use crate::load::plot::{Format, Size};
use crate::load::tuner::objective::{Objective, Quantile};

/// Options of `hitless tune`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    load: SweptLoad,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The swept settings. Every combination is measured.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub(super) struct SweepArgs {
    /// Executors to try, one thread each, e.g. 1,2,4 [default: 1, 2, 4 and so on, up to one per core that this
    /// process may use, within the CPU limit of its control group; with two or more cores, one is left to the
    /// endpoints in this process]
    #[arg(long, value_name = "LIST", value_parser = |s: &str| counts(s, SHARDS_MAX))]
    pub(super) shards: Option<Counts>,
    /// The cores that executors are pinned to, one each, e.g. 1,3-5; fewer shards use the first ones
    #[arg(long, value_name = "LIST", value_parser = |s: &str| parse::cores(s).map(CoreList))]
    cores: Option<CoreList>,
    /// Connections per shard to try
    #[arg(long, value_name = "LIST", default_value = "1,2,4,8")]
    #[arg(value_parser = |s: &str| counts(s, CONNECTIONS_MAX))]
    pub(super) connections: Counts,
    /// Concurrent callers per shard to try
    #[arg(long, value_name = "LIST", default_value = "8,16,32,64,128,256,512,1024")]
    #[arg(value_parser = |s: &str| counts(s, TASKS_MAX as u64))]
    pub(super) tasks: Counts,
    /// Where the callers run: on the shards, or on other threads that call through Client
    #[arg(long, value_name = "WHERE", default_value = "shard")]
    via: ViaArg,
    /// Whether the client asks for maintenance notifications [default: auto, or what the URL says]
    #[arg(long, value_name = "MODE")]
    maint: Option<MaintArg>,
}

/// The measurement, and the objective.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub(super) struct TuningArgs {
    /// How long each setting is measured in each round, after an unmeasured warm-up of a fifth of it, at most a
    /// second
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = step)]
    pub(super) step: Duration,
    /// Number of rounds; each one visits all settings in random order, so that background load affects all settings
    /// equally, and the median counts
    #[arg(long, value_name = "N", default_value = "3", value_parser = |s: &str| parse::number(s, 1, 100))]
    pub(super) rounds: u64,
    /// Measure every setting in every round [default: a scouting round of a third of the time excludes settings that
    /// are far below the best]
    #[arg(long)]
    pub(super) all_rounds: bool,
    /// Latency objective, e.g. p99=2ms or p99=2ms,p99.9=10ms; recommend the setting with the highest throughput that
    /// meets it
    #[arg(long, value_name = "QUANTILE=DURATION,…", value_parser = objective)]
    pub(super) slo: Option<Objective>,
    /// With --slo: search the largest rate that meets it at the recommended setting, in an open loop, whose
    /// percentiles include every stall
    #[arg(long, requires = "slo")]
    pub(super) find_rate: bool,
    /// A smaller setting within this share of the best throughput is as good; the noise of the rounds is added to it
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    pub(super) tolerance: f64,
    /// Do not measure the cost of a handoff of all connections at the recommended setting
    #[arg(long)]
    pub(super) no_handoff: bool,
}

/// The load of every step. The options of `bench` for time and rate do not apply to a sweep.
#[derive(Debug)]
struct SweptLoad(LoadArgs);

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Write all samples and the recommendation as JSON to this file; - writes them to standard output, in place of
    /// the text
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<String>,
    /// Draw throughput and latency against the swept settings; repeatable
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = plot_file)]
    pub(super) plot: Vec<(String, Format)>,
    /// The size of the picture in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1200x800", value_parser = plot_size)]
    pub(super) plot_size: Size,
    /// Show no progress; with --json, no text either
    #[arg(long)]
    pub(super) quiet: bool,
}

/// A sweep finds the best setting, and the bottleneck, of one server.
fn one_server(argument: Arg) -> Arg {
    match argument.get_long() {
        Some("url") => argument.action(ArgAction::Set).help(ONE_SERVER),
        _ => argument,
    }
}

impl Args for SweptLoad {
    fn augment_args(command: Command) -> Command {
        let command = LoadArgs::augment_args(command).mut_args(one_server);
        let is_there = |(name, _): &&(&str, &str)| command.get_arguments().any(|arg| arg.get_id() == *name);
        let hidden: Vec<_> = NOT_HERE.iter().filter(is_there).collect();
        hidden.into_iter().fold(command, |command, (name, _)| command.mut_arg(name, |arg| arg.hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        SweptLoad::augment_args(command)
    }
}

impl FromArgMatches for SweptLoad {
    fn from_arg_matches(matches: &ArgMatches) -> Result<SweptLoad, clap::Error> {
        let is_said = |name: &str| {
            let source = matches.try_contains_id(name).is_ok().then(|| matches.value_source(name)).flatten();
            source.is_some_and(|source| source != clap::parser::ValueSource::DefaultValue)
        };
        match NOT_HERE.iter().find(|(name, _)| is_said(name)) {
            Some((name, instead)) => {
                let name = name.replace('_', "-");
                let message = format!("--{name} does not apply to a sweep: {instead}\n");
                Err(clap::Error::raw(ErrorKind::ArgumentConflict, message))
            }
            None => LoadArgs::from_arg_matches(matches).map(SweptLoad),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl TuneArgs {
    pub(crate) fn is_quiet(&self) -> bool {
        self.output.quiet
    }

    /// The options of `bench` for the largest setting, and the options of the sweep alone.
    pub(super) fn split(self) -> Result<(BenchArgs, SweepArgs, TuningArgs, OutputArgs), Failure> {
        let TuneArgs { endpoint, tls, mut sweep, tuning, load, keys, output } = self;
        let mut bench = BenchArgs::defaults().map_err(|error| Failure::Failed(error.into()))?;
        let most = sweep.shards.as_ref().and_then(|shards| shards.0.last().copied());
        if let (Some(most), Some(CoreList(cores))) = (most, &sweep.cores)
            && most > cores.len()
        {
            return Err(Failure::Usage(format!(
                "--shards: {most} shards need {most} cores, and --cores has {}; give more cores or fewer shards",
                cores.len()
            )));
        }
        if sweep.via == ViaArg::Tokio {
            return Err(Failure::Usage(
                "--via: tokio does not apply to a sweep, which runs each setting on shards with threads of their own; \
                 use hitless bench --via tokio"
                    .to_owned(),
            ));
        }
        (bench.endpoint, bench.tls, bench.load, bench.keys) = (endpoint, tls, load.0, keys);
        bench.client.shards = most.filter(|_| sweep.cores.is_none()).map(|most| most as u64);
        bench.client.cores = sweep.cores.take();
        bench.client.connections = sweep.connections.0.last().map(|most| *most as u64);
        bench.client.tasks = sweep.tasks.0.last().map_or(1, |most| *most as u64);
        bench.client.via = sweep.via;
        bench.maintenance.maint = sweep.maint;
        bench.maintenance.no_moving = true;
        bench.output.quiet = output.quiet;
        Ok((bench, sweep, tuning, output))
    }
}

/// Numbers in ascending order, none twice; clap takes them as one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts(pub(super) Vec<usize>);

fn counts(text: &str, most: u64) -> Result<Counts, String> {
    let number = |text: &str| parse::number(text.trim(), 1, most).map(count);
    let list: Result<Vec<usize>, String> = text.split(',').map(number).collect();
    let allowed = || format!("allowed: up to {COUNTS_MAX} numbers from 1 to {most}, none twice, e.g. 1,2,4");
    let mut list = list.map_err(|_| allowed())?;
    let given = list.len();
    list.sort_unstable();
    list.dedup();
    match list.len() == given && given <= COUNTS_MAX {
        true => Ok(Counts(list)),
        false => Err(allowed()),
    }
}

fn step(text: &str) -> Result<Duration, String> {
    let step = parse::duration(text).ok().filter(|step| (STEP.0..=STEP.1).contains(step));
    step.ok_or_else(|| "allowed: 10ms to 1h, with a unit, e.g. 500ms, 3s".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let share = number.filter(|number| (0.0..=50.0).contains(number)).map(|number| number / 100.0);
    share.ok_or_else(|| "allowed: 0% to 50%, e.g. 5%".to_owned())
}

fn objective(text: &str) -> Result<Objective, String> {
    let limit = |part: &str| {
        let (name, limit) = part.split_once('=').ok_or("'=' is missing")?;
        let quantile: Quantile = name.trim().parse()?;
        let limit = parse::duration(limit.trim()).map_err(|why| format!("'{}': {why}", limit.trim()))?;
        Ok((quantile, limit))
    };
    let limits: Result<Vec<_>, String> = text.split(',').map(limit).collect();
    let limits = limits.map_err(|why| format!("{why}; allowed: e.g. p99=2ms, or p99=2ms,p99.9=10ms"))?;
    let twice = limits
        .iter()
        .enumerate()
        .find(|(place, (quantile, _))| limits.iter().take(*place).any(|(other, _)| other == quantile));
    match twice {
        Some((_, (quantile, _))) => Err(format!("{quantile} is given twice")),
        None => Ok(Objective(limits)),
    }
}

/// Options of `bench` that do not apply to a sweep, and the alternative.
const NOT_HERE: [(&str, &str); 6] = [
    ("warm_up", "each step has its own warm-up, see --step"),
    ("duration", "--step sets how long each setting is measured"),
    ("requests", "--step sets how long each setting is measured"),
    ("rate", "settings are compared in a closed loop; --slo with --find-rate searches the largest rate"),
    ("arrivals", "settings are compared in a closed loop; the rates of --find-rate arrive evenly"),
    ("verify", "checking every reply would distort the measurement; use hitless bench --verify"),
];
const ONE_SERVER: &str = "Where to send the load, to one server: redis://[user:password@]host[:port][/database]\
                          [?option=value], rediss:// with TLS, or unix:///path [default: endpoints in this process]";
/// The longest list.
const COUNTS_MAX: usize = 64;
/// The shortest and the longest step.
const STEP: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

const EXAMPLES: &str = "\
Examples:
  hitless tune --url redis://127.0.0.1:6379
      Sweeps shards, connections and tasks in about two minutes for each number of shards, and
      recommends the smallest setting that reaches within 5% of the best throughput.
  hitless tune --url redis://127.0.0.1:6379 --slo p99=2ms,p99.9=10ms --find-rate
      The highest throughput that meets this objective, and the largest rate of an open loop
      that meets it.
  hitless tune --connections 1,2,4 --tasks 16,64,256 --step 1s --rounds 5 --json tune.json
      A quicker sweep of endpoints in this process, with all samples kept.
  hitless tune --url redis://127.0.0.1:6379 --command 'LPUSH {key} {value}' --value-size 4KiB
      The load takes the options of hitless bench: keys, values, mixes, pipelines.

Exit codes:
  0 all well · 1 no setting meets --slo, none was answered, or a handoff at the recommended setting
  lost commands · 2 usage ·
  3 cannot reach the endpoint, the server cannot take this load, or this machine cannot run
  io_uring · 130 interrupted (143 by SIGTERM), and all well until then";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: TuneArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<TuneArgs, clap::Error> {
        Only::try_parse_from(["tune"].iter().chain(arguments)).map(|only| only.args)
    }

    #[test]
    fn bench_gets_the_largest_setting() {
        let args = parsed(&["--shards", "2,1", "--connections", "8,1", "--tasks", "5", "--seed", "3"]);
        let (bench, sweep, tuning, _) = args.expect("options").split().expect("sense");
        assert_eq!((bench.client.shards, bench.client.connections), (Some(2), Some(8)));
        let workload = bench.workload().expect("sense");
        assert_eq!((workload.tasks, workload.seed), (5, 3));
        assert_eq!((sweep.shards, sweep.connections), (Some(Counts(vec![1, 2])), Counts(vec![1, 8])));
        assert_eq!((tuning.step, tuning.tolerance), (Duration::from_secs(3), 0.05));
        assert_eq!(bench.moves(workload.limit), Ok(Vec::new()));
    }

    #[test]
    fn nonsense_says_what_is_allowed() {
        for (arguments, named) in [
            (&["--connections", "0"][..], &["--connections", "from 1 to 4096"][..]),
            (&["--connections", "1,1"], &["--connections", "none twice"]),
            (&["--tasks", "1,,2"], &["--tasks", "from 1 to 30000"]),
            (&["--tasks", "-4"], &["--tasks", "from 1 to 30000"]),
            (&["--shards", "x"], &["--shards", "from 1 to 1024"]),
            (&["--step", "1ms"], &["--step", "10ms to 1h"]),
            (&["--rounds", "0"], &["--rounds", "1 to 100"]),
            (&["--slo", "p99"], &["--slo", "'=' is missing", "p99=2ms"]),
            (&["--slo", "p95=1ms"], &["--slo", "'p95' is none of", "p99.9"]),
            (&["--slo", "p99=2"], &["--slo", "with a unit"]),
            (&["--slo", "p99=2ms,p99=3ms"], &["--slo", "p99 is given twice"]),
            (&["--find-rate"], &["--slo"]),
            (&["--tolerance", "60%"], &["--tolerance", "0% to 50%"]),
            (&["--duration", "5s"], &["--duration does not apply to a sweep", "--step"]),
            (&["--warm-up", "5s"], &["--warm-up does not apply to a sweep", "--step"]),
            (&["--arrivals", "poisson"], &["--arrivals does not apply to a sweep", "evenly"]),
            (&["--url", "redis://a", "--url", "redis://b"], &["--url", "multiple times"]),
            (&["--rate", "5"], &["--rate does not apply to a sweep", "--find-rate"]),
            (&["--verify"], &["--verify does not apply to a sweep", "hitless bench"]),
            (&["--via", "pigeon"], &["--via", "shard, client, tokio"]),
            (&["--ratio", "0:0"], &["--ratio", "not both 0"]),
            (&["--plot", "x.pdf"], &["--plot", ".svg or .png"]),
            (&["--plot-size", "9"], &["--plot-size", "WIDTHxHEIGHT"]),
        ] {
            let error = parsed(arguments).expect_err("nonsense");
            assert_eq!(error.exit_code(), 2);
            let message = error.to_string();
            assert!(named.iter().all(|name| message.contains(name)), "{arguments:?}: {message}");
        }
        let crowded = parsed(&["--shards", "3", "--cores", "0,1"]).expect("options").split();
        assert!(
            matches!(crowded, Err(Failure::Usage(why)) if why.contains("3 shards need 3 cores, and --cores has 2"))
        );
        let in_tokio = parsed(&["--via", "tokio"]).expect("options").split();
        assert!(
            matches!(in_tokio, Err(Failure::Usage(why)) if why.contains("--via: tokio does not apply to a sweep"))
        );
    }
}
