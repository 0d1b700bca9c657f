//! What a run sends: the resolved options, and the checks across them.

mod error;
#[cfg(test)]
pub(crate) mod goodness_of_fit;
pub(crate) mod keys;
pub(crate) mod kinds;
pub(crate) mod mix;
pub(crate) mod sampling;
pub(crate) mod template;
pub(crate) mod values;

use std::fmt;
use std::time::Duration;

use crate::driver::calls::CALLS_MAX;
pub use error::WorkloadError;
use error::{VERIFIED_KEY_SPACE_MAX, in_range};
use keys::{KEY_PREFIX, KEY_PREFIX_MAX, KEY_SPACE_MAX, KeyDistribution};
use mix::{COMMAND_RATIO_MAX, COMMANDS_MAX, Mix};
use values::{SIGNED_SIZE_MIN, VALUE_SIZE_MAX, ValueForm, ValueSize};

/// The load that a run generates.
///
/// ```
/// use hitless::load::Workload;
///
/// let mut workload = Workload::default();
/// workload.tasks = 16;
/// workload.check(1)?;
/// # Ok::<(), hitless::load::WorkloadError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Workload {
    /// Concurrent callers per shard.
    pub tasks: usize,
    /// Commands that a caller sends together before it waits for their replies (the pipeline depth).
    pub pipeline: usize,
    /// Which commands are sent.
    pub mix: Mix,
    /// How many different keys there are.
    pub key_space: u64,
    /// The prefix of the keys, followed by twelve digits. At most 256 bytes.
    pub key_prefix: String,
    /// The number of the first key.
    pub key_minimum: u64,
    /// The time to live of the values that `SET` of a [`Mix::Ratio`] and the loading of keys write; `None`: they do not
    /// expire.
    pub ttl: Option<Duration>,
    /// How accesses are distributed over the key space.
    pub keys: KeyDistribution,
    /// How large the values are.
    pub values: ValueSize,
    /// The share of each value that a compressor can remove, from 0 to 1; `None`: the values are text without a defined
    /// compressibility.
    pub compressible: Option<f64>,
    /// How long the load runs before it is measured. With `verify`, its replies are checked.
    pub warm_up: Duration,
    /// When the run ends.
    pub limit: Limit,
    /// Commands per second on all shards (an open loop). `None`: every caller sends its next command when the last one
    /// is answered (a closed loop).
    pub rate: Option<u64>,
    /// How the commands of an open loop are distributed over time.
    pub arrivals: Arrivals,
    /// How long a caller of a closed loop waits after a reply before it sends again.
    pub think: Duration,
    /// Where the callers run.
    pub via: Via,
    /// Whether to write every key before a run that reads.
    pub load: bool,
    /// Whether to check every reply.
    pub verify: bool,
    /// The seed of all random choices.
    pub seed: u64,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// After this time.
    Duration(Duration),
    /// After this many commands, over all shards.
    Requests(u64),
}

/// How the commands of an open loop are distributed over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrivals {
    /// Evenly, with the same time from each to the next.
    Even,
    /// At random, as those of many independent users: a Poisson process. Arrivals cluster, so waiting times are longer
    /// than with even arrivals at the same rate.
    Poisson,
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arrivals::Even => "even",
            Arrivals::Poisson => "poisson",
        })
    }
}

/// Where the callers of a run run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// On the shards: no command crosses threads.
    Shard,
    /// On other threads, one for each shard, through [`Client`](crate::Client).
    Client,
    /// In a tokio runtime, on the workers that the connections run on; see `run_in_tokio`.
    #[cfg(feature = "tokio")]
    Tokio,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Via::Shard => "shard",
            Via::Client => "client",
            #[cfg(feature = "tokio")]
            Via::Tokio => "tokio",
        })
    }
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            tasks: 64,
            pipeline: 1,
            mix: Mix::Ratio { set: 1, get: 10 },
            key_space: 100_000,
            key_prefix: KEY_PREFIX.to_owned(),
            key_minimum: 0,
            ttl: None,
            keys: KeyDistribution::Uniform,
            values: ValueSize { min: 64, max: 64 },
            compressible: None,
            warm_up: Duration::ZERO,
            limit: Limit::Duration(Duration::from_secs(10)),
            rate: None,
            arrivals: Arrivals::Even,
            think: Duration::ZERO,
            via: Via::Shard,
            load: true,
            verify: false,
            seed: 1,
        }
    }
}

