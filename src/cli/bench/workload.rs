//! `--workload`: which load a run generates, and which options go with it.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum};

use crate::cli::options::limits::count;
use crate::cli::options::parse;
use crate::load::{DeliveryKind, QueueType};

#[derive(Debug, Args)]
#[command(next_help_heading = "Workload")]
pub(crate) struct WorkloadArgs {
    /// What to send: kv (commands on keys), queue (elements through a list or a stream, each of which must be found once)
    /// or pubsub (messages to subscribers, which check each of them). --duration, --requests (a number of elements),
    /// --warm-up, --rate (elements per second), --key-prefix, and the options of outputs and comparisons apply to all
    /// three
    #[arg(long, value_name = "KIND", default_value = "kv")]
    workload: WorkloadArg,
    /// With --workload queue: tasks that push elements, over all shards [default: 4]
    #[arg(long, value_name = "N", value_parser = tasks)]
    producers: Option<u64>,
    /// With --workload queue: tasks that take elements, over all shards; each holds a connection of its own while it
    /// waits [default: 4]
    #[arg(long, value_name = "N", value_parser = tasks)]
    consumers: Option<u64>,
    /// With --workload queue: what holds the elements: list (RPUSH and BLPOP) or stream (XADD, XREADGROUP and XACK), which
    /// needs --url [default: list]
    #[arg(long, value_name = "TYPE")]
    queue: Option<QueueArg>,
    /// With --workload pubsub: tasks that publish messages, over all shards [default: 1]
    #[arg(long, value_name = "N", value_parser = tasks)]
    publishers: Option<u64>,
    /// With --workload pubsub: subscriptions, each to all channels, over all shards [default: 4]
    #[arg(long, value_name = "N", value_parser = tasks)]
    subscribers: Option<u64>,
    /// With --workload pubsub: channels, to which each publisher sends in turn [default: 4]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, CHANNELS_MAX))]
    channels: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkloadArg {
    /// Commands on keys, as --ratio or --command say
    Kv,
    /// Producers and consumers of a list or a stream
    Queue,
    /// Publishers and subscribers
    Pubsub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueueArg {
    /// RPUSH, and BLPOP with a timeout
    List,
    /// XADD, and XREADGROUP with BLOCK and XACK, in a consumer group of the run
    Stream,
}

impl WorkloadArgs {
    /// The deliveries that the options ask for; `None` for commands on keys.
    pub(crate) fn delivery(&self) -> Option<DeliveryKind> {
        let or = |given: Option<u64>, default| given.map_or(default, count);
        match self.workload {
            WorkloadArg::Kv => None,
            WorkloadArg::Queue => Some(DeliveryKind::Queue {
                producers: or(self.producers, 4),
                consumers: or(self.consumers, 4),
                queue: match self.queue {
                    Some(QueueArg::Stream) => QueueType::Stream,
                    Some(QueueArg::List) | None => QueueType::List,
                },
            }),
            WorkloadArg::Pubsub => Some(DeliveryKind::PubSub {
                publishers: or(self.publishers, 1),
                subscribers: or(self.subscribers, 4),
                channels: or(self.channels, 4),
            }),
        }
    }

    /// The bound of exclusive connections that the run needs, if it is above the default: all consumers may wait at a time, and
    /// a client may bind all of them to one shard.
    pub(super) fn exclusive_connections(&self) -> Option<usize> {
        match self.delivery()? {
            DeliveryKind::Queue { consumers, .. } => {
                Some(consumers).filter(|consumers| *consumers > EXCLUSIVE_DEFAULT)
            }
            DeliveryKind::PubSub { .. } => None,
        }
    }
}

/// Rejects options that do not apply to the workload.
///
/// # Errors
/// The error names the option, and the workload that it belongs to.
pub(crate) fn check(bench: &Command, matches: &ArgMatches) -> Result<(), String> {
    let Some(workload) = matches.try_get_one::<WorkloadArg>("workload").ok().flatten().copied() else {
        return Ok(());
    };
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    for argument in bench.get_arguments().filter(|argument| is_given(argument.get_id().as_str())) {
        let (id, heading) = (argument.get_id().as_str(), argument.get_help_heading());
        let goes_with = workloads(id, heading);
        if !goes_with.contains(&workload) {
            let long = argument.get_long().unwrap_or(id);
            let names: Vec<&str> = goes_with.iter().map(|workload| workload.name()).collect();
            let (given, names) = (workload.name(), names.join(" or "));
            let why = why(id).map_or_else(String::new, |why| format!("; {why}"));
            return Err(format!("--{long}: it needs --workload {names}, and the workload is {given}{why}"));
        }
    }
    Ok(())
}

impl WorkloadArg {
    fn name(self) -> &'static str {
        match self {
            WorkloadArg::Kv => "kv",
            WorkloadArg::Queue => "queue",
            WorkloadArg::Pubsub => "pubsub",
        }
    }
}

/// The workloads that an option applies to.
fn workloads(id: &str, heading: Option<&str>) -> &'static [WorkloadArg] {
    use WorkloadArg::{Kv, Pubsub, Queue};
    match (id, heading) {
        ("producers" | "consumers" | "queue", _) => &[Queue],
        ("publishers" | "subscribers" | "channels", _) => &[Pubsub],
        ("cleanup", _) => &[Kv, Queue],
        ("duration" | "requests" | "warm_up" | "rate" | "key_prefix", _) => &[Kv, Queue, Pubsub],
        ("tasks" | "memtier_json" | "live", _) | (_, Some("Load" | "Keys")) => &[Kv],
        _ => &[Kv, Queue, Pubsub],
    }
}

