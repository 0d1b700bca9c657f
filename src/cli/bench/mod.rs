//! `hitless bench`: raw options → resolved options → a run → its report.
//!
//! ```text
//!  args ─▶ resolved ─▶ one client per server ─▶ load::run_over or run_in_tokio ─▶ report::output
//!             │                                        ▲
//!             └─ two endpoints in this process ────────┘  (without --url; one of them moves)
//! ```
//!
//! `--workload queue` and `--workload pubsub` are measured in `delivery`, with the same options, clients, moves, repeats and
//! outputs.

pub(crate) mod args;
mod cores;
mod delivery;
pub(crate) mod keys;
mod load_args;
pub(crate) mod progress;
pub(crate) mod repeat;
pub(crate) mod resolved;
mod started;
pub(crate) mod workload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use serde_json::{Map, Value};

use self::args::BenchArgs;
use self::progress::ProgressLines;
use self::repeat::{Turn, median_run, turns};
use self::resolved::Resolved;
use self::started::Started;
use crate::Client;
use crate::cli::exit::{FAILED, Failure, SUCCESS};
use crate::cli::report::compare::Baseline;
use crate::cli::report::json;
use crate::cli::report::output::{Output, RunDescription};
use crate::cli::report::published::Published;
use crate::cli::report::text::Heading;
use crate::cli::terminal::style::Style;
use crate::cli::terminal::{logs, message, stop};
use crate::load::{DeliveryKind, DeliveryReport, HandoffWatch, Moves, Report};

/// Runs the benchmark and returns the exit code.
pub(crate) fn run(args: &BenchArgs) -> Result<u8, Failure> {
    match args.workload.delivery() {
        None => run_all::<OnKeys>(args),
        Some(_) => run_all::<DeliveryKind>(args),
    }
}

/// A workload, and how `bench` measures it.
trait Bench: Sized {
    type Report: Published;

    /// What the options ask for.
    ///
    /// # Errors
    /// The error names the option that asks for another workload, or for what the endpoints cannot do.
    fn of(args: &BenchArgs) -> Result<Self, String>;

    /// The description of a run, and every effective value of it.
    fn describe(&self, resolved: &Resolved, args: &BenchArgs) -> (Heading, Map<String, Value>);

    /// One run, from the connections to the report.
    fn measure(
        &self,
        resolved: &Resolved,
        args: &BenchArgs,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self::Report, Failure>;
}

/// Commands on keys.
struct OnKeys;

/// Takes all runs of a workload, and writes their report.
fn run_all<B: Bench>(args: &BenchArgs) -> Result<u8, Failure> {
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let mut given = Runs::<B>::new(args)?;
    let mut versus = args.versus.as_deref().map(Runs::<B>::new).transpose()?;
    let output = Output::new(&args.output)?;
    for turn in turns(args.repeat.repeat, versus.is_some()) {
        if stop.load(Ordering::Relaxed) && !given.reports.is_empty() {
            break;
        }
        match (turn, &mut versus) {
            (Turn::Versus, Some(versus)) => versus.measure(&stop)?,
            _ => given.measure(&stop)?,
        }
    }
    let (heading, config) = given.bench.describe(&given.resolved, args);
    let baseline = match (&versus, &args.repeat.versus) {
        (Some(versus), Some(options)) => versus.baseline(options).map_err(Failure::Failed)?,
        _ => None,
    };
    let report = given.report().ok_or_else(|| Failure::Failed(anyhow!("interrupted before a run")))?;
    let run = RunDescription { heading, config, repeats: given.reports, versus: baseline };
    output.write(&run, &report).map_err(Failure::Failed)?;
    if let Some(problem) = report.problems().first().filter(|_| args.output.quiet) {
        message::print_error(&problem.message);
    }
    let others = versus.iter().flat_map(|versus| &versus.reports);
    Ok(match run.repeats.iter().chain(others).all(Published::is_clean) {
        false => FAILED,
        true if report.is_interrupted() => stop::code(),
        true => SUCCESS,
    })
}

/// The runs of one set of options, in the order in which they were taken.
struct Runs<'a, B: Bench> {
    bench: B,
    args: &'a BenchArgs,
    resolved: Resolved,
    reports: Vec<B::Report>,
}