impl Workload {
    /// Whether the key space is written before the run.
    pub fn loads(&self) -> bool {
        self.load && self.mix.reads()
    }

    /// Whether callers wait between their commands.
    pub(crate) fn waits(&self) -> bool {
        self.rate.is_some() || !self.think.is_zero()
    }

    /// The form of the values.
    pub(crate) fn form(&self) -> ValueForm {
        ValueForm { size: self.values, compressible: self.compressible }
    }

    /// Checks the workload for a client with this many shards.
    pub fn check(&self, shards: usize) -> Result<(), WorkloadError> {
        in_range("tasks", self.tasks as u64, 1, TASKS_MAX as u64)?;
        in_range("pipeline", self.pipeline as u64, 1, PIPELINE_MAX as u64)?;
        if self.tasks.saturating_mul(self.pipeline) > CALLS_MAX {
            return Err(WorkloadError::TooManyCalls { tasks: self.tasks, pipeline: self.pipeline });
        }
        in_range("key-space", self.key_space, 1, KEY_SPACE_MAX)?;
        in_range("key-minimum", self.key_minimum, 0, KEY_SPACE_MAX - self.key_space)?;
        in_range("key-prefix", self.key_prefix.len() as u64, 0, KEY_PREFIX_MAX as u64)?;
        in_range("value-size", self.values.max as u64, 0, VALUE_SIZE_MAX as u64)?;
        in_range("value-size", self.values.min as u64, 0, self.values.max as u64)?;
        if let Some(rate) = self.rate {
            in_range("rate", rate, 1, RATE_MAX)?;
        }
        if let Some((value, allowed)) = self.keys.out_of_range(self.key_space) {
            return Err(WorkloadError::Range { option: "key-distribution", value, allowed });
        }
        match self.limit {
            Limit::Requests(requests) => in_range("requests", requests, 1, u64::MAX)?,
            Limit::Duration(duration) if duration.is_zero() => {
                in_range("duration", 0, 1, u64::MAX)?;
            }
            Limit::Duration(_) => {}
        }
        if let Some(share) = self.compressible.filter(|share| !(0.0..=1.0).contains(share)) {
            let (value, allowed) = (share.to_string(), "0 to 1".to_owned());
            return Err(WorkloadError::Range { option: "value-compressible", value, allowed });
        }
        self.check_pace()?;
        match &self.mix {
            Mix::Ratio { set: 0, get: 0 } => Err(WorkloadError::NoCommands),
            _ if self.verify => self.check_verified(shards),
            Mix::Ratio { .. } => Ok(()),
            Mix::Commands(shares) => {
                in_range("command", shares.len() as u64, 1, COMMANDS_MAX as u64)?;
                let most = u64::from(COMMAND_RATIO_MAX);
                let mut ratios = shares.iter().map(|share| u64::from(share.ratio));
                ratios.try_for_each(|ratio| in_range("command-ratio", ratio, 1, most))
            }
        }
    }

    fn check_pace(&self) -> Result<(), WorkloadError> {
        match self.rate {
            Some(_) if !self.think.is_zero() => Err(WorkloadError::ThinkRate),
            None if self.arrivals != Arrivals::Even => Err(WorkloadError::ArrivalsWithoutRate),
            _ => Ok(()),
        }
    }

    fn check_verified(&self, shards: usize) -> Result<(), WorkloadError> {
        if matches!(self.mix, Mix::Commands(_)) {
            return Err(WorkloadError::VerifyCommand);
        }
        if self.ttl.is_some() {
            return Err(WorkloadError::VerifyTtl);
        }
        if self.values.min < SIGNED_SIZE_MIN {
            return Err(WorkloadError::VerifySize(self.values.min));
        }
        let callers = (shards * self.tasks) as u64;
        if !(callers..=VERIFIED_KEY_SPACE_MAX).contains(&self.key_space) {
            return Err(WorkloadError::VerifyKeySpace { keys: self.key_space, callers });
        }
        Ok(())
    }
}

