//! `hitless simulate`: runs simulated worlds by seed on every core, until one violates an invariant.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::{FAILED, Failure, SUCCESS};
use crate::cli::options::limits::count;
use crate::cli::options::parse;
use crate::cli::report::sink::{self, Sink};
use crate::cli::terminal::stop;
use crate::cli::units::grouped;
use crate::sim::{Plan, Tally, Trace, Violation, run as simulate, shrink};

/// Options of `hitless simulate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    /// Number of worlds to simulate, one for each seed
    #[arg(long, value_name = "N", default_value = "1000", conflicts_with = "seed")]
    #[arg(value_parser = |s: &str| parse::number(s, 1, u64::MAX))]
    seeds: u64,
    /// Simulate only the world of this seed
    #[arg(long, value_name = "S", value_parser = |s: &str| parse::number(s, 0, u64::MAX))]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "S", default_value = "0", conflicts_with = "seed")]
    #[arg(value_parser = |s: &str| parse::number(s, 0, u64::MAX))]
    from: u64,
    /// Number of worlds to simulate at the same time [default: one per core]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, JOBS_MAX))]
    jobs: Option<u64>,
    /// Print every event in the world of --seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Write the result as JSON to this file; - writes it to standard output, in place of the text
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// Show no progress; with --json, no text either
    #[arg(long)]
    quiet: bool,
}

/// The result of all worlds.
struct Outcome {
    worlds: u64,
    tally: Tally,
    /// The lowest seed whose world violates an invariant.
    violation: Option<(u64, Violation)>,
    elapsed: Duration,
}

/// Runs the worlds and returns the exit code.
pub(crate) fn run(args: &SimulateArgs) -> Result<u8, Failure> {
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let seeds = match args.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => args.from..args.from.saturating_add(args.seeds),
    };
    let json = sink::open("--json", args.json.as_deref())?;
    if args.trace {
        print_trace(seeds.start).context("could not print the trace").map_err(Failure::Failed)?;
    }
    let jobs = args.jobs.map(count);
    let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1);
    let count = seeds.end - seeds.start;
    let found = run_all(seeds, jobs, &stop, args.quiet);
    let reproduction = found.violation.as_ref().map(|(seed, violation)| reproduction(*seed, violation));
    write(args, json, &found, reproduction.as_deref()).map_err(Failure::Failed)?;
    Ok(match found.violation {
        Some(_) => FAILED,
        // The user interrupted it before all worlds ran.
        None if found.worlds < count && stop.load(Ordering::Relaxed) => stop::code(),
        None => SUCCESS,
    })
}

/// Runs the worlds on `jobs` threads. A violation ends the run, but every world with a lower seed still runs: the
/// reported seed is the lowest one.
fn run_all(seeds: std::ops::Range<u64>, jobs: usize, stop: &AtomicBool, quiet: bool) -> Outcome {
    let (begin, next, done) = (Instant::now(), AtomicU64::new(seeds.start), AtomicU64::new(0));
    let first_bad = AtomicU64::new(u64::MAX);
    let shared: Mutex<(Tally, Option<(u64, Violation)>)> = Mutex::default();
    let work = || {
        let mut tally = Tally::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > first_bad.load(Ordering::Relaxed) {
                break;
            }
            match simulate(&Plan::new(seed), &mut Trace::default()) {
                Ok(world) => tally.add(&world),
                Err(violation) => {
                    first_bad.fetch_min(seed, Ordering::Relaxed);
                    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    if shared.1.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                        shared.1 = Some((seed, violation));
                    }
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        shared.lock().unwrap_or_else(PoisonError::into_inner).0.add(&tally);
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        if !quiet && io::stderr().is_terminal() {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    thread::park_timeout(PROGRESS);
                    let worlds = done.load(Ordering::Relaxed);
                    let rate = worlds as f64 / begin.elapsed().as_secs_f64();
                    // A closed terminal must not end the run.
                    let _ = writeln!(io::stderr(), "{} worlds   {rate:.0}/s", grouped(worlds));
                }
            });
        }
        for worker in workers {
            // A world that panics is a violation. The thread does not panic.
            let _ = worker.join();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let (tally, violation) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcome { worlds: done.into_inner(), tally, violation, elapsed: begin.elapsed() }
}

