//! [`LinkState`]: the commands of one connection, from their queue to their answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::command::{Direction, Verb};
use super::names::Name;
use crate::proto::time::{Instant, earliest};

/// The generation of one connection that carries the subscriptions of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Link(pub(crate) u32);

/// One of the two connections that can exist at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The connection in use. During a handoff it is the predecessor.
    Current,
    /// The connection that takes over. It exists during a handoff only.
    Successor,
}

/// The connections that carry subscriptions.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) current: Option<LinkState>,
    pub(super) successor: Option<LinkState>,
}

impl Links {
    #[inline]
    pub(super) fn side_of(&self, link: Link) -> Option<Side> {
        let is = |state: &Option<LinkState>| state.as_ref().is_some_and(|state| state.id == link);
        match (is(&self.current), is(&self.successor)) {
            (true, _) => Some(Side::Current),
            (false, true) => Some(Side::Successor),
            (false, false) => None,
        }
    }

    #[inline]
    pub(super) fn get(&self, side: Side) -> Option<&LinkState> {
        match side {
            Side::Current => self.current.as_ref(),
            Side::Successor => self.successor.as_ref(),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, side: Side) -> Option<&mut LinkState> {
        match side {
            Side::Current => self.current.as_mut(),
            Side::Successor => self.successor.as_mut(),
        }
    }
}

/// The commands of one connection.
///
/// A name waits in one queue. [`LinkState::take_queued`] gives it out, and its owner decides whether it still needs the
/// command. What is written stays in `unanswered` until the server has answered, since errors name no command: an error
/// answers the oldest one. The list is bounded: no command is handed out while it is full.
#[derive(Debug)]
pub(super) struct LinkState {
    id: Link,
    last_byte: Instant,
    queues: BTreeMap<Batch, VecDeque<Bytes>>,
    /// Names that are queued again later, the earliest first.
    delayed: VecDeque<(Instant, Verb, Bytes)>,
    /// The oldest first.
    unanswered: VecDeque<Unanswered>,
    /// How many of the oldest have waited longer than an answer may take.
    overdue: usize,
}

/// The commands that share a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    pub(super) verb: Verb,
    /// One name to a command, because the server has refused them together.
    is_single: bool,
}

/// A command that the server has not fully answered.
#[derive(Debug)]
struct Unanswered {
    verb: Verb,
    names: Vec<Bytes>,
    /// How many of the names are answered.
    answered: usize,
    at: Instant,
}

/// A command that the server has refused.
#[derive(Debug)]
pub(super) struct RefusedCommand {
    pub(super) verb: Verb,
    /// The names without an answer.
    pub(super) names: Vec<Bytes>,
    /// The command had one name only, so that the refusal is of this name.
    pub(super) is_single: bool,
}

impl LinkState {
    pub(super) fn new(id: Link, now: Instant) -> Self {
        LinkState {
            id,
            last_byte: now,
            queues: BTreeMap::new(),
            delayed: VecDeque::new(),
            unanswered: VecDeque::new(),
            overdue: 0,
        }
    }

    #[inline]
    pub(super) fn id(&self) -> Link {
        self.id
    }

    /// When the last bytes arrived.
    pub(super) fn last_byte(&self) -> Instant {
        self.last_byte
    }

    #[inline]
    pub(super) fn note_bytes(&mut self, now: Instant) {
        self.last_byte = self.last_byte.max(now);
    }

    pub(super) fn queue(&mut self, direction: Direction, name: &Name) {
        let batch = Batch { verb: Verb::of(name.kind, direction), is_single: false };
        self.queues.entry(batch).or_default().push_back(name.bytes.clone());
    }

    /// Queues a name for a command of its own.
    pub(super) fn queue_single(&mut self, direction: Direction, name: &Name) {
        let batch = Batch { verb: Verb::of(name.kind, direction), is_single: true };
        self.queues.entry(batch).or_default().push_back(name.bytes.clone());
    }

    /// Queues a name a little later.
    pub(super) fn queue_later(&mut self, direction: Direction, name: &Name, now: Instant) {
        let verb = Verb::of(name.kind, direction);
        self.delayed.push_back((now.after(RETRY_AFTER), verb, name.bytes.clone()));
    }

