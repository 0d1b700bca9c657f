//! The producers and consumers of a queue.

use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;

use super::ledger::{Fate, Push};
use super::outcome::Failures;
use super::pace::Pace;
use super::place::{Place, ReplyAt};
use super::plan::{DeliveryPlan, QueueType};
use super::stamp::Stamp;
use crate::command::Commands;
use crate::command::options::XreadGroupOptions;
use crate::{FromReply, Outcome, Result};

/// What a producer returns.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    pub(super) producer: usize,
    /// In the order of the elements' numbers.
    pub(super) pushes: Vec<Push>,
    pub(super) failures: Failures,
    /// Elements that were due and never sent.
    pub(super) unsent: u64,
}

/// What a consumer returns.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The elements, with `None` for one that is not of this run.
    pub(super) elements: Vec<(Option<Stamp>, Fate)>,
    pub(super) failures: Failures,
}

/// What a list's `BLPOP` returns: the key and the element.
type ListReply = (String, String);
/// What `XREADGROUP` returns: for each stream its entries, which have an id and fields.
pub(super) type StreamReply = Vec<(String, Vec<(String, Vec<(String, String)>)>)>;

/// Pushes numbered elements until the end of the run.
pub(super) async fn produce<P: Place>(
    place: P,
    plan: Arc<DeliveryPlan>,
    queue: QueueType,
    producer: usize,
) -> Pushed {
    let key = plan.queue_key();
    let mut pace = Pace::new(plan.clone(), producer);
    let mut pushed = Pushed { producer, ..Pushed::default() };
    while let Some(due) = pace.next(&place).await {
        let number = pushed.pushes.len() as u64;
        let stamp = Stamp { run: plan.run, source: producer, number, at: plan.stamp_at(due) }.to_string();
        let on = place.commands();
        let result = match queue {
            QueueType::List => on.rpush(&key, &[&stamp]).await.map(drop),
            QueueType::Stream => on.xadd::<String>(&key, "*", [(FIELD, &stamp)]).await.map(drop),
        };
        pushed.pushes.push(match &result {
            Ok(()) => {
                plan.note_confirmed();
                Push::Confirmed
            }
            Err(error) if error.outcome() == Outcome::Ambiguous => Push::Ambiguous,
            Err(_) => Push::Refused,
        });
        if let Err(error) = result {
            pushed.failures.note(&error);
            plan.note_failure();
            place.sleep(FAILURE_PAUSE).await;
        }
    }
    plan.source_finished();
    pushed.unsent = pace.unsent();
    pushed
}

/// Takes elements until the sources have finished and the queue is drained.
pub(super) async fn consume<P: Place>(
    place: P,
    plan: Arc<DeliveryPlan>,
    queue: QueueType,
    consumer: usize,
) -> Taken {
    let mut taken = Taken::default();
    plan.sink_ready();
    while !plan.is_drained(plan.taken()) {
        let result = match queue {
            QueueType::List => take_from_list(&place, &plan).await,
            QueueType::Stream => take_from_stream(&place, &plan, consumer, &mut taken.failures).await,
        };
        match result {
            Ok((texts, fate)) => taken.note(&plan, consumer, texts, fate),
            Err(error) => {
                taken.failures.note(&error);
                plan.note_failure();
                place.sleep(FAILURE_PAUSE).await;
            }
        }
    }
    taken
}

/// The texts of the elements in a reply of `XREADGROUP`, with their ids.
pub(super) fn entries(reply: StreamReply) -> impl Iterator<Item = (String, String)> {
    let all = reply.into_iter().flat_map(|(_, entries)| entries);
    all.map(|(id, fields)| (id, fields.into_iter().next().map(|(_, text)| text).unwrap_or_default()))
}

/// The name of a consumer in the group.
pub(super) fn consumer_name(consumer: usize) -> String {
    format!("consumer-{consumer}")
}

impl Taken {
    fn note(&mut self, plan: &DeliveryPlan, consumer: usize, texts: Vec<String>, fate: Fate) {
        plan.note_taken(texts.len());
        for text in texts {
            let stamp = Stamp::parse(text.as_bytes(), plan.run);
            if let Some(stamp) = stamp {
                plan.note_arrival(consumer, stamp.at);
            }
            self.elements.push((stamp, fate));
        }
    }
}

async fn take_from_list<P: Place>(place: &P, plan: &DeliveryPlan) -> Result<(Vec<String>, Fate)> {
    let reply = place.commands().blpop::<Option<ListReply>>(&[plan.queue_key()], WAIT_SECONDS);
    let (reply, fate) = wait(place, plan, reply).await?;
    Ok((reply.into_iter().map(|(_, element)| element).collect(), fate))
}

async fn take_from_stream<P: Place>(
    place: &P,
    plan: &DeliveryPlan,
    consumer: usize,
    failures: &mut Failures,
) -> Result<(Vec<String>, Fate)> {
    let (key, name) = (plan.queue_key(), consumer_name(consumer));
    let options = XreadGroupOptions::new().count(1);
    let on = place.commands();
    let streams = [(key.as_str(), ">")];
    let reply =
        on.xreadgroup_blocking::<Option<StreamReply>>(GROUP, &name, WAIT_SECONDS * 1000, options, &streams);
    let (reply, fate) = wait(place, plan, reply).await?;
    let (ids, texts): (Vec<_>, Vec<_>) = entries(reply.unwrap_or_default()).unzip();
    if !ids.is_empty() {
        // Without the second command the stream would grow until the end of the run.
        let (acknowledged, removed) = (on.xack(&key, GROUP, &ids), on.xdel(&key, &ids));
        for result in [acknowledged.await, removed.await] {
            // The entry was read, so it is accounted for, acknowledged or not.
            result.map_or_else(|error| failures.note(&error), drop);
        }
    }
    Ok((texts, fate))
}

/// Waits for a blocking command. When the queue is drained, it ends the wait, and returns what the command has taken by then.
async fn wait<P: Place, T: FromReply>(
    place: &P,
    plan: &DeliveryPlan,
    mut reply: ReplyAt<P, Option<T>>,
) -> Result<(Option<T>, Fate)> {
    let drained = async {
        while !plan.is_drained(plan.taken()) {
            place.sleep(DRAIN_CHECK).await;
        }
        None
    };
    match or(async { Some((&mut reply).await) }, drained).await {
        Some(result) => Ok((result?, Fate::Popped)),
        None => Ok((P::cancel(reply).await?.flatten(), Fate::Returned)),
    }
}

/// The consumer group of a stream. The stream belongs to the run, so the name needs no number.
pub(super) const GROUP: &str = "hitless";
/// The field of an entry that holds the element.
const FIELD: &str = "element";
/// How long a consumer waits on the server before it asks again.
const WAIT_SECONDS: u64 = 1;
/// How often a waiting consumer checks whether the run is over.
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// The pause after a failed command, so that an endpoint that is down is not asked in a busy loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);