/// The minimal reproduction of a violation, as text.
fn reproduction(seed: u64, violation: &Violation) -> String {
    let (plan, violation) = shrink(&Plan::new(seed), violation);
    let mut reproduction =
        format!("{violation}\n\nMinimal reproduction: the world of seed {seed} with only these faults:\n");
    for fault in &plan.faults {
        reproduction.push_str(&format!("{fault}\n"));
    }
    if plan.faults.is_empty() {
        reproduction.push_str("             none\n");
    }
    let mut trace = Trace::with_text();
    // The same plan violated it a moment ago.
    let _ = simulate(&plan, &mut trace);
    let lines = trace.lines();
    reproduction.push_str("\nThe last events:\n");
    for line in lines.iter().skip(lines.len().saturating_sub(REPRODUCTION_LINES)) {
        reproduction.push_str(&format!("{line}\n"));
    }
    reproduction.push_str(&format!("\nTo repeat it: hitless simulate --seed {seed} --trace\n"));
    reproduction
}

fn print_trace(seed: u64) -> io::Result<()> {
    let mut trace = Trace::with_text();
    let result = simulate(&Plan::new(seed), &mut trace);
    let mut out = io::stdout().lock();
    for line in trace.lines() {
        writeln!(out, "{line}")?;
    }
    if let Err(violation) = result {
        writeln!(out, "violated: {violation}")?;
    }
    writeln!(out, "fingerprint of the trace: {:016x}", trace.fingerprint())
}

fn write(
    args: &SimulateArgs,
    json: Option<Sink>,
    found: &Outcome,
    reproduction: Option<&str>,
) -> anyhow::Result<()> {
    let kept = json.map_or(Ok(()), |mut sink| sink.write_json(&document(found, reproduction)));
    if args.json.as_deref() == Some("-") || (args.json.is_some() && args.quiet) {
        return kept;
    }
    sink::combine([kept, print(found, reproduction).context("could not write the result")])
}

fn print(found: &Outcome, reproduction: Option<&str>) -> io::Result<()> {
    let tally = &found.tally;
    let mut out = io::stdout().lock();
    writeln!(out, "worlds        {} in {:.1} s", grouped(found.worlds), found.elapsed.as_secs_f64())?;
    writeln!(out, "virtual time  {:.1} hours", tally.virtual_time.as_secs_f64() / 3600.0)?;
    writeln!(
        out,
        "faults        {} injected · {} connections",
        grouped(tally.faults),
        grouped(tally.connections)
    )?;
    writeln!(
        out,
        "maintenance   {} notifications, {} handoffs of which {} succeeded",
        grouped(tally.notifications),
        grouped(tally.handoffs),
        grouped(tally.handoffs_succeeded)
    )?;
    writeln!(
        out,
        "commands      {}: {} answered, {} failed",
        grouped(tally.commands),
        grouped(tally.answered),
        grouped(tally.failed)
    )?;
    writeln!(
        out,
        "messages      {}, {} gaps; handoffs brought {} twice, which were dropped; full buffers dropped {}",
        grouped(tally.messages),
        grouped(tally.gaps),
        grouped(tally.duplicates),
        grouped(tally.lagged)
    )?;
    match (&found.violation, reproduction) {
        (Some((seed, _)), Some(reproduction)) => {
            writeln!(out, "\nseed {seed} violates an invariant\n{reproduction}")
        }
        _ => writeln!(out, "violations    none"),
    }
}

fn document(found: &Outcome, reproduction: Option<&str>) -> Value {
    let tally = &found.tally;
    let violation = found.violation.as_ref().map(|(seed, violation)| {
        json!({ "seed": seed, "invariant": violation.invariant, "what": violation.what, "story": reproduction })
    });
    json!({
        "version": 1,
        "worlds": found.worlds,
        "elapsed_seconds": found.elapsed.as_secs_f64(),
        "virtual_seconds": tally.virtual_time.as_secs_f64(),
        "events": tally.events,
        "deeds": tally.faults,
        "connections": tally.connections,
        "notifications": tally.notifications,
        "handoffs": { "started": tally.handoffs, "succeeded": tally.handoffs_succeeded },
        "commands": { "issued": tally.commands, "answered": tally.answered, "failed": tally.failed },
        "messages": {
            "delivered": tally.messages,
            "gaps": tally.gaps,
            "duplicates": tally.duplicates,
            "overlaps_bounded": tally.bounded,
            "lagged": tally.lagged,
        },
        "violation": violation,
    })
}

/// The number of trace lines at the end of a minimal reproduction.
const REPRODUCTION_LINES: usize = 40;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);
/// No machine has more cores than this.
const JOBS_MAX: u64 = 1024;

const EXAMPLES: &str = "\
Examples:
  hitless simulate --seeds 100000
      A hundred thousand worlds on all cores.
  hitless simulate --seed 4711 --trace
      One world, with every event in it.

Exit codes:
  0 every invariant held in every world · 1 a violation, with its minimal reproduction · 2 usage ·
  130 interrupted (143 by SIGTERM) before all worlds were run";
