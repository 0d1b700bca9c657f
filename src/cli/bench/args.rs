//! The options of `hitless bench`, as users write them on the command line.

use std::time::Duration;

use clap::{Args, Command, FromArgMatches, ValueEnum};

use super::keys::{self, KeyArgs};
pub(crate) use super::load_args::LoadArgs;
use super::repeat::RepeatArgs;
use super::workload::WorkloadArgs;
use crate::Maintenance;
use crate::cli::options::limits::{CONNECTIONS_MAX, SHARDS_MAX, count};
use crate::cli::options::login::LoginArgs;
use crate::cli::options::parse;
use crate::cli::options::tls::TlsArgs;
use crate::cli::report::output::OutputArgs;
use crate::cli::units::plural;
use crate::config::Targets;
use crate::load::{Limit, TASKS_MAX, Via, Workload};

/// Options of `hitless bench`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) workload: WorkloadArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// Remove the keys of this run's key space from the server after it
    #[arg(long, help_heading = "Keys")]
    pub(crate) cleanup: bool,
    #[command(flatten)]
    pub(crate) maintenance: MaintenanceArgs,
    #[command(flatten)]
    pub(crate) repeat: RepeatArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// The same options with those of `--versus` applied.
    #[arg(skip)]
    pub(crate) versus: Option<Box<BenchArgs>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint")]
