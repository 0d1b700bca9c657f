//! The queue on the server: made before a run, read after it, and removed.

use futures_lite::future::block_on;

use super::ledger::{Fate, Found, Ledger};
use super::plan::{DeliveryKind, DeliveryPlan, QueueType};
use super::queue::{GROUP, StreamReply, consumer_name, entries};
use super::stamp::Stamp;
use crate::command::options::{XgroupOptions, XreadGroupOptions};
use crate::load::report::counts::Cleanup;
use crate::{Client, Result};

/// Makes the consumer group of a stream. A list needs no preparation.
pub(super) fn prepare(client: &Client, plan: &DeliveryPlan) -> Result<()> {
    match plan.delivery.kind {
        DeliveryKind::Queue { queue: QueueType::Stream, .. } => {
            let options = XgroupOptions::new().mkstream();
            block_on(client.xgroup_create(plan.queue_key(), GROUP, "0", options))
        }
        _ => Ok(()),
    }
}

/// Finds the elements that are left in the queue.
///
/// # Errors
/// If they cannot be read; then elements that are left count as lost.
pub(super) fn read(client: &Client, plan: &DeliveryPlan, ledger: &mut Ledger) -> Result<()> {
    match plan.delivery.kind {
        DeliveryKind::Queue { queue: QueueType::List, .. } => read_list(client, plan, ledger),
        DeliveryKind::Queue { queue: QueueType::Stream, consumers, .. } => {
            read_stream(client, plan, consumers, ledger)
        }
        DeliveryKind::PubSub { .. } => Ok(()),
    }
}

/// Removes the queue.
pub(super) fn clean_up(client: &Client, plan: &DeliveryPlan) -> Cleanup {
    let mut cleanup = Cleanup::default();
    if let DeliveryKind::Queue { .. } = plan.delivery.kind {
        match block_on(client.del(&[plan.queue_key()])) {
            Ok(removed) => cleanup.removed = u64::try_from(removed).unwrap_or(0),
            Err(error) => cleanup.error = Some(error.to_string()),
        }
    }
    cleanup
}

fn read_list(client: &Client, plan: &DeliveryPlan, ledger: &mut Ledger) -> Result<()> {
    let (key, mut first) = (plan.queue_key(), 0);
    loop {
        let elements: Vec<String> = block_on(client.lrange(&key, first, first + BATCH - 1))?;
        if elements.is_empty() {
            return Ok(());
        }
        elements.iter().for_each(|text| note(ledger, plan, text));
        first += BATCH;
    }
}

/// Reads entries that a consumer was given without seeing them, and then those that no consumer was given.
fn read_stream(client: &Client, plan: &DeliveryPlan, consumers: usize, ledger: &mut Ledger) -> Result<()> {
    let key = plan.queue_key();
    let read = |consumer: &str, from: &str| -> Result<Vec<(String, String)>> {
        let options = XreadGroupOptions::new().count(BATCH as u64);
        let streams = [(key.as_str(), from)];
        let reply = client.xreadgroup::<Option<StreamReply>>(GROUP, consumer, options, &streams);
        Ok(entries(block_on(reply)?.unwrap_or_default()).collect())
    };
    for consumer in (0..consumers).map(consumer_name) {
        let mut from = "0".to_owned();
        loop {
            let batch = read(&consumer, &from)?;
            let Some((last, _)) = batch.last() else { break };
            from.clone_from(last);
            for (_, text) in &batch {
                // A consumer that saw the entry may have failed to acknowledge it.
                let is_known =
                    Stamp::parse(text.as_bytes(), plan.run).is_some_and(|stamp| ledger.has_found(stamp));
                if !is_known {
                    note(ledger, plan, text);
                }
            }
        }
    }
    loop {
        let batch = read(&consumer_name(consumers), ">")?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.iter().for_each(|(_, text)| note(ledger, plan, text));
    }
}

fn note(ledger: &mut Ledger, plan: &DeliveryPlan, text: &str) {
    match Stamp::parse(text.as_bytes(), plan.run) {
        Some(stamp) => ledger.note(Found { stamp, fate: Fate::Left }),
        None => ledger.note_unexpected(),
    }
}

/// How many elements one command reads.
const BATCH: i64 = 1000;