    /// The batch that is due, unless too many commands wait for their answers.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        if self.unanswered.len() >= UNANSWERED_MAX {
            return None;
        }
        self.queues.iter().find(|(_, queue)| !queue.is_empty()).map(|(batch, _)| *batch)
    }

    /// The next name of a batch that holds `count` names of `bytes` bytes so far; `None` if the batch is complete.
    pub(super) fn take_queued(&mut self, batch: Batch, count: usize, bytes: usize) -> Option<Bytes> {
        let names_max = if batch.is_single { 1 } else { COMMAND_NAMES_MAX };
        let queue = self.queues.get_mut(&batch)?;
        let length = queue.front()?.len();
        // A name that is longer than a command may be has a command of its own.
        let is_full = count >= names_max || (count > 0 && bytes.saturating_add(length) > COMMAND_BYTES_MAX);
        if is_full { None } else { queue.pop_front() }
    }

    /// A command is written.
    pub(super) fn note_asked(&mut self, verb: Verb, names: Vec<Bytes>, now: Instant) {
        self.unanswered.push_back(Unanswered { verb, names, answered: 0, at: now });
    }

    #[cfg(test)]
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// A push has confirmed `verb` for `name`.
    ///
    /// The server answers in order, so the push answers the next name of the oldest command. A push that fits a later
    /// command shows that the answers to the ones before it are lost. That is not true of `sunsubscribe`, which the
    /// server also sends without being asked.
    pub(super) fn note_confirmation(&mut self, verb: Verb, name: &Bytes) {
        let fits = |command: &Unanswered| {
            let mut rest = command.names.iter().skip(command.answered);
            (command.verb == verb).then(|| rest.position(|one| one == name)).flatten()
        };
        let is_next = self.unanswered.front().and_then(fits) == Some(0);
        if !is_next && verb == Verb::SUnsubscribe {
            return;
        }
        let mut commands = self.unanswered.iter().enumerate();
        let Some((index, offset)) = commands.find_map(|(index, one)| Some((index, fits(one)?))) else {
            return;
        };
        self.forget_oldest(index);
        if let Some(command) = self.unanswered.front_mut() {
            command.answered += offset + 1;
            if command.answered >= command.names.len() {
                self.forget_oldest(1);
            }
        }
    }

    /// The server has refused the oldest command.
    pub(super) fn take_refused(&mut self) -> Option<RefusedCommand> {
        let Unanswered { verb, mut names, answered, .. } = self.unanswered.pop_front()?;
        self.overdue = self.overdue.saturating_sub(1);
        let is_single = names.len() == 1;
        names.drain(..answered.min(names.len()));
        Some(RefusedCommand { verb, names, is_single })
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let oldest = self.unanswered.get(self.overdue).map(|command| command.at.after(ANSWER_TIMEOUT));
        earliest(oldest, self.delayed.front().map(|(due, ..)| *due))
    }

    /// Queues the delayed names that are due, and returns the names that have waited too long for their answers.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(Verb, Bytes)> {
        while self.delayed.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, verb, name)) = self.delayed.pop_front() {
                self.queues.entry(Batch { verb, is_single: false }).or_default().push_back(name);
            }
        }
        let mut overdue = Vec::new();
        while let Some(command) = self.unanswered.get(self.overdue) {
            if command.at.after(ANSWER_TIMEOUT) > now {
                break;
            }
            let rest = command.names.iter().skip(command.answered);
            overdue.extend(rest.map(|name| (command.verb, name.clone())));
            self.overdue += 1;
        }
        overdue
    }

    fn forget_oldest(&mut self, count: usize) {
        self.unanswered.drain(..count.min(self.unanswered.len()));
        self.overdue = self.overdue.saturating_sub(count);
    }
}