pub(crate) struct EndpointArgs {
    /// Where to send the load: redis://[user:password@]host[:port][/database][?option=value], rediss:// with TLS, or
    /// unix:///path; repeat it for several servers, which get equally many shards [default: endpoints in this
    /// process]
    #[arg(long, value_name = "URL", env = "HITLESS_URL", hide_env_values = true)]
    pub(crate) url: Vec<String>,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// How long a command may take, e.g. 500ms [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,
    /// How long a connection attempt may take, e.g. 500ms [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) connect_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Client")]
pub(crate) struct ClientArgs {
    /// Executors, one thread each; with --via tokio, workers of its runtime, and as many pools of connections [default: one per core that this process may use, within the CPU limit of its
    /// control group; with two or more cores, one is left to the endpoints in this process]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, SHARDS_MAX))]
    pub(crate) shards: Option<u64>,
    /// The cores that executors or workers are pinned to, one each, e.g. 1,3-5
    #[arg(long, value_name = "LIST", value_parser = |s: &str| parse::cores(s).map(CoreList))]
    pub(crate) cores: Option<CoreList>,
    /// Connections per shard [default: 4]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, CONNECTIONS_MAX))]
    pub(crate) connections: Option<u64>,
    /// Concurrent callers per shard
    #[arg(long, value_name = "N", default_value = "64")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, TASKS_MAX as u64))]
    pub(crate) tasks: u64,
    /// Where the callers run: on the shards, on other threads that call through Client, or in a tokio runtime together
    /// with the connections, which needs no io_uring
    #[arg(long, value_name = "WHERE", default_value = "shard")]
    pub(crate) via: ViaArg,
}

impl ClientArgs {
    /// Rejects `--shards` and `--cores` of different numbers.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.shards, &self.cores) {
            (Some(shards), Some(CoreList(cores))) if count(shards) != cores.len() => Err(format!(
                "--shards: got {} for {} in --cores; give one core per shard, or only one of the two options",
                plural(count(shards), "shard"),
                plural(cores.len(), "core")
            )),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Maintenance")]
pub(crate) struct MaintenanceArgs {
    /// Whether the client asks for maintenance notifications and hands its connections off when a server announces a
    /// move [default: auto, or what the URL says]
    #[arg(long, value_name = "MODE")]
    pub(crate) maint: Option<MaintArg>,
    /// Where a MOVING may send the client: same-reach, any, or patterns such as 10.0.0.0/8, .example.com,
    /// 10.0.0.7:6379 [default: same-reach, or what the URL says]
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) targets: Option<Targets>,
    /// Time after the start at which the endpoint in use announces a move to the other of the two in this process;
    /// repeatable [default: halfway through --duration; never with --requests or --maint disabled]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    moving_at: Vec<Duration>,
    /// Never move the endpoints in this process, e.g. to compare with a run that has a move
    #[arg(long, conflicts_with = "moving_at")]
    pub(crate) no_moving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ViaArg {
    Shard,
    Client,
    Tokio,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MaintArg {
    /// Use what the server offers
    Auto,
    /// Fail if the server offers no notifications
    Enabled,
    /// Do not ask for notifications
    Disabled,
}

impl MaintArg {
    pub(crate) fn setting(self) -> Maintenance {
        match self {
            MaintArg::Auto => Maintenance::auto(),
            MaintArg::Enabled => Maintenance::enabled(),
            MaintArg::Disabled => Maintenance::disabled(),
        }
    }
}

/// A list of cores that clap takes as one value.
#[derive(Debug, Clone)]
pub(crate) struct CoreList(pub(crate) Vec<usize>);

impl BenchArgs {
    /// The options with their default values.
    pub(crate) fn defaults() -> Result<BenchArgs, clap::Error> {
        let matches = BenchArgs::augment_args(Command::new("bench")).try_get_matches_from(["bench"])?;
        BenchArgs::from_arg_matches(&matches)
    }

    /// The endpoint's URL, the first one if there are several.
    pub(crate) fn url(&self) -> Option<&str> {
        self.urls().next()
    }

    /// The URLs of all endpoints. An empty URL, as from an empty variable, is ignored.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        self.endpoint.url.iter().map(String::as_str).filter(|url| !url.is_empty())
    }

    /// Whether connections follow a `MOVING` of the endpoints in this process.
    pub(crate) fn follows(&self) -> bool {
        self.maintenance.maint != Some(MaintArg::Disabled)
    }

    fn moves_by_default(&self) -> bool {
        self.url().is_none() && self.follows() && !self.maintenance.no_moving
    }

    /// When the endpoints in this process move, in order.
    pub(crate) fn moves(&self, limit: Limit) -> Result<Vec<Duration>, String> {
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
    pub(crate) fn workload(&self) -> Result<Workload, String> {
        self.cleanup.then(|| keys::check_cleanup(self.load.key_space)).transpose()?;
        let via = match self.client.via {
            ViaArg::Shard => Via::Shard,
            ViaArg::Client => Via::Client,
            ViaArg::Tokio => Via::Tokio,
        };
        let workload = Workload { tasks: count(self.client.tasks), via, ..Workload::default() };
        Ok(self.keys.apply(self.load.apply(workload)?))
    }
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
  hitless bench --url redis://127.0.0.1:6379 --via tokio --shards 2 --connections 2
      Callers and connections in a tokio runtime of two workers, as in a tokio service.
  hitless bench --workload queue --producers 8 --consumers 8 --moving-at 2s --moving-at 4s
      A list that is pushed and popped through two moves, with every element accounted for.
  hitless bench --workload pubsub --publishers 2 --subscribers 8 --channels 16 --rate 5000
      Subscribers that check every message for gaps, duplicates and order.
  hitless bench --rate 20000 --arrivals poisson --warm-up 5s --duration 1m --key-distribution hot:1%:90%
      Random arrivals, most of them on a few hot keys; the first five seconds are not measured.

Figures:
  Percentiles cover the answered commands. If some commands failed, the line \"with failed\" adds them with the
  time that each took. The line \"machine\" shows how late a sleeping thread woke up and how long the shards'
  threads waited for their cores; the report warns you when these delays distort the figures.

Exit codes:
  0 all well · 1 the run finished, but commands failed, nothing was measured, less than 90 % of the
  offered commands were answered, or a check failed: a wrong reply, an element or a message that
  was lost, doubled or reordered, or a connection that was not handed off at a rehearsed MOVING · 2 usage ·
  3 cannot reach the endpoint, the server cannot take this load, or this machine cannot run
  io_uring, which --via tokio with --url does not need · 130 interrupted (143 by SIGTERM), and all well until then";

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
