//! `--workload queue` and `--workload pubsub`: a run whose elements are accounted for, and its report.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use serde_json::{Map, Value};

use super::args::BenchArgs;
use super::resolved::Resolved;
use super::started::{self, Started};
use crate::cli::exit::{FAILED, Failure, SUCCESS};
use crate::cli::report::delivery::{self, DeliveryHeading};
use crate::cli::report::json;
use crate::cli::report::sink::{self, Sink};
use crate::cli::terminal::{live, logs, message, stop};
use crate::load::{Delivery, DeliveryKind, DeliveryReport, HandoffWatch, Moves, QueueType};

/// Runs the producers and consumers, or the publishers and subscribers, and returns the exit code.
pub(super) fn run(args: &BenchArgs, kind: DeliveryKind) -> Result<u8, Failure> {
    check(args, kind).map_err(Failure::Usage)?;
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let resolved = Resolved::new(args)?;
    let json = sink::open("--json", args.output.json.as_deref())?;
    let workload = &resolved.workload;
    let delivery = Delivery {
        kind,
        limit: workload.limit,
        warm_up: workload.warm_up,
        rate: workload.rate,
        via: workload.via,
        key_prefix: workload.key_prefix.clone(),
        cleanup: args.cleanup,
    };
    let report = measure(&resolved, &delivery, args, &stop)?;
    write(args, json, &resolved, &delivery, &report).map_err(Failure::Failed)?;
    if let Some(problem) = report.problems.first().filter(|_| args.output.quiet) {
        message::print_error(&problem.message);
    }
    Ok(match report.is_clean() {
        false => FAILED,
        true if report.interrupted => stop::code(),
        true => SUCCESS,
    })
}

/// Rejects what the endpoints of this workload cannot do.
fn check(args: &BenchArgs, kind: DeliveryKind) -> Result<(), String> {
    if args.urls().count() > 1 {
        let what = match kind {
            DeliveryKind::Queue { .. } => "--workload queue",
            DeliveryKind::PubSub { .. } => "--workload pubsub",
        };
        return Err(format!("--url: {what} takes one server; give one --url"));
    }
    match kind {
        DeliveryKind::Queue { queue: QueueType::Stream, .. } if args.url().is_none() => {
            Err("--queue: the endpoints in this process have no streams; give the --url of a server, or --queue list"
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn measure(
    resolved: &Resolved,
    delivery: &Delivery,
    args: &BenchArgs,
    stop: &Arc<AtomicBool>,
) -> Result<DeliveryReport, Failure> {
    let watch = Arc::new(HandoffWatch::new(resolved.cores().len()));
    let started = Started::new(resolved, &watch)?;
    let result = started.wait_until_ready(resolved, stop).and_then(|()| {
        logs::release_held();
        let moves = resolved.embedded.as_ref();
        let moves = moves.map(|endpoints| Moves::new(endpoints, resolved.moves.clone(), args.follows()));
        started.deliver(delivery, &watch, moves.as_ref(), stop).map_err(started::failure)
    });
    started.shut_down();
    result
}

/// Prints the report, then writes the JSON.
fn write(
    args: &BenchArgs,
    json: Option<Sink>,
    resolved: &Resolved,
    delivery: &Delivery,
    report: &DeliveryReport,
) -> anyhow::Result<()> {
    let mut written = Vec::new();
    if !(args.output.quiet && json.is_some()) {
        let heading = DeliveryHeading::new(
            &resolved.endpoint,
            delivery,
            resolved.cores().len(),
            resolved.effective.connections_per_shard(),
        );
        let to_stderr = args.output.json.as_deref() == Some("-");
        let width =
            if to_stderr { live::width_of(std::io::stderr()) } else { live::width_of(std::io::stdout()) };
        let text = delivery::text(&heading, report, width);
        written.push(match to_stderr {
            true => sink::write_whole(&mut std::io::stderr(), text.as_bytes()),
            false => sink::write_whole(&mut std::io::stdout(), text.as_bytes()),
        });
    }
    if let Some(mut sink) = json {
        written.push(document(resolved, delivery, report).and_then(|document| sink.write_json(&document)));
    }
    sink::combine(written)
}

fn document(resolved: &Resolved, delivery: &Delivery, report: &DeliveryReport) -> anyhow::Result<Value> {
    let config = json::delivery_config(&resolved.endpoint, delivery, &resolved.moves, &resolved.effective);
    let mut document =
        Map::from_iter([("version".to_owned(), 1.into()), ("config".to_owned(), config.into())]);
    if let Value::Object(report) =
        serde_json::to_value(report).context("could not put the report into JSON")?
    {
        document.extend(report);
    }
    Ok(document.into())
}