/// A confirmation that does not come within this time is asked for again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A name that the server cannot serve now, such as one of a slot that is moving, is asked for again after this time.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(250);
/// The server's parser and other clients wait while it works on one command.
pub(super) const COMMAND_NAMES_MAX: usize = 512;
pub(super) const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Bounds the memory that a server takes which does not answer.
pub(super) const UNANSWERED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::subscriptions::event::SubscriptionKind;

    fn name(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn link_with(commands: &[(Verb, &[&'static str])]) -> LinkState {
        let mut link = LinkState::new(Link(1), Instant::default());
        for (verb, names) in commands {
            link.note_asked(*verb, names.iter().copied().map(name).collect(), Instant::default());
        }
        link
    }

    #[test]
    fn confirmations_answer_the_oldest_command_name_by_name() {
        let mut link = link_with(&[(Verb::Subscribe, &["a", "b"]), (Verb::Unsubscribe, &["a"])]);
        link.note_confirmation(Verb::Subscribe, &name("a"));
        assert_eq!(link.unanswered(), 2);
        link.note_confirmation(Verb::Subscribe, &name("b"));
        assert_eq!(link.unanswered(), 1);
        link.note_confirmation(Verb::Unsubscribe, &name("a"));
        assert_eq!(link.unanswered(), 0);
    }

    #[test]
    fn unsolicited_sunsubscribe_answers_no_command() {
        let mut link = link_with(&[(Verb::SSubscribe, &["a"]), (Verb::SUnsubscribe, &["b"])]);
        link.note_confirmation(Verb::SUnsubscribe, &name("b"));
        link.note_confirmation(Verb::SUnsubscribe, &name("a"));
        assert_eq!(link.unanswered(), 2);
    }

    #[test]
    fn later_confirmation_shows_that_earlier_answers_are_lost() {
        let mut link = link_with(&[(Verb::Subscribe, &["a", "b"]), (Verb::Subscribe, &["c", "d"])]);
        link.note_confirmation(Verb::Subscribe, &name("d"));
        assert_eq!(link.unanswered(), 0);
        link.note_confirmation(Verb::Subscribe, &name("d"));
        assert_eq!(link.unanswered(), 0, "a push that fits no command changes nothing");
    }

    #[test]
    fn refusal_takes_the_names_without_an_answer() {
        let mut link = link_with(&[(Verb::PSubscribe, &["a", "b"])]);
        link.note_confirmation(Verb::PSubscribe, &name("a"));
        let refused = link.take_refused().unwrap();
        assert_eq!((refused.verb, refused.is_single), (Verb::PSubscribe, false));
        assert_eq!(refused.names, [name("b")]);
        assert!(link.take_refused().is_none());
    }

    #[test]
    fn command_is_bounded_in_names_and_bytes() {
        let mut link = link_with(&[]);
        for bytes in [vec![b'a'; COMMAND_BYTES_MAX + 1], vec![b'b'; 40 << 10], vec![b'c'; 30 << 10]] {
            let name = Name { kind: SubscriptionKind::Channel, bytes: bytes.into() };
            link.queue(Direction::Subscribe, &name);
        }
        let batch = link.next_batch().unwrap();
        let long = link.take_queued(batch, 0, 0).unwrap();
        assert_eq!(link.take_queued(batch, 1, long.len()), None);
        let shorter = link.take_queued(batch, 0, 0).unwrap();
        assert_eq!(link.take_queued(batch, 1, shorter.len()), None);
        assert_eq!(link.take_queued(batch, COMMAND_NAMES_MAX, 0), None);
        assert!(link.take_queued(batch, COMMAND_NAMES_MAX - 1, 0).is_some());
        assert_eq!(link.next_batch(), None);
    }

    #[test]
    fn no_command_is_handed_out_while_too_many_are_unanswered() {
        let mut link = link_with(&[(Verb::Subscribe, &["a"][..]); UNANSWERED_MAX]);
        link.queue(Direction::Subscribe, &Name { kind: SubscriptionKind::Channel, bytes: name("b") });
        assert_eq!(link.next_batch(), None);
        link.note_confirmation(Verb::Subscribe, &name("a"));
        assert!(link.next_batch().is_some());
    }

    #[test]
    fn each_command_is_overdue_once() {
        let mut link = link_with(&[(Verb::Subscribe, &["a"]), (Verb::Subscribe, &["b"])]);
        let due = Instant::default().after(ANSWER_TIMEOUT);
        assert_eq!(link.next_timeout(), Some(due));
        assert_eq!(link.handle_timeout(due).len(), 2);
        assert_eq!((link.next_timeout(), link.handle_timeout(due).len()), (None, 0));
        link.note_confirmation(Verb::Subscribe, &name("a"));
        link.note_asked(Verb::Subscribe, vec![name("c")], due);
        assert_eq!(link.next_timeout(), Some(due.after(ANSWER_TIMEOUT)));
    }
}