/// The most callers of a shard, each with one call in flight.
pub(crate) const TASKS_MAX: usize = CALLS_MAX;
/// The most commands that one caller sends together.
pub(crate) const PIPELINE_MAX: usize = 10_000;
/// The highest rate, in commands per second.
pub(crate) const RATE_MAX: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use mix::WeightedCommand;

    fn commands(shares: &[(&str, u32)]) -> Mix {
        let share = |&(text, ratio): &(&str, u32)| WeightedCommand {
            command: text.parse().expect("a command"),
            ratio,
        };
        Mix::Commands(shares.iter().map(share).collect())
    }

    fn message(change: impl FnOnce(&mut Workload)) -> String {
        let mut workload = Workload::default();
        change(&mut workload);
        workload.check(2).expect_err("nonsense").to_string()
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Workload::default().check(2), Ok(()));
        assert!(Workload::default().loads());
    }

    #[test]
    fn invalid_workloads_name_the_option_and_the_range() {
        assert!(message(|w| w.tasks = 0).contains("--tasks: 0 is out of range; allowed: 1 to"));
        assert!(message(|w| w.pipeline = 1 << 20).contains("--pipeline"));
        let crowded = message(|w| (w.tasks, w.pipeline) = (4000, 10));
        assert!(crowded.contains("40000 calls") && crowded.contains("--tasks 1 to 3000"), "{crowded}");
        let full = Workload { tasks: 3000, pipeline: 10, ..Workload::default() };
        assert_eq!(full.check(1), Ok(()));
        assert!(message(|w| w.key_minimum = KEY_SPACE_MAX - 99_999).contains("--key-minimum"));
        assert!(message(|w| w.key_prefix = "x".repeat(257)).contains("--key-prefix: 257 "));
        assert!(message(|w| w.key_space = KEY_SPACE_MAX + 1).contains("to 1000000000000"));
        assert!(message(|w| w.values = ValueSize { min: 2, max: 1 }).contains("--value-size"));
        assert!(message(|w| w.limit = Limit::Duration(Duration::ZERO)).contains("--duration"));
        assert!(message(|w| w.limit = Limit::Requests(0)).contains("--requests"));
        assert!(message(|w| w.rate = Some(0)).contains("--rate"));
        for exponent in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let keys = KeyDistribution::Zipf { exponent };
            assert!(message(|w| w.keys = keys).contains("--key-distribution"));
        }
        assert!(message(|w| w.mix = Mix::Ratio { set: 0, get: 0 }).contains("--ratio"));
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(message(|w| w.compressible = Some(share)).contains("--value-compressible"));
        }
        assert!(message(|w| w.mix = Mix::Commands(Vec::new())).contains("--command: 0 "));
        assert!(message(|w| w.mix = commands(&[("PING", 1); 65])).contains("to 64"));
        assert!(message(|w| w.mix = commands(&[("PING", 0)])).contains("--command-ratio: 0 "));
        assert!(message(|w| w.arrivals = Arrivals::Poisson).contains("give --rate"));
        let thinking = |w: &mut Workload| (w.rate, w.think) = (Some(1), Duration::from_secs(1));
        assert!(message(thinking).contains("--think"));
        let wide = KeyDistribution::Gaussian { deviation: Some(1e6) };
        assert!(message(|w| w.keys = wide).contains("--key-distribution: 1000000 "));
    }

    #[test]
    fn verify_rejects_what_it_cannot_check() {
        let verified = |change: fn(&mut Workload)| {
            message(|w| {
                w.verify = true;
                change(w);
            })
        };
        assert!(verified(|w| w.values.min = 8).contains("31 to"));
        assert!(verified(|w| w.ttl = Some(Duration::from_secs(1))).contains("--ttl"));
        assert!(verified(|w| w.key_space = 127).contains("128 to"));
        let template = |w: &mut Workload| {
            w.mix = commands(&[("PING", 1)]);
        };
        assert!(verified(template).contains("--command"));
    }

    #[test]
    fn only_runs_that_read_load_keys() {
        let loads = |mix: Mix| Workload { mix, ..Workload::default() }.loads();
        assert!(!loads(Mix::Ratio { set: 1, get: 0 }));
        assert!(!loads(commands(&[("LPUSH {key} x", 1)])));
        assert!(loads(commands(&[("get {key}", 1)])));
        assert!(!Workload { load: false, ..Workload::default() }.loads());
    }
}
