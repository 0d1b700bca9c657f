//! Runs the steps of a sweep, round by round, then the rate search and a handoff at the recommended setting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::args::TuningArgs;
use super::progress::{ProgressLines, SweepPlan};
use crate::Config;
use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::resolved::{CLIENT_NAME, Resolved};
use crate::cli::exit::Failure;
use crate::cli::rehearse::upstream_of;
use crate::cli::terminal::logs;
use crate::load::tuner::bottleneck::{Bottleneck, bottlenecks};
use crate::load::tuner::knee::{Recommendation, recommend};
use crate::load::tuner::rate::RateSearch;
use crate::load::tuner::row::{FAILED_SHARE_MAX, Row, Sample, Setting};
use crate::load::tuner::step::{HandoffEffect, StepError, StepRunner};
use crate::load::tuner::sweep::{Grid, order, worth_repeating};
use crate::load::{LoadError, Report};
use crate::rehearsal::{Endpoints, EndpointsConfig};

/// The result of a sweep.
#[derive(Debug)]
pub(super) struct SweepResult {
    pub(super) rows: Vec<Row>,
    /// The number of complete rounds.
    pub(super) rounds: usize,
    pub(super) interrupted: bool,
    pub(super) recommendation: Option<Recommendation>,
    pub(super) ceilings: Vec<Bottleneck>,
    pub(super) rate: Option<RateSearchResult>,
    pub(super) handoff: Handoff,
    pub(super) elapsed: Duration,
}

/// The largest rate that meets the objective, and all rates that were tried.
#[derive(Debug)]
pub(super) struct RateSearchResult {
    pub(super) largest: Option<u64>,
    pub(super) probes: Vec<Probe>,
}

/// One rate that was tried.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) rate: u64,
    pub(super) met: bool,
    pub(super) report: Report,
}

/// The result of measuring a handoff.
#[derive(Debug)]
pub(super) enum Handoff {
    /// It was not requested, or there is no recommended setting.
    Skipped,
    /// It failed for this reason.
    Failed(String),
    /// `proxied`: through a proxy in front of a server that does not move on command; all latencies include the
    /// proxy.
    Measured { proxied: bool, effect: Box<HandoffEffect> },
}

impl SweepResult {
    /// Whether there is a recommendation, and the handoff at it lost no command.
    pub(super) fn is_well(&self) -> bool {
        let is_lost = |effect: &HandoffEffect| !effect.moved.is_clean() || !effect.steady.problems.is_empty();
        let has_lost = matches!(&self.handoff, Handoff::Measured { effect, .. } if is_lost(effect));
        let has_missed = self.rate.as_ref().is_some_and(|rate| rate.largest.is_none());
        self.recommendation.is_some() && !has_lost && !has_missed
    }
}

/// Why a sweep ended early.
enum Halt {
    Stopped,
    Failed(Failure),
}

pub(super) struct SweepRunner<'a> {
    bench: StepRunner<'a>,
    resolved: &'a Resolved,
    tuning: &'a TuningArgs,
    rows: Vec<Row>,
    /// Settings that take part in the next round.
    is_active: Vec<bool>,
    follows: bool,
    lines: ProgressLines,
}

