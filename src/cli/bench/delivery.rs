//! `--workload queue` and `--workload pubsub`: a run whose elements are accounted for.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value};

use super::args::BenchArgs;
use super::resolved::Resolved;
use super::started::{self, Started};
use crate::cli::exit::Failure;
use crate::cli::report::text::Heading;
use crate::cli::report::{delivery, json};
use crate::cli::terminal::logs;
use crate::load::{Delivery, DeliveryKind, DeliveryReport, HandoffWatch, Moves, QueueType};

/// The description of a run, and every effective value of it.
pub(super) fn description(
    resolved: &Resolved,
    args: &BenchArgs,
    kind: DeliveryKind,
) -> (Heading, Map<String, Value>) {
    let (Resolved { endpoint, moves, effective, .. }, delivery) = (resolved, of(resolved, args, kind));
    let (shards, connections) = (resolved.cores().len(), effective.connections_per_shard());
    let heading = delivery::heading(endpoint, &delivery, shards, connections);
    let heading = heading.tls(effective.tls().map(ToString::to_string));
    (heading, json::delivery_config(endpoint, &delivery, moves, effective))
}

/// Rejects what the endpoints of this workload cannot do.
///
/// # Errors
/// The error names the option.
pub(super) fn check(args: &BenchArgs, kind: DeliveryKind) -> Result<(), String> {
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

/// One run, from the connections to the report.
pub(super) fn measure(
    resolved: &Resolved,
    args: &BenchArgs,
    kind: DeliveryKind,
    stop: &Arc<AtomicBool>,
) -> Result<DeliveryReport, Failure> {
    let delivery = of(resolved, args, kind);
    let watch = Arc::new(HandoffWatch::new(resolved.cores().len()));
    let started = Started::new(resolved, &watch)?;
    let result = started.wait_until_ready(resolved, stop).and_then(|()| {
        logs::release_held();
        let moves = resolved.embedded.as_ref();
        let moves = moves.map(|endpoints| Moves::new(endpoints, resolved.moves.clone(), args.follows()));
        started.deliver(&delivery, &watch, moves.as_ref(), stop).map_err(started::failure)
    });
    started.shut_down();
    result
}

/// What the options ask for.
fn of(resolved: &Resolved, args: &BenchArgs, kind: DeliveryKind) -> Delivery {
    let workload = &resolved.workload;
    Delivery {
        kind,
        limit: workload.limit,
        warm_up: workload.warm_up,
        rate: workload.rate,
        via: workload.via,
        key_prefix: workload.key_prefix.clone(),
        cleanup: args.cleanup,
    }
}
