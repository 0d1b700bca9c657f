//! One step of a sweep: it starts a client with the setting's shards and connections, warms up, and measures. Also
//! measures the effect of a handoff.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::future::block_on;

use super::host::{NetworkCounts, is_local, server_cpu};
use super::row::{Sample, Setting};
use crate::load::machine::{ThreadTimes, thread_times};
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::report::Report;
use crate::load::run::moves::Moves;
use crate::load::run::{LoadError, run};
use crate::load::workload::{Limit, Workload};
use crate::rehearsal::Endpoints;
use crate::{Client, Config, Error, ResolvedConfig, cmd};

/// What all steps of a tuning run share.
#[derive(Debug)]
pub(crate) struct StepRunner<'a> {
    /// The configuration, without the setting.
    pub(crate) config: Config,
    /// The resolved configuration with the most shards of any setting.
    pub(crate) effective: ResolvedConfig,
    /// The workload, without the callers and the limit.
    pub(crate) workload: Workload,
    /// The in-process endpoints, if there are any; the CPU time of their thread can be read.
    pub(crate) endpoints: Option<&'a Endpoints>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// Why a step returned no sample.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The client did not connect in time.
    Unreachable(Error),
    /// The load could not be run.
    Load(LoadError),
    /// The user stopped the run.
    Stopped,
}

/// The cost of a handoff of every connection at one setting.
#[derive(Debug)]
pub(crate) struct HandoffEffect {
    /// A run without a handoff.
    pub(crate) steady: Report,
    /// A run of the same length with one `MOVING` in its middle.
    pub(crate) moved: Report,
}

/// The length of the warm-up of a step of this length.
pub(crate) fn warm_up(length: Duration) -> Duration {
    (length / WARM_UP_PART).min(WARM_UP_MAX)
}

impl StepRunner<'_> {
    /// Measures a setting for `length`. `loads`: writes the keys first.
    pub(crate) fn step(
        &self,
        setting: Setting,
        round: usize,
        length: Duration,
        loads: bool,
    ) -> Result<Sample, StepError> {
        self.with_client(setting, |client, watch| {
            self.run_load(client, watch, &LoadRun { loads, ..LoadRun::warm_up(setting, length) })?;
            let before = self.readings(client);
            let report = self.run_load(client, watch, &LoadRun::closed(setting, length))?;
            let after = self.readings(client);
            Ok(sample(round, &report, &before, &after))
        })
    }

    /// Runs an open loop at `rate` commands per second and returns its report.
    pub(crate) fn at_rate(&self, setting: Setting, rate: u64, length: Duration) -> Result<Report, StepError> {
        self.with_client(setting, |client, watch| {
            let rate = Some(rate);
            self.run_load(client, watch, &LoadRun { rate, ..LoadRun::warm_up(setting, length) })?;
            self.run_load(client, watch, &LoadRun { rate, ..LoadRun::closed(setting, length) })
        })
    }

    /// Measures the effect of a `MOVING` of `endpoints`, which must be those of the configuration.
    pub(crate) fn handoff(
        &self,
        setting: Setting,
        length: Duration,
        endpoints: &Endpoints,
    ) -> Result<HandoffEffect, StepError> {
        self.with_client(setting, |client, watch| {
            self.run_load(client, watch, &LoadRun::warm_up(setting, length))?;
            let steady = self.run_load(client, watch, &LoadRun::closed(setting, length))?;
            let moves = Moves::new(endpoints, vec![length / 2], true);
            let moved = LoadRun { moves: Some(&moves), ..LoadRun::closed(setting, length) };
            let moved = self.run_load(client, watch, &moved)?;
            Ok(HandoffEffect { steady, moved })
        })
    }

    fn with_client<T>(
        &self,
        setting: Setting,
        work: impl FnOnce(&Client, &Arc<HandoffWatch>) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let watch = Arc::new(HandoffWatch::new(setting.shards));
        let listener = watch.clone();
        let config = self.sized(setting).on_event(move |shard, event| listener.note(shard, event));
        let client = Client::start(config).map_err(StepError::Unreachable)?;
        let timeout = self.effective.connect_timeout() + CONNECT_SLACK;
        let result = match block_on(client.ready(timeout)) {
            Ok(()) => work(&client, &watch),
            Err(error) => Err(StepError::Unreachable(error)),
        };
        // The sample is complete; connections that do not close in time do not change it.
        if let Err(error) = block_on(client.shutdown(CLOSE_GRACE)) {
            tracing::debug!(%error, "the client did not shut down in order");
        }
        result
    }

    /// The configuration with this setting, on the first of the configured cores if there are any.
    fn sized(&self, setting: Setting) -> Config {
        let config = self.config.clone().connections_per_shard(setting.connections);
        let cores: Option<Vec<usize>> =
            self.effective.shard_cores().iter().take(setting.shards).copied().collect();
        match cores {
            Some(cores) if cores.len() == setting.shards => config.cores(cores),
            _ => config.shards(setting.shards),
        }
    }

    fn run_load(
        &self,
        client: &Client,
        watch: &Arc<HandoffWatch>,
        load: &LoadRun<'_>,
    ) -> Result<Report, StepError> {
        let workload = Workload {
            tasks: load.setting.tasks,
            limit: Limit::Duration(load.length),
            rate: load.rate,
            // An open loop has no think time.
            think: if load.rate.is_some() { Duration::ZERO } else { self.workload.think },
            load: load.loads && self.workload.load,
            ..self.workload.clone()
        };
        let report =
            run(client, &workload, watch, load.moves, &self.stop, |_| {}).map_err(StepError::Load)?;
        match self.stop.load(Ordering::Relaxed) {
            true => Err(StepError::Stopped),
            false => Ok(report),
        }
    }

    fn readings(&self, client: &Client) -> Readings {
        let endpoints = self.endpoints.and_then(|endpoints| endpoints.with_server(|_| thread_times()).ok());
        let server = match endpoints {
            Some(times) => times,
            None => {
                // A value that the server does not report, or refuses to, is absent.
                let info = block_on(client.run::<String>(&cmd("INFO").arg("cpu"))).ok();
                let ran = info.as_deref().and_then(server_cpu);
                ran.map(|ran| ThreadTimes { ran, waited: Duration::ZERO })
            }
        };
        Readings { server, network: NetworkCounts::read() }
    }
}

