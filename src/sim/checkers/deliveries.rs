//! A subscriber reads what its shard has delivered, in order. What its full buffer has dropped is counted, exactly and at its place.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::driver::subscriptions::PubSubEvent as ReadEvent;
use crate::proto::subscriptions::{Message, PubSubEvent};
use crate::sim::violation::Violation;

/// What the shard has delivered to one subscription, and what its subscriber has not read.
#[derive(Debug)]
pub(in crate::sim) struct Deliveries {
    due: VecDeque<Due>,
    /// How many messages before the last gap were dropped, and not counted yet.
    owed: u64,
    /// A full buffer ends the subscription.
    may_end: bool,
    is_over: bool,
}

#[derive(Debug)]
enum Due {
    Message(Message),
    Gap(Bytes),
}

impl Deliveries {
    pub(in crate::sim) fn new(may_end: bool) -> Self {
        Deliveries { due: VecDeque::new(), owed: 0, may_end, is_over: false }
    }

    /// The shard delivers this.
    pub(in crate::sim) fn note(&mut self, event: &PubSubEvent) {
        self.due.extend(match event {
            PubSubEvent::Message(message) => Some(Due::Message(message.clone())),
            PubSubEvent::Gap { name, .. } => Some(Due::Gap(name.clone())),
            _ => None,
        });
    }

    /// The subscriber reads this; `None` at the end. Returns how many messages it is told to have missed.
    pub(in crate::sim) fn check(&mut self, event: Option<&ReadEvent>) -> Result<u64, Violation> {
        match event {
            Some(ReadEvent::Message(message)) => self.check_message(message).map(|()| 0),
            Some(ReadEvent::Gap { name, .. }) => {
                while let Some(due) = self.due.pop_front() {
                    match due {
                        // A dropped message is counted behind the gap.
                        Due::Message(_) => self.owed += 1,
                        Due::Gap(due) if due == name => return Ok(0),
                        Due::Gap(due) => return violated(format!("the gap of {due:?} is not read")),
                    }
                }
                violated(format!("a gap of {name:?} is read that the shard has not delivered"))
            }
            Some(ReadEvent::Lagged(count)) => self.check_lagged(*count).map(|()| *count),
            None if self.may_end => {
                self.is_over = true;
                Ok(0)
            }
            None => violated("the subscription has ended".to_owned()),
        }
    }

    /// After the last read: nothing is left.
    pub(in crate::sim) fn check_empty(&self) -> Result<(), Violation> {
        match self.due.front() {
            Some(due) if !self.is_over => {
                violated(format!("{due:?} is not read, with {} more", self.due.len()))
            }
            _ if self.owed > 0 && !self.is_over => {
                violated(format!("{} messages are not counted", self.owed))
            }
            _ => Ok(()),
        }
    }

    fn check_message(&mut self, read: &crate::driver::subscriptions::Message) -> Result<(), Violation> {
        let payload = read.payload.escape_ascii();
        match self.due.pop_front() {
            _ if self.owed > 0 => {
                violated(format!("{} messages before {payload} are not counted", self.owed))
            }
            Some(Due::Message(due))
                if due.payload == read.payload
                    && due.channel == read.channel
                    && due.pattern == read.pattern =>
            {
                Ok(())
            }
            Some(Due::Message(due)) => {
                violated(format!("{payload} is read, and {} is due", due.payload.escape_ascii()))
            }
            due => violated(format!("{payload} is read, and {due:?} is due")),
        }
    }

    fn check_lagged(&mut self, count: u64) -> Result<(), Violation> {
        let mut left = count.checked_sub(std::mem::take(&mut self.owed));
        while let Some(more) = left.filter(|left| *left > 0) {
            match self.due.pop_front() {
                Some(Due::Message(_)) => left = Some(more - 1),
                due => {
                    return violated(format!(
                        "{count} messages are told to be missed, {more} of them before {due:?}"
                    ));
                }
            }
        }
        match left {
            Some(_) => Ok(()),
            None => violated(format!("{count} messages are told to be missed, and more were")),
        }
    }
}

fn violated<T>(what: String) -> Result<T, Violation> {
    Err(Violation::new("what a full buffer drops is counted", what))
}