impl<'a, B: Bench> Runs<'a, B> {
    fn new(args: &'a BenchArgs) -> Result<Runs<'a, B>, Failure> {
        let bench = B::of(args).map_err(Failure::Usage)?;
        Ok(Runs { bench, args, resolved: Resolved::new(args)?, reports: Vec::new() })
    }

    /// Measures one run.
    fn measure(&mut self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        if !self.reports.is_empty() && self.resolved.embedded.is_some() {
            // The endpoints in this process have moved. New ones let every run start like the first.
            let seed = self.resolved.workload.seed;
            self.resolved = Resolved::new(self.args)?;
            self.resolved.workload.seed = seed;
        }
        let report = self.bench.measure(&self.resolved, self.args, stop)?;
        // An interrupted run is reported only if it is the only one: it cannot be compared with complete runs.
        if self.reports.is_empty() || !report.is_interrupted() {
            self.reports.push(report);
        }
        Ok(())
    }

    /// The report of the median run, marked as interrupted if runs are missing.
    fn report(&self) -> Option<B::Report> {
        let mut report = median_run(&self.reports)?.clone();
        if (self.reports.len() as u64) < self.args.repeat.repeat {
            report.set_interrupted();
        }
        Some(report)
    }

    /// The baseline that the given options are compared with; `None` if there was no run.
    fn baseline(&self, options: &str) -> anyhow::Result<Option<Baseline>> {
        let Some(report) = median_run(&self.reports) else { return Ok(None) };
        let (_, config) = self.bench.describe(&self.resolved, self.args);
        let document = json::document(config, report, &self.reports);
        Ok(Some(Baseline::versus(options, document?)))
    }
}

impl Bench for OnKeys {
    type Report = Report;

    fn of(args: &BenchArgs) -> Result<OnKeys, String> {
        match args.workload.delivery() {
            None => Ok(OnKeys),
            Some(_) => Err(OTHER_WORKLOAD.to_owned()),
        }
    }

    fn describe(&self, resolved: &Resolved, _: &BenchArgs) -> (Heading, Map<String, Value>) {
        resolved.description()
    }

    fn measure(
        &self,
        resolved: &Resolved,
        args: &BenchArgs,
        stop: &Arc<AtomicBool>,
    ) -> Result<Report, Failure> {
        measure_run(resolved, args, stop)
    }
}

impl Bench for DeliveryKind {
    type Report = DeliveryReport;

    fn of(args: &BenchArgs) -> Result<DeliveryKind, String> {
        let kind = args.workload.delivery().ok_or(OTHER_WORKLOAD)?;
        delivery::check(args, kind)?;
        Ok(kind)
    }

    fn describe(&self, resolved: &Resolved, args: &BenchArgs) -> (Heading, Map<String, Value>) {
        delivery::description(resolved, args, *self)
    }

    fn measure(
        &self,
        resolved: &Resolved,
        args: &BenchArgs,
        stop: &Arc<AtomicBool>,
    ) -> Result<DeliveryReport, Failure> {
        delivery::measure(resolved, args, *self, stop)
    }
}

/// Chooses other keys if the workload's keys hold values of an earlier run on which its commands fail. The old values
/// stay.
fn choose_other_keys(resolved: &Resolved, clients: &[Client], quiet: bool) {
    // The endpoints in this process start empty.
    if resolved.embedded.is_some() || resolved.has_other_keys() {
        return;
    }
    let found = clients.iter().find_map(|client| keys::prefix_beside_leftovers(client, &resolved.workload));
    let Some((prefix, why)) = found else { return };
    if !quiet {
        message::print("note", Style::Warning, &why);
    }
    resolved.use_keys_with(prefix);
}

/// One run of commands on keys.
fn measure_run(resolved: &Resolved, args: &BenchArgs, stop: &Arc<AtomicBool>) -> Result<Report, Failure> {
    let watch = Arc::new(HandoffWatch::new(resolved.cores().len()));
    let started = Started::new(resolved, &watch)?;
    let clients = &started.clients;
    let mut lines = ProgressLines::new(args.output.quiet, args.output.live, resolved.workload.limit);
    let result = started.wait_until_ready(resolved, stop).and_then(|()| {
        logs::release_held();
        let observe = |progress| lines.observe(&progress);
        let moves = resolved.embedded.as_ref();
        let moves = moves.map(|endpoints| Moves::new(endpoints, resolved.moves.clone(), args.follows()));
        choose_other_keys(resolved, clients, args.output.quiet);
        let workload = resolved.workload();
        let run = started.run(&workload, &watch, moves.as_ref(), stop, observe);
        let run = run.map(|mut report| {
            let observe = |progress| lines.observe(&progress);
            report.cleanup = args.cleanup.then(|| keys::clean_up(clients, &workload, stop, observe));
            report
        });
        run.map_err(started::failure)
    });
    started.shut_down();
    result
}

/// The options of `--versus` are a whole command line, whose workload may be another one.
const OTHER_WORKLOAD: &str = "--versus: its runs are of another --workload, and what they measure does not compare; \
                              give options of the same workload";
