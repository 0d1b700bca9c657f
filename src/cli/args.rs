//! The options of `hitless bench`, as they are written on the command line.

use std::time::Duration;

use clap::{Args, Command, FromArgMatches, ValueEnum};

use super::keys::{self, KeyArgs};
use super::login::LoginArgs;
use super::output::OutputArgs;
use super::parse;
use super::repeat::RepeatArgs;
use super::tls::TlsArgs;
use super::units::plural;
use crate::Maintenance;
use crate::config::Targets;
use crate::load::{
    Arrivals, COMMAND_RATIO_MAX, KEY_SPACE_MAX, KeyDistribution, Limit, Mix, PIPELINE_MAX, RATE_MAX, Share,
    TASKS_MAX, Template, ValueSize, Via, Workload, WorkloadError,
};

/// No machine has more cores than this.
pub(super) const SHARDS_MAX: u64 = 1024;
pub(super) const CONNECTIONS_MAX: u64 = 4096;

/// Options of `hitless bench`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
    /// Remove the keys of this run's key space from the server after it
    #[arg(long, help_heading = "Keys")]
    pub(super) cleanup: bool,
    #[command(flatten)]
    pub(super) maintenance: MaintenanceArgs,
    #[command(flatten)]
    pub(super) repeat: RepeatArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// The same options with those of `--versus` applied.
    #[arg(skip)]
    pub(super) other: Option<Box<BenchArgs>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint")]