impl<'a> SweepRunner<'a> {
    pub(super) fn new(
        resolved: &'a Resolved,
        args: &BenchArgs,
        tuning: &'a TuningArgs,
        grid: &Grid,
        stop: Arc<AtomicBool>,
    ) -> Result<SweepRunner<'a>, Failure> {
        let rows: Vec<Row> = grid.settings().into_iter().map(Row::new).collect();
        let bench = StepRunner {
            config: resolved.config.clone(),
            effective: resolved.effective.clone(),
            workload: resolved.workload.clone(),
            endpoints: resolved.embedded.as_ref(),
            stop,
        };
        let is_active = vec![true; rows.len()];
        let lines = ProgressLines::new(args.output.quiet);
        Ok(SweepRunner { bench, resolved, tuning, rows, is_active, follows: args.follows(), lines })
    }

    /// Runs the sweep and what follows it. `begin` is the start of the command.
    pub(super) fn run(mut self, begin: Instant) -> Result<SweepResult, Failure> {
        let (rounds, halt) = self.sweep();
        let interrupted = match halt {
            None => false,
            Some(Halt::Stopped) => true,
            Some(Halt::Failed(failure)) => return Err(failure),
        };
        if !self.rows.iter().any(Row::is_measured) {
            return Err(Failure::Interrupted("before anything was measured"));
        }
        let found = recommend(&self.rows, self.tuning.slo.as_ref(), self.tuning.tolerance);
        let tolerance = found.as_ref().map_or(self.tuning.tolerance, |found| found.tolerance);
        let spins = !self.resolved.effective.spin_before_park().is_zero();
        let ceilings = bottlenecks(&self.rows, tolerance, spins);
        let place = found.as_ref().map(|found| found.row);
        let row = place.and_then(|place| self.rows.get(place)).filter(|_| !interrupted).cloned();
        let rate = row.as_ref().filter(|_| self.tuning.find_rate).and_then(|row| self.find_rate(row));
        let handoff = match &row {
            Some(row) if !self.tuning.no_handoff && self.follows => self.handoff(row.setting),
            _ => Handoff::Skipped,
        };
        let interrupted = self.is_stopped();
        Ok(SweepResult {
            rows: self.rows,
            rounds,
            interrupted,
            recommendation: found,
            ceilings,
            rate,
            handoff,
            elapsed: begin.elapsed(),
        })
    }

    fn is_stopped(&self) -> bool {
        self.bench.stop.load(Ordering::Relaxed)
    }

    /// Runs all rounds, after a scouting round if that may exclude settings.
    fn sweep(&mut self) -> (usize, Option<Halt>) {
        let scouts = !self.tuning.all_rounds && self.rows.len() > 1;
        let rounds = usize::try_from(self.tuning.rounds).unwrap_or(usize::MAX);
        self.lines.begin(SweepPlan {
            steps: self.rows.len(),
            rounds,
            step: self.tuning.step,
            scout: scouts.then_some(self.tuning.step / SCOUTING_PART),
        });
        if scouts {
            if let Err(halt) = self.round(0, self.tuning.step / SCOUTING_PART) {
                return (0, Some(halt));
            }
            self.is_active = worth_repeating(&self.rows, self.tuning.slo.as_ref());
        }
        for round in 1..=rounds {
            if let Err(halt) = self.round(round, self.tuning.step) {
                return (round - 1, Some(halt));
            }
        }
        (rounds, None)
    }

    fn round(&mut self, round: usize, length: Duration) -> Result<(), Halt> {
        let places: Vec<usize> = order(self.rows.len(), self.bench.workload.seed, round)
            .into_iter()
            .filter(|place| self.is_active.get(*place) == Some(&true))
            .collect();
        for (done, &place) in places.iter().enumerate() {
            let Some(setting) = self.rows.get(place).map(|row| row.setting) else { continue };
            let sample = self.step(setting, round, length)?;
            self.lines.step(round, done + 1, places.len(), setting, &sample);
            if let Some(row) = self.rows.get_mut(place) {
                row.samples.push(sample);
            }
        }
        Ok(())
    }

    /// Measures one step. If the first one fails, the endpoint is not usable; a later failure is a result of its
    /// setting.
    fn step(&self, setting: Setting, round: usize, length: Duration) -> Result<Sample, Halt> {
        let is_first = !self.rows.iter().any(Row::is_measured);
        if self.is_stopped() {
            return Err(Halt::Stopped);
        }
        match self.bench.step(setting, round, length, is_first) {
            Ok(sample) => {
                logs::release_held();
                Ok(sample)
            }
            Err(_) if self.is_stopped() => Err(Halt::Stopped),
            Err(StepError::Unreachable(error)) if is_first => {
                Err(Halt::Failed(Failure::Unreachable(error.into())))
            }
            Err(StepError::Load(LoadError::Workload(error))) => {
                Err(Halt::Failed(Failure::Usage(error.to_string())))
            }
            Err(StepError::Load(error)) if is_first => Err(Halt::Failed(Failure::Failed(error.into()))),
            Err(failed) => {
                tracing::warn!(%setting, ?failed, "a step failed");
                let kind = if matches!(failed, StepError::Unreachable(_)) { "connect" } else { "client" };
                let errors = [(kind, 1)].into();
                Ok(Sample { round, failed: 1, errors, ..Sample::default() })
            }
        }
    }

    /// `None` if the user interrupts it, or no rate can be tried.
    fn find_rate(&mut self, row: &Row) -> Option<RateSearchResult> {
        let objective = self.tuning.slo.as_ref()?;
        let mut search = RateSearch::new(row.throughput());
        let mut probes = Vec::new();
        while let Some(rate) = search.next() {
            let report = self.bench.at_rate(row.setting, rate, self.tuning.step).ok()?;
            let answers = report.commands.answered.saturating_add(report.commands.failed).max(1);
            let met = report.latency_us.as_ref().is_some_and(|latency| objective.load(latency) <= 1.0)
                && report.throughput_per_second >= REACHED * rate as f64
                && report.commands.failed as f64 <= FAILED_SHARE_MAX * answers as f64;
            search.note(met);
            self.lines.probe(rate, met, &report);
            probes.push(Probe { rate, met, report });
        }
        Some(RateSearchResult { largest: search.largest(), probes })
    }

    fn handoff(&self, setting: Setting) -> Handoff {
        if self.is_stopped() {
            return Handoff::Skipped;
        }
        self.lines.handoff();
        let length = self.tuning.step.max(HANDOFF_LENGTH_MIN);
        let measured = match &self.resolved.embedded {
            Some(endpoints) => {
                self.bench.handoff(setting, length, endpoints).map_err(|failed| failure_text(&failed))
            }
            None => self.proxied_handoff(setting, length),
        };
        match measured {
            Ok(effect) => {
                Handoff::Measured { proxied: self.resolved.embedded.is_none(), effect: Box::new(effect) }
            }
            Err(_) if self.is_stopped() => Handoff::Skipped,
            Err(why) => Handoff::Failed(why),
        }
    }

    /// Measures the move between two endpoints in this process that are proxies of the server.
    fn proxied_handoff(&self, setting: Setting, length: Duration) -> Result<HandoffEffect, String> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let upstream = Some(upstream_of(&self.resolved.effective)?);
        let config = EndpointsConfig { listen: vec![any, any], upstream, ..EndpointsConfig::default() };
        let endpoints = Endpoints::start(config).map_err(|error| error.to_string())?;
        let address = endpoints.addresses().first().ok_or("the proxy has no address")?;
        let config = Config::from_url(&format!("redis://{address}")).map_err(|error| error.to_string())?;
        let bench = StepRunner {
            config: config.client_name(CLIENT_NAME),
            effective: self.bench.effective.clone(),
            workload: self.bench.workload.clone(),
            endpoints: None,
            stop: self.bench.stop.clone(),
        };
        bench.handoff(setting, length, &endpoints).map_err(|failed| failure_text(&failed))
    }
}

fn failure_text(failed: &StepError) -> String {
    match failed {
        StepError::Unreachable(error) => error.to_string(),
        StepError::Load(error) => error.to_string(),
        StepError::Stopped => "interrupted".to_owned(),
    }
}

/// A scouting step takes this part of a step.
const SCOUTING_PART: u32 = 3;
/// A handoff is measured for at least this long: the grace that is announced is not shorter than a second.
const HANDOFF_LENGTH_MIN: Duration = Duration::from_secs(2);
/// A rate counts as reached from this share of it on.
const REACHED: f64 = 0.98;
