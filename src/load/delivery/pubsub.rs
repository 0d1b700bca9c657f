//! The publishers and subscribers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::or;

use super::outcome::Failures;
use super::pace::Pace;
use super::place::Place;
use super::plan::DeliveryPlan;
use super::sequence::Sequence;
use super::stamp::Stamp;
use crate::Error;
use crate::command::Commands;
use crate::driver::subscriptions::PubSubEvent;

/// What a publisher returns.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) publisher: usize,
    /// For each channel, how many messages were sent, and the numbers of those that were not confirmed.
    pub(super) channels: Vec<(u64, Vec<u64>)>,
    pub(super) failures: Failures,
    /// Elements that were due and never sent.
    pub(super) unsent: u64,
}

/// What a subscriber returns.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Why it could not subscribe.
    pub(super) refused: Option<Error>,
    /// By publisher and channel.
    pub(super) sequences: BTreeMap<(usize, usize), Sequence>,
    pub(super) delivered: u64,
    /// Messages that were dropped because the subscriber was too slow.
    pub(super) lagged: u64,
    /// Gaps that the client announced.
    pub(super) announced_gaps: u64,
    /// Messages that are not of this run, or not of its channels.
    pub(super) unexpected: u64,
}

/// Publishes numbered messages to all channels in turn, until the end of the run.
pub(super) async fn publish<P: Place>(place: P, plan: Arc<DeliveryPlan>, publisher: usize) -> Published {
    let names = plan.channels();
    let mut pace = Pace::new(plan.clone(), publisher);
    let mut published =
        Published { publisher, channels: vec![(0, Vec::new()); names.len()], ..Published::default() };
    // Publishers begin at different channels.
    let mut turn = publisher;
    while let Some(due) = pace.next(&place).await {
        let index = turn % names.len().max(1);
        turn += 1;
        let (Some(name), Some((sent, failed))) = (names.get(index), published.channels.get_mut(index)) else {
            break;
        };
        let stamp = Stamp { run: plan.run, source: publisher, number: *sent, at: plan.stamp_at(due) };
        *sent += 1;
        match place.commands().publish(name, stamp.to_string()).await {
            Ok(_) => plan.note_confirmed(),
            Err(error) => {
                failed.push(stamp.number);
                published.failures.note(&error);
                plan.note_failure();
                place.sleep(FAILURE_PAUSE).await;
            }
        }
    }
    plan.source_finished();
    published.unsent = pace.unsent();
    published
}

/// Receives messages until the publishers have finished and all have come, or the time for it is over.
pub(super) async fn subscribe<P: Place>(place: P, plan: Arc<DeliveryPlan>, subscriber: usize) -> Heard {
    let names = plan.channels();
    let mut heard = Heard::default();
    let mut subscription = match place.subscribe(names.clone()).await {
        Ok(subscription) => subscription,
        Err(error) => {
            plan.abort();
            return Heard { refused: Some(error), ..heard };
        }
    };
    plan.sink_ready();
    let channels: BTreeMap<&[u8], usize> =
        names.iter().enumerate().map(|(index, name)| (name.as_bytes(), index)).collect();
    loop {
        let delivered = heard.delivered;
        let drained = async {
            while !plan.is_drained(delivered) {
                place.sleep(DRAIN_CHECK).await;
            }
            None
        };
        match or(subscription.next(), drained).await {
            Some(event) => heard.note(&plan, subscriber, &channels, event),
            None => break,
        }
    }
    heard
}

impl Heard {
    fn note(
        &mut self,
        plan: &DeliveryPlan,
        subscriber: usize,
        channels: &BTreeMap<&[u8], usize>,
        event: PubSubEvent,
    ) {
        match event {
            PubSubEvent::Message(message) => {
                let channel = channels.get(&message.channel[..]);
                let stamp = Stamp::parse(&message.payload, plan.run);
                let (Some(channel), Some(stamp)) = (channel, stamp) else {
                    self.unexpected += 1;
                    return;
                };
                self.delivered += 1;
                plan.note_arrival(subscriber, stamp.at);
                self.sequences.entry((stamp.source, *channel)).or_default().receive(stamp.number);
            }
            PubSubEvent::Gap { name, .. } => {
                self.announced_gaps += 1;
                let Some(channel) = channels.get(&name[..]) else { return };
                for publisher in 0..plan.delivery.sources() {
                    self.sequences.entry((publisher, *channel)).or_default().announce_gap();
                }
            }
            PubSubEvent::Lagged(count) => self.lagged += count,
        }
    }
}

/// How often a waiting subscriber checks whether the run is over.
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// The pause after a failed command, so that an endpoint that is down is not asked in a busy loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);
