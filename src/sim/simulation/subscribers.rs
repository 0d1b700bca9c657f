//! The subscriptions, and those who publish to them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{SimShard, Simulation};
use crate::proto::resp::{Decoder, Encoder, Frame, Limits};
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId, SubscriptionKind};
use crate::rehearsal::NodeId;
use crate::sim::checkers::passwords::password;
use crate::sim::event_queue::SimEvent;
use crate::sim::outcomes::Call;
use crate::sim::plan::NODES;
use crate::sim::publications::{CHANNELS, NAMES, Name, name, shortened};
use crate::sim::subscription_caller::{Change, SubscriptionCaller};
use crate::sim::violation::Violation;

impl Simulation<'_> {
    pub(super) fn add_subscribers(&mut self) {
        let subscribers = &self.plan.parameters.subscribers;
        for shard in 0..self.shards.len() {
            for number in 0..subscribers.subscriptions {
                self.events.schedule(self.now, SimEvent::Subscription { number: self.subscriptions.len() });
                let is_slow = self.subscriber_random.u32(..3) == 0;
                self.subscriptions.push(SubscriptionCaller::new(shard, number, is_slow));
            }
        }
        for publisher in 0..subscribers.publishers {
            self.events.schedule(self.now, SimEvent::Publish { publisher });
        }
    }

    pub(super) fn run_subscription(&mut self, number: usize) -> Result<(), Violation> {
        self.read_subscription(number)?;
        let Some(caller) = self.subscriptions.get_mut(number) else { return Ok(()) };
        let shard = caller.shard;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        // The application knows of a shutdown.
        if self.is_recovering || state.is_shutting_down {
            return Ok(());
        }
        let buffer = self.plan.parameters.subscribers.buffer;
        let mut context = state.context(&mut self.subscriber_random, self.now);
        let (time, change) = caller.act(buffer, &mut context);
        self.events.schedule(self.now.after(time), SimEvent::Subscription { number });
        self.note_change(shard, change);
        self.drive(shard)
    }

    fn note_change(&mut self, shard: usize, change: Change) {
        self.trace.note(self.now, &[8, shard as u64], |line| {
            line.push_str(&shortened(&format!("shard {shard}: {change:?}")));
        });
        let Some(SimShard { subscriptions, .. }) = self.shards.get_mut(shard) else { return };
        match change {
            Change::Added(id, names) => subscriptions.note_added(id, &names),
            Change::Removed(id, names) => subscriptions.note_removed(id, &names),
            Change::Closed(id) => subscriptions.note_closed(id),
            Change::Nothing => {}
        }
    }

    /// The application reads what one of its subscriptions has.
    pub(super) fn read_subscription(&mut self, number: usize) -> Result<(), Violation> {
        if let Some(caller) = self.subscriptions.get_mut(number) {
            self.tally.lagged += caller.read()?;
        }
        Ok(())
    }

    /// Publishes a few messages on some channels.
    pub(super) fn run_publisher(&mut self, publisher: usize) {
        if self.is_recovering {
            return;
        }
        for _ in 0..self.subscriber_random.u32(1..4) {
            let channel = self.subscriber_random.usize(..CHANNELS.len());
            self.publish(publisher, channel);
        }
        let pause_us = self.plan.parameters.subscribers.pause_us;
        let time = match self.subscriber_random.u32(..10) {
            0..4 => Duration::from_micros(self.subscriber_random.u64(..pause_us / 16)),
            4..9 => Duration::from_micros(self.subscriber_random.u64(..pause_us)),
            _ => Duration::from_micros(self.subscriber_random.u64(..pause_us * 4)),
        };
        self.events.schedule(self.now.after(time), SimEvent::Publish { publisher });
    }

    fn publish(&mut self, publisher: usize, channel: usize) {
        let Some((command, name)) = CHANNELS.get(channel) else { return };
        let payload = self.publications.next_payload(publisher, channel);
        let reply = self.ask_without_faults(&[command, name, &payload]);
        if matches!(reply, Some(Frame::Integer(_))) {
            self.publications.note(publisher, channel, self.now);
        }
        self.send_replies(None);
    }

    /// The reply of the servers to a client at none of the nodes, so that no fault of a node affects it.
    fn ask_without_faults(&mut self, words: &[&str]) -> Option<Frame> {
        let micros = self.micros();
        let login = self.password.map(password);
        let session = self.server.open(NodeId(NODES), SocketAddr::from(([10, 1, 0, 3], 1000)), micros);
        let mut commands = Vec::new();
        let login: Vec<&str> = login.iter().flat_map(|password| ["AUTH", password]).collect();
        for words in [&login[..], words].into_iter().filter(|words| !words.is_empty()) {
            let mut encoder = Encoder::command(&mut commands, words.len());
            words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
        }
        self.server.handle_bytes(session, micros, &commands);
        let (mut decoder, mut output) = (Decoder::new(Limits::default()), self.server.output(session));
        let replies = std::iter::from_fn(|| decoder.decode(&mut output).ok().flatten());
        let reply = replies.last();
        self.server.end(session);
        reply
    }

    /// Checks the events for the subscriptions of a shard, and puts them into their inboxes.
    pub(super) fn deliver_events(&mut self, shard: usize) -> Result<(), Violation> {
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let events = std::mem::take(&mut state.outcomes.events);
        if self.subscriptions.is_empty() {
            return Ok(());
        }
        let stats = state.pool.subscriptions();
        state.subscriptions.check(&events, stats, &self.publications, self.now)?;
        for (id, event) in events {
            self.trace.note(self.now, &[9, shard as u64, u64::from(id.0)], |line| {
                line.push_str(&format!("shard {shard}: {id:?}: {}", describe(&event)));
            });
            self.deliver_event(shard, id, event)?;
        }
        Ok(())
    }

    fn deliver_event(
        &mut self,
        shard: usize,
        id: SubscriptionId,
        event: PubSubEvent,
    ) -> Result<(), Violation> {
        let is_open = |caller: &SubscriptionCaller| {
            caller.shard == shard && caller.open.as_ref().is_some_and(|open| open.id == id)
        };
        let Some(number) = self.subscriptions.iter().position(is_open) else { return Ok(()) };
        let Some(caller) = self.subscriptions.get_mut(number) else { return Ok(()) };
        if caller.deliver(event) {
            let time = Duration::from_micros(self.subscriber_random.u64(..500));
            self.events.schedule(self.now.after(time), SimEvent::Read { number });
        }
        if caller.is_resolved()
            && let Some(open) = &caller.open
            && let Some(state) = self.shards.get(shard)
        {
            self.tally.subscribed += 1;
            return state.subscriptions.check_resolved(open.id, &open.names);
        }
        Ok(())
    }

    /// Runs long after the last fault: every subscription gets the messages of all of its names. At last it is closed, and the
    /// servers have no subscriber any more.
    pub(super) fn check_subscriptions(&mut self) -> Result<(), Violation> {
        if self.subscriptions.is_empty() {
            return Ok(());
        }
        (0..CHANNELS.len()).for_each(|channel| self.publish(0, channel));
        self.run_until(self.now.after(PROBE_TIME))?;
        let recovering: Vec<usize> =
            (0..self.shards.len()).filter(|shard| self.can_subscribe(*shard)).collect();
        for shard in &recovering {
            let Some(state) = self.shards.get(*shard) else { continue };
            state.subscriptions.check_recovered(&self.publications)?;
        }
        for number in 0..self.subscriptions.len() {
            self.read_subscription(number)?;
        }
        self.subscriptions.iter().try_for_each(SubscriptionCaller::check_read)?;
        // A shard that need not have a connection may have one.
        if recovering.len() == self.shards.iter().filter(|state| !state.is_shutting_down).count() {
            self.check_subscribers(&self.wanted(&recovering))?;
        }
        for number in 0..self.subscriptions.len() {
            self.close_subscription(number)?;
        }
        // Then callers that wait may have its connection, which is closed in turn.
        self.run_until(self.now.after((self.plan.parameters.exclusive.idle + PROBE_TIME) * 2))?;
        self.check_subscribers(&BTreeMap::new())
    }

    fn close_subscription(&mut self, number: usize) -> Result<(), Violation> {
        let Some(caller) = self.subscriptions.get_mut(number) else { return Ok(()) };
        let shard = caller.shard;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let change = caller.close(&mut state.context(&mut self.subscriber_random, self.now));
        self.note_change(shard, change);
        self.drive(shard)
    }

    /// Whether a shard can have a connection for its subscriptions: it is not shut down, and not all are in use for ever.
    fn can_subscribe(&self, shard: usize) -> bool {
        let Some(SimShard { outcomes, is_shutting_down, .. }) = self.shards.get(shard) else { return false };
        let endless = outcomes.calls.values().filter(|call| Call::is_endless(call)).count();
        !is_shutting_down && endless < self.plan.parameters.exclusive.connections_max
    }

    /// How many of these shards want each name.
    fn wanted(&self, shards: &[usize]) -> BTreeMap<Name, i64> {
        let mut wanted = BTreeMap::new();
        for state in shards.iter().filter_map(|shard| self.shards.get(*shard)) {
            for name in state.subscriptions.names() {
                *wanted.entry(name.clone()).or_default() += 1;
            }
        }
        wanted
    }

    /// The servers have one subscriber for each shard that wants a name, and no other.
    fn check_subscribers(&mut self, wanted: &BTreeMap<Name, i64>) -> Result<(), Violation> {
        for (kind, bytes) in (0..NAMES.len()).map(name) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let command = match kind {
                SubscriptionKind::Channel => "NUMSUB",
                SubscriptionKind::Sharded => "SHARDNUMSUB",
                SubscriptionKind::Pattern => continue,
            };
            let Some(Frame::Array(found)) = self.ask_without_faults(&["PUBSUB", command, &text]) else {
                continue;
            };
            let expected = wanted.get(&(kind, bytes)).copied().unwrap_or_default();
            if found.last() != Some(&Frame::Integer(expected)) {
                let what =
                    format!("{text} has {:?} subscribers, and {expected} shards want it", found.last());
                return Err(Violation::new("a name is subscribed once for each shard", what));
            }
        }
        Ok(())
    }
}

/// An event with the stamp of its message.
fn describe(event: &PubSubEvent) -> String {
    match event {
        PubSubEvent::Message(message) => {
            let pattern = message.pattern.as_deref().unwrap_or_default();
            format!(
                "{} {} {}",
                message.channel.escape_ascii(),
                message.payload.escape_ascii(),
                pattern.escape_ascii()
            )
        }
        event => shortened(&format!("{event:?}")),
    }
}

/// The longest way of a message, or of the end of a subscription.
const PROBE_TIME: Duration = Duration::from_secs(2);
