//! Each rule on its own, with pushes and times written out; and a model of a server with random interleavings.

mod allocation;
mod asking;
mod cut_short;
mod handoff;
mod loss;
mod matching;
mod model;
mod published;

use std::time::Duration;

use super::*;

const A: SubscriptionId = SubscriptionId(1);
const B: SubscriptionId = SubscriptionId(2);
const OLD: Link = Link(1);
const NEW: Link = Link(2);
const NEWEST: Link = Link(3);
const CHANNEL: SubscriptionKind = SubscriptionKind::Channel;
const PATTERN: SubscriptionKind = SubscriptionKind::Pattern;
const SHARDED: SubscriptionKind = SubscriptionKind::Sharded;

/// Events in the words of the tests: `1 message a: x`.
#[derive(Default)]
struct Events(Vec<String>);

impl Receive for Events {
    fn deliver(&mut self, to: SubscriptionId, event: PubSubEvent) {
        let words = match event {
            PubSubEvent::Message(message) => {
                let (channel, payload) = (words(&message.channel), words(&message.payload));
                match message.pattern {
                    Some(pattern) => format!("message {} {channel}: {payload}", words(&pattern)),
                    None => format!("message {channel}: {payload}"),
                }
            }
            PubSubEvent::Gap { name, since, until, reason, .. } => {
                format!("gap {}: {}-{} {reason:?}", words(&name), millis(since), millis(until))
            }
            PubSubEvent::Confirmed { name, .. } => format!("confirmed {}", words(&name)),
            PubSubEvent::Refused { name, reply, .. } => {
                format!("refused {}: {}", words(&name), words(&reply))
            }
            PubSubEvent::Unsubscribed { name, .. } => format!("unsubscribed {}", words(&name)),
        };
        self.0.push(format!("{} {words}", to.0));
    }
}

impl Subscriptions {
    fn assert_consistent(&mut self) {
        let is_handoff = self.links.successor.is_some();
        let (mut following, mut merging) = (0, 0);
        for state in self.names.values_mut() {
            state.assert_consistent(is_handoff);
            following += usize::from(state.is_following());
            merging += usize::from(state.is_merging());
        }
        assert_eq!((following, merging, following > 0), (self.following, self.merging, is_handoff));
        assert!(!self.is_settled() || (self.held.get() == 0 && self.deadlines.is_empty()));
    }
}

/// The subscriptions of a shard at a time that the test sets.
struct Fixture {
    subscriptions: Subscriptions,
    events: Events,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Fixture { subscriptions: Subscriptions::default(), events: Events::default(), now: at(0) }
    }

    /// With the connection `OLD`, and the subscription `A` to these channels, which are confirmed.
    fn subscribed(channels: &[&'static str]) -> Self {
        let mut fixture = Fixture::new();
        fixture.ready(OLD);
        for channel in channels {
            fixture.add(A, CHANNEL, channel);
        }
        fixture.answer(OLD);
        fixture.events();
        fixture
    }

    /// The same while `NEW` takes over: it has confirmed all channels, and their fences are asked for.
    fn overlapping(channels: &[&'static str]) -> Self {
        let mut fixture = Fixture::subscribed(channels);
        fixture.successor(NEW);
        fixture.answer(NEW);
        assert_eq!(fixture.commands(OLD), [format!("UNSUBSCRIBE {}", channels.join(" "))]);
        fixture
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = at(millis);
        self
    }

    fn ready(&mut self, link: Link) {
        self.subscriptions.handle_ready(link, self.now, &mut self.events);
    }

    fn successor(&mut self, link: Link) {
        self.subscriptions.handle_successor(link, self.now, &mut self.events);
    }

    fn lose(&mut self, link: Link) {
        self.subscriptions.handle_lost(link, self.now, &mut self.events);
    }

    fn timeout(&mut self) {
        self.subscriptions.handle_timeout(self.now, &mut self.events);
    }

    fn add(&mut self, id: SubscriptionId, kind: SubscriptionKind, name: &'static str) {
        self.subscriptions.add(id, kind, bytes(name), self.now, &mut self.events);
    }

    fn remove(&mut self, id: SubscriptionId, kind: SubscriptionKind, name: &'static str) {
        self.subscriptions.remove(id, kind, bytes(name), self.now, &mut self.events);
    }

    /// A push of these words.
    fn push(&mut self, link: Link, items: &str) {
        let items: Vec<Frame> =
            items.split(' ').map(|word| Frame::Bulk(Bytes::copy_from_slice(word.as_bytes()))).collect();
        assert!(self.subscriptions.handle_push(link, &items, self.now, &mut self.events));
    }

    fn refuse(&mut self, link: Link, reply: &'static str) {
        self.subscriptions.handle_refusal(link, bytes(reply), self.now, &mut self.events);
    }

    /// The commands to write: `SUBSCRIBE a b`.
    fn commands(&mut self, link: Link) -> Vec<String> {
        let poll = || self.subscriptions.poll_command(link, self.now);
        std::iter::from_fn(poll)
            .map(|command| {
                let names: Vec<String> = command.names.iter().map(|name| words(name)).collect();
                format!("{} {}", command.verb.as_str(), names.join(" "))
            })
            .collect()
    }

    /// The server confirms all commands.
    fn answer(&mut self, link: Link) {
        for command in self.commands(link) {
            self.confirm(link, &command);
        }
    }

    /// The server confirms one command.
    fn confirm(&mut self, link: Link, command: &str) {
        let mut words = command.split(' ');
        let verb = words.next().unwrap().to_lowercase();
        words.for_each(|name| self.push(link, &format!("{verb} {name}")));
    }

    /// The events since the last call.
    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events.0)
    }
}

fn at(millis: u64) -> Instant {
    Instant::default().after(Duration::from_millis(millis))
}

fn millis(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