/// One run of the load.
#[derive(Debug)]
struct LoadRun<'a> {
    setting: Setting,
    length: Duration,
    /// `None`: a closed loop.
    rate: Option<u64>,
    /// Whether the keys are written before the run.
    loads: bool,
    moves: Option<&'a Moves<'a>>,
}

impl LoadRun<'_> {
    fn closed(setting: Setting, length: Duration) -> Self {
        LoadRun { setting, length, rate: None, loads: false, moves: None }
    }

    fn warm_up(setting: Setting, length: Duration) -> Self {
        LoadRun::closed(setting, warm_up(length))
    }
}

/// Counters before or after a step.
#[derive(Debug)]
struct Readings {
    server: Option<ThreadTimes>,
    network: NetworkCounts,
}

fn sample(round: usize, report: &Report, before: &Readings, after: &Readings) -> Sample {
    // The threads are idle between a reading and the run, so the run's duration is the right divisor.
    let elapsed = Duration::try_from_secs_f64(report.elapsed_seconds).unwrap_or_default();
    let busiest = report
        .shards
        .iter()
        .max_by(|one, other| one.busy_share.unwrap_or(0.0).total_cmp(&other.busy_share.unwrap_or(0.0)));
    let server = after.server.zip(before.server).map(|(now, then)| now.shares_since(then, elapsed));
    let is_elsewhere = report.connections.keys().any(|peer| !is_local(peer));
    let network = is_elsewhere.then_some((&before.network, &after.network));
    Sample {
        round,
        throughput_per_second: report.throughput_per_second,
        latency_us: report.latency_us,
        answered: report.commands.answered,
        failed: report.commands.failed,
        errors: report.errors.clone(),
        client_cpu_ns_per_command: report.client_cpu_ns_per_command,
        core_use: busiest.and_then(|shard| shard.busy_share),
        core_wait: busiest.and_then(|shard| shard.run_queue_wait_share),
        pause_max_us: report.machine.pause_max_us,
        pause_share: report.machine.pause_share,
        steal_share: report.machine.steal_share,
        server_use: server.map(|(used, _)| used),
        server_wait: server.map(|(_, waited)| waited),
        link_use: network.and_then(|(then, now)| now.link_use_since(then)),
        retransmitted: network.and_then(|(then, now)| now.retransmitted_since(then)),
    }
}

/// How long the end of a step waits for connections to close.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Additional time in which the error of the last connection attempt arrives.
const CONNECT_SLACK: Duration = Duration::from_millis(200);
/// The length of the warm-up as a part of the step, and its maximum.
const WARM_UP_PART: u32 = 5;
const WARM_UP_MAX: Duration = Duration::from_secs(1);