/// Why an option that could be expected does not apply to every workload.
fn why(id: &str) -> Option<&'static str> {
    match id {
        "memtier_json" => {
            Some("memtier_benchmark's format has no place for elements or messages: give --json or --hdr")
        }
        "live" => Some("only runs of commands show progress"),
        "verify" => Some("queues and subscribers are always checked"),
        _ => None,
    }
}

fn tasks(text: &str) -> Result<u64, String> {
    parse::number(text, 1, TASKS_MAX)
}

/// The most tasks of a kind: a consumer holds a connection, of which a shard may have this many.
const TASKS_MAX: u64 = 4096;
/// How many exclusive connections a shard may have by default.
const EXCLUSIVE_DEFAULT: usize = 16;
/// The most channels: each subscription keeps an account for each of them.
const CHANNELS_MAX: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::args::BenchArgs;

    fn checked(arguments: &[&str]) -> Result<(), String> {
        let command = BenchArgs::augment_args(Command::new("bench"));
        let all = ["bench"].iter().chain(arguments);
        let matches = command.clone().try_get_matches_from(all).expect("options");
        check(&command, &matches)
    }

    #[test]
    fn options_of_another_workload_are_refused() {
        for (arguments, option, needed) in [
            (&["--consumers", "2"][..], "--consumers", "--workload queue, and the workload is kv"),
            (&["--queue", "list"], "--queue", "--workload queue"),
            (&["--channels", "2"], "--channels", "--workload pubsub"),
            (&["--workload", "queue", "--subscribers", "2"], "--subscribers", "--workload pubsub"),
            (&["--workload", "pubsub", "--producers", "2"], "--producers", "--workload queue"),
            (&["--workload", "pubsub", "--cleanup"], "--cleanup", "--workload kv or queue"),
            (&["--workload", "queue", "--verify"], "--verify", "--workload kv"),
            (&["--workload", "queue", "--tasks", "8"], "--tasks", "--workload kv"),
            (&["--workload", "queue", "--ttl", "8s"], "--ttl", "--workload kv"),
            (&["--workload", "pubsub", "--memtier-json", "a"], "--memtier-json", "has no place for"),
            (&["--workload", "pubsub", "--live"], "--live", "only runs of commands show progress"),
        ] {
            let error = checked(arguments).expect_err(option);
            assert!(error.starts_with(&format!("{option}: ")) && error.contains(needed), "{error}");
        }
    }

    #[test]
    fn common_options_go_with_every_workload() {
        let common = "--url redis://h --via client --shards 2 --connections 2 --duration 2s --warm-up 1s --rate 5k \
                      --key-prefix a: --maint auto --json - --quiet --hdr a.hlog --plot a.svg --plot-size 900x600 \
                      --repeat 5 --compare a.json";
        let common: Vec<&str> = common.split(' ').collect();
        for workload in ["kv", "queue", "pubsub"] {
            assert_eq!(checked(&[&["--workload", workload], &common[..]].concat()), Ok(()));
        }
        assert_eq!(checked(&["--workload", "queue", "--moving-at", "1s", "--cleanup"]), Ok(()));
    }
}