pub(super) struct EndpointArgs {
    /// Where to send the load: redis://[user:password@]host[:port][/database][?option=value], rediss:// with TLS, or
    /// unix:///path; repeat it for several servers, which get equally many shards [default: endpoints in this
    /// process]
    #[arg(long, value_name = "URL", env = "HITLESS_URL", hide_env_values = true)]
    pub(super) url: Vec<String>,
    #[command(flatten)]
    pub(super) login: LoginArgs,
    /// How long a command may take, e.g. 500ms [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(super) timeout: Option<Duration>,
    /// How long a connection attempt may take, e.g. 500ms [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(super) connect_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Client")]
pub(super) struct ClientArgs {
    /// Executors, one thread each [default: one per core that this process may use, within the CPU limit of its
    /// control group; with two or more cores, one is left to the endpoints in this process]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, SHARDS_MAX))]
    pub(super) shards: Option<u64>,
    /// The cores that executors are pinned to, one each, e.g. 1,3-5
    #[arg(long, value_name = "LIST", value_parser = |s: &str| parse::cores(s).map(Cores))]
    pub(super) cores: Option<Cores>,
    /// Connections per shard [default: 4]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, CONNECTIONS_MAX))]
    pub(super) connections: Option<u64>,
    /// Concurrent callers per shard
    #[arg(long, value_name = "N", default_value = "64")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, TASKS_MAX as u64))]
    pub(super) tasks: u64,
    /// Where the callers run: on the shards, or on other threads that call through Client
    #[arg(long, value_name = "WHERE", default_value = "shard")]
    pub(super) via: ViaArg,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct LoadArgs {
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
    key_space: u64,
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

impl ClientArgs {
    /// Rejects `--shards` and `--cores` of different numbers.
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.shards, &self.cores) {
            (Some(shards), Some(Cores(cores))) if count(shards) != cores.len() => Err(format!(
                "--shards: got {shards} for {} in --cores; give one core per shard, or only one of the two options",
                plural(cores.len(), "core")
            )),
            _ => Ok(()),
        }
    }
}

impl LoadArgs {
    /// Which commands are sent.
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
        let share = |(command, ratio): (&Template, Option<u64>)| Share {
            command: command.clone(),
            // The range of the option ends far below `u32::MAX`.
            ratio: ratio.map_or(1, |ratio| u32::try_from(ratio).unwrap_or(u32::MAX)),
        };
        Ok(Mix::Commands(commands.iter().zip(ratios).map(share).collect()))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArrivalsArg {
    /// At equal intervals
    Even,
    /// At random intervals, like independent users
    Poisson,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Maintenance")]
pub(super) struct MaintenanceArgs {
    /// Whether the client asks for maintenance notifications and hands its connections off when a server announces a
    /// move [default: auto, or what the URL says]
    #[arg(long, value_name = "MODE")]
    pub(super) maint: Option<MaintArg>,
    /// Where a MOVING may send the client: same-reach, any, or patterns such as 10.0.0.0/8, .example.com,
    /// 10.0.0.7:6379 [default: same-reach, or what the URL says]
    #[arg(long, value_name = "PATTERNS")]
    pub(super) targets: Option<Targets>,
    /// Time after the start at which the endpoint in use announces a move to the other of the two in this process;
    /// repeatable [default: halfway through --duration; never with --requests or --maint disabled]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    moving_at: Vec<Duration>,
    /// Never move the endpoints in this process, e.g. to compare with a run that has a move
    #[arg(long, conflicts_with = "moving_at")]
    pub(super) no_moving: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ViaArg {
    Shard,
    Client,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MaintArg {
    /// Use what the server offers
    Auto,
    /// Fail if the server offers no notifications
    Enabled,
    /// Do not ask for notifications
    Disabled,
}

impl MaintArg {
    pub(super) fn setting(self) -> Maintenance {
        match self {
            MaintArg::Auto => Maintenance::auto(),
            MaintArg::Enabled => Maintenance::enabled(),
            MaintArg::Disabled => Maintenance::disabled(),
        }
    }
}

/// A list of cores that clap takes as one value.
#[derive(Debug, Clone)]
pub(super) struct Cores(pub(super) Vec<usize>);

impl BenchArgs {
    /// The options with their default values.
    pub(super) fn unsaid() -> Result<BenchArgs, clap::Error> {
        let matches = BenchArgs::augment_args(Command::new("bench")).try_get_matches_from(["bench"])?;
        BenchArgs::from_arg_matches(&matches)
    }

    /// The endpoint's URL, the first one if there are several.
    pub(super) fn url(&self) -> Option<&str> {
        self.urls().next()
    }

    /// The URLs of all endpoints. An empty URL, as from an empty variable, is ignored.
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        self.endpoint.url.iter().map(String::as_str).filter(|url| !url.is_empty())
    }

    /// Whether connections follow a `MOVING` of the endpoints in this process.
    pub(super) fn follows(&self) -> bool {
        self.maintenance.maint != Some(MaintArg::Disabled)
    }

    fn moves_by_default(&self) -> bool {
        self.url().is_none() && self.follows() && !self.maintenance.no_moving
    }

    /// When the endpoints in this process move, in order.
    pub(super) fn moves(&self, limit: Limit) -> Result<Vec<Duration>, String> {
        let given = &self.maintenance.moving_at;
        if self.url().is_some() && !given.is_empty() {
            return Err("--moving-at: --url names a server, and only the endpoints in this process move on command; \
                        put `hitless rehearse --upstream URL` in front of the server and send REHEARSE MOVING there"
                .to_owned());
        }
        let mut at = given.clone();
        at.sort_unstable();
        if let Some((twice, _)) = at.iter().zip(at.iter().skip(1)).find(|(one, next)| one == next) {
            return Err(format!(
                "--moving-at: {} is given twice; give each time once",
                humantime::format_duration(*twice)
            ));
        }
        match (limit, at.last()) {
            (Limit::Duration(end), Some(&last)) if last >= end => {
                let (last, end) = (humantime::format_duration(last), humantime::format_duration(end));
                Err(format!(
                    "--moving-at: {last} is not before the end of the run at {end}; raise --duration"
                ))
            }
            (Limit::Duration(end), None) if self.moves_by_default() => Ok(vec![end / 2]),
            _ => Ok(at),
        }
    }

    /// The load that the options describe.
    pub(super) fn workload(&self) -> Result<Workload, String> {
        let load = &self.load;
        let defaults = Workload::default();
        if load.arrivals.is_some() && load.rate.is_none() {
            // clap cannot check this by `requires`: a sweep has no --rate to name.
            return Err(WorkloadError::ArrivalsWithoutRate.to_string());
        }
        self.cleanup.then(|| keys::check_cleanup(load.key_space)).transpose()?;
        Ok(self.keys.apply(Workload {
            tasks: count(self.client.tasks),
            via: match self.client.via {
                ViaArg::Shard => Via::Shard,
                ViaArg::Client => Via::Client,
            },
            limit: match (load.requests, load.duration) {
                (Some(requests), _) => Limit::Requests(requests),
                (None, Some(duration)) => Limit::Duration(duration),
                (None, None) => defaults.limit,
            },
            rate: load.rate,
            arrivals: match load.arrivals {
                Some(ArrivalsArg::Poisson) => Arrivals::Poisson,
                Some(ArrivalsArg::Even) | None => Arrivals::Even,
            },
            warm_up: load.warm_up.unwrap_or_default(),
            think: load.think.unwrap_or_default(),
            mix: load.mix()?,
            key_space: load.key_space,
            keys: load.key_distribution,
            values: load.value_size,
            compressible: load.value_compressible,
            pipeline: count(load.pipeline),
            load: !load.no_load,
            verify: load.verify,
            seed: load.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
            ..defaults
        }))
    }
}

/// The number of an option as a size. The ranges of all options end far below `usize::MAX`.
pub(super) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const EXAMPLES: &str = "\
Examples:
  hitless bench
      Ten seconds of load on an endpoint in this process, which moves halfway through.
  hitless bench --verify --moving-at 2s --moving-at 4s --moving-at 6s
      Three moves between two endpoints, with every reply checked.
  hitless bench --url redis://127.0.0.1:6379 --connections 8 --duration 30s
      A real server, with eight connections per shard.
  hitless bench --url rediss://redis.example:6380 --tls-ca ca.pem
      A real server with TLS, whose certificate is signed by ca.pem.
  hitless bench --tls --verify
      The endpoints in this process speak TLS, and the client follows their move over TLS.
  hitless bench --url redis://127.0.0.1:6379 --rate 50000 --json report.json
      An open loop of 50,000 commands a second; latencies include the time that a command waits to be sent.
  hitless bench --url redis://one.example --url redis://other.example --shards 4
      Two servers with two shards each, and figures for each server.
  hitless bench --verify --requests 1000000 --value-size 64-1024
      A million commands, every reply checked.
  hitless bench --plot run.svg --plot run.png --hdr run.hlog --memtier-json run.json
      The results as pictures and in the formats of other tools.
  hitless bench --json new.json --compare old.json
      Compare with an earlier run; run both with --repeat 5 to tell a difference from noise.
  hitless bench --url redis://127.0.0.1:6379 --repeat 5 --versus '--connections 8'
      Five alternating runs of each, and the effect of 8 connections.
  hitless bench --command 'LPUSH {key} {value}' --key-distribution zipf:0.99
      Your own command, on keys of which some are hot.
  hitless bench --command 'GET {key}' --command-ratio 9 --command 'INCR n:{random:1-99}' --command-ratio 1
      A mix of commands: nine of the first to one of the second.
  hitless bench --rate 20000 --arrivals poisson --warm-up 5s --duration 1m --key-distribution hot:1%:90%
      Random arrivals, most of them on a few hot keys; the first five seconds are not measured.

Figures:
  Percentiles cover the answered commands. If some commands failed, the line \"with failed\" adds them with the
  time that each took. The line \"machine\" shows how late a sleeping thread woke up and how long the shards'
  threads waited for their cores; the report warns you when these delays distort the figures.

Exit codes:
  0 all well · 1 the run finished, but commands failed, nothing was measured, less than 90 % of the
  offered commands were answered, or a check failed: a wrong reply, or a connection that was not
  handed off at a rehearsed MOVING · 2 usage ·
  3 cannot reach the endpoint, the server cannot take this load, or this machine cannot run
  io_uring · 130 interrupted (143 by SIGTERM), and all well until then";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn moves(arguments: &[&str]) -> Result<Vec<Duration>, String> {
        let all = ["bench"].iter().chain(arguments);
        let args = Only::try_parse_from(all).expect("options").args;
        args.moves(args.workload().expect("a workload").limit)
    }

    #[test]
    fn embedded_endpoints_move_halfway_by_default() {
        let (second, nothing) = (Duration::from_secs(1), Ok(Vec::new()));
        assert_eq!(moves(&[]), Ok(vec![second * 5]));
        assert_eq!(moves(&["--duration", "4s"]), Ok(vec![second * 2]));
        assert_eq!(moves(&["--maint", "enabled"]), Ok(vec![second * 5]));
        assert_eq!(moves(&["--maint", "disabled"]), nothing);
        assert_eq!(moves(&["--requests", "100"]), nothing);
        assert_eq!(moves(&["--url", "redis://localhost"]), nothing);
        assert_eq!(moves(&["--no-moving"]), nothing);
        assert_eq!(moves(&["--moving-at", "3s", "--moving-at", "1s"]), Ok(vec![second, second * 3]));
        assert_eq!(moves(&["--moving-at", "1s", "--maint", "disabled"]), Ok(vec![second]));
        assert_eq!(moves(&["--moving-at", "1h", "--requests", "100"]), Ok(vec![second * 3600]));
    }

    #[test]
    fn ratios_pair_with_commands_by_order() {
        let mix = |arguments: &[&str]| {
            let all = ["bench"].iter().chain(arguments);
            Only::try_parse_from(all).expect("options").args.load.mix()
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

    #[test]
    fn impossible_moves_are_rejected() {
        for (arguments, why) in [
            (&["--moving-at", "1s", "--url", "redis://h"][..], "hitless rehearse --upstream"),
            (&["--moving-at", "10s"], "10s is not before the end of the run at 10s; raise --duration"),
            (&["--moving-at", "2s", "--duration", "1s"], "2s is not before"),
            (&["--moving-at", "2s", "--moving-at", "1s", "--moving-at", "2s"], "2s is given twice"),
        ] {
            let error = moves(arguments).expect_err("cannot happen");
            assert!(error.starts_with("--moving-at: ") && error.contains(why), "{error}");
        }
    }
}
