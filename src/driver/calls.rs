//! [`Calls`]: the callers that wait for replies, by ticket.

mod slot;

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use self::slot::{QueuedAt, Slot, SlotState};
#[cfg(any(feature = "glommio", test))]
pub(crate) use super::cancellation::CancelReason;
pub(crate) use super::cancellation::Cancellation;
use super::clock::Clock;
use super::due::Due;
pub(crate) use super::due::{Answer, Caller};
use super::foreign::ForeignCall;
use super::pushes::Pushes;
use super::runtime::Runtime;
use super::subscriptions::SubscriptionOutbox;
use crate::error::ErrorKind;
use crate::observe::CommandStats;
use crate::proto::connection::{Deliver, Position, Ticket};
use crate::proto::error::Failure;
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId};
use crate::proto::time::Instant;

/// The end of a call that another thread keeps.
pub(crate) type Call = ForeignCall<Answer>;

/// The call table: the open calls of a shard, by ticket.
///
/// A call is a slot. It is taken when a command is submitted, filled when its reply comes, and given back when its caller
/// takes the reply or leaves. A command allocates nothing at steady state. Every ticket is answered exactly once: by
/// [`Deliver::reply`] or [`Deliver::fail`], or by the caller that leaves.
///
/// A slot keeps the waker of its last caller. A task that takes a reply and calls again gets the slot that it has just given
/// back, and finds its own waker in it, so that no command clones and drops a waker. A waker also keeps the memory of its
/// task. [`Calls::forget_wakers`] drops those that have been of no use for [`KEPT_MAX`].
///
/// The state of the shard is borrowed wherever a method of this type runs, and waking may run code that submits or cancels.
/// So no method wakes a caller or drops a waker. They collect what is due, pushes included. The caller of the method takes it
/// with [`Calls::take_due`], ends the borrow, [settles](Due::settle) it, and gives the memory back to [`Calls::reuse`].
pub(crate) struct Calls<R: Runtime> {
    slots: Vec<Slot>,
    /// The slots that no call uses. The next call gets the last of them.
    vacant: Vec<u32>,
    /// How many calls belong to callers on other threads, and how many of those may wait for room beyond [`CALLS_MAX`].
    foreign: usize,
    waiting_max: usize,
    /// A slot that no call uses may keep a waker.
    keeps_wakers: bool,
    forgotten_at: Instant,
    pub(crate) pushes: Pushes<R>,
    /// Where the events of each subscription go.
    pub(crate) subscriptions: BTreeMap<SubscriptionId, SubscriptionOutbox>,
    clock: Clock,
    pub(crate) counts: CommandStats,
    /// How long the stall took that has just ended, if one has.
    pub(crate) blocked: Option<Duration>,
    /// What callers have left with calls whose answers they do not want. Not in the slots, which commands pay for.
    guards: BTreeMap<u32, Box<dyn Send + Sync>>,
    due: Due<R>,
}

/// What a caller that wants no answer leaves with its call.
type Guard = Option<Box<dyn Send + Sync>>;

impl<R: Runtime> Calls<R> {
    /// An empty table, in which so many calls of other threads have room beyond [`CALLS_MAX`].
    pub(crate) fn with_waiting(waiting_max: usize) -> Self {
        Calls { waiting_max, ..Calls::default() }
    }

    /// Opens a call for one command, or for a batch with so many replies.
    ///
    /// # Errors
    /// If tasks of this shard have [`CALLS_MAX`] open.
    // The call took 24 of the 1,620 instructions of a GET through a client.
    #[inline(always)]
    pub(crate) fn open(&mut self, batch: Option<u32>) -> Result<Ticket, Failure> {
        // Where callers use the pool directly, it is the pool that they wait in.
        let most = CALLS_MAX + if R::IS_SHARED { self.waiting_max } else { 0 };
        if self.len() - self.foreign >= most {
            self.counts.error(ErrorKind::Overloaded);
            return Err(Failure::Overloaded);
        }
        self.counts.issued += 1;
        Ok(self.insert(batch))
    }

    /// The same for a caller on another thread. `None` if it has left. `None` as well if [`CALLS_MAX`] are open and the
    /// waiting room is full: then the caller gets an error.
    pub(crate) fn open_foreign(&mut self, caller: Caller, batch: Option<u32>) -> Option<Ticket> {
        if self.foreign >= CALLS_MAX + self.waiting_max {
            self.counts.error(ErrorKind::Overloaded);
            self.due.foreign.push((caller, Err(Failure::Overloaded)));
            return None;
        }
        let ticket = self.insert(batch);
        let slot = self.slots.get_mut(ticket.0 as usize)?;
        if caller.accept(ticket.0) {
            slot.state = SlotState::Foreign(caller, None);
            self.foreign += 1;
            self.counts.issued += 1;
            return Some(ticket);
        }
        slot.state = SlotState::Vacant;
        self.vacate(ticket);
        None
    }

    /// Notes where the command of a foreign call is queued, and returns the buffer in which it came to its caller.
    pub(crate) fn note_position(
        &mut self,
        ticket: Ticket,
        entry: EntryId,
        position: Position,
        buffer: Vec<u8>,
    ) {
        let slot = self.slots.get_mut(ticket.0 as usize);
        if let Some(SlotState::Foreign(caller, queued_at)) = slot.map(|slot| &mut slot.state) {
            *queued_at = Some((entry, position));
            caller.return_buffer(buffer);
        }
    }

    /// Where the command of a cancelled call is, or was, queued; `None` if it is answered.
    pub(crate) fn position_of(&self, cancellation: &Cancellation) -> QueuedAt {
        match &self.slots.get(cancellation.ticket.0 as usize)?.state {
            SlotState::Foreign(caller, queued_at) if caller.is_of(&cancellation.call) => *queued_at,
            _ => None,
        }
    }

    /// The caller polls: it takes its answer, which gives the slot back, or its waker is kept. The other result is a waker to
    /// drop after the borrow.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        ticket: Ticket,
        context: &mut Context<'_>,
    ) -> (Poll<Answer>, Option<Waker>) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return (Poll::Pending, None) };
        match &mut slot.state {
            SlotState::Open | SlotState::Awaited => {
                slot.state = SlotState::Awaited;
                match &slot.waker {
                    Some(waker) if waker.will_wake(context.waker()) => (Poll::Pending, None),
                    _ => (Poll::Pending, slot.waker.replace(context.waker().clone())),
                }
            }
            SlotState::Answered(_) => match std::mem::take(&mut slot.state) {
                SlotState::Answered(answer) => {
                    self.vacate(ticket);
                    (Poll::Ready(answer), None)
                }
                _ => (Poll::Pending, None),
            },
            SlotState::Vacant | SlotState::Foreign(..) | SlotState::Forgotten => (Poll::Pending, None),
        }
    }

    /// The caller leaves. True if the call was not answered, so that its command has to be abandoned. The slot is to be
    /// dropped after the borrow.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> (bool, Option<Slot>) {
        let slot = self.slots.get_mut(ticket.0 as usize).filter(|slot| slot.is_used());
        let Some(left) = slot.map(std::mem::take) else { return (false, None) };
        let is_open = !matches!(left.state, SlotState::Answered(_));
        self.foreign -= usize::from(matches!(left.state, SlotState::Foreign(..)));
        self.counts.cancelled += u64::from(is_open);
        self.vacate(ticket);
        (is_open, Some(left))
    }

    /// The pool refused the command of a call that was just opened.
    pub(crate) fn withdraw(&mut self, ticket: Ticket, failure: &Failure) {
        self.leave(ticket);
        self.counts.issued -= 1;
        self.counts.cancelled -= 1;
        self.counts.error(ErrorKind::of(failure));
    }

    /// The caller wants no answer, and the command runs. `guard` is dropped when it has run. Returns what is to be dropped after
    /// the borrow.
    pub(crate) fn forget(&mut self, ticket: Ticket, guard: Guard) -> Option<(Option<Slot>, Guard)> {
        if !self.is_open(ticket) {
            return Some((self.leave(ticket).1, guard));
        }
        let slot = self.slots.get_mut(ticket.0 as usize)?;
        slot.state = SlotState::Forgotten;
        self.guards.extend(guard.map(|guard| (ticket.0, guard)));
        Some((Some(Slot { waker: slot.waker.take(), ..Slot::default() }), None))
    }

    /// Answers every open call with this failure.
    pub(crate) fn fail_all(&mut self, failure: &Failure) {
        for key in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
            self.answer(Ticket(key), Err(failure.clone()));
        }
    }

    /// Whether this call has not been answered yet.
    pub(crate) fn is_open(&self, ticket: Ticket) -> bool {
        let slot = self.slots.get(ticket.0 as usize);
        slot.is_some_and(Slot::is_open)
    }

    /// How many calls are open.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// When [`Calls::forget_wakers`] has wakers to drop.
    #[inline]
    pub(crate) fn forget_at(&self) -> Option<Instant> {
        self.keeps_wakers.then(|| self.forgotten_at.after(KEPT_MAX))
    }

    /// The wakers in slots that no call uses, if it is time to drop them; to be dropped after the borrow.
    pub(crate) fn forget_wakers(&mut self, now: Instant) -> Vec<Waker> {
        if self.forget_at().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.keeps_wakers = false;
        self.forgotten_at = now;
        let vacant = self.slots.iter_mut().filter(|slot| !slot.is_used());
        vacant.filter_map(|slot| slot.waker.take()).collect()
    }

    /// What is due, if anything is. Settle it after the borrow, and give it back to [`Calls::reuse`].
    #[inline]
    pub(crate) fn take_due(&mut self) -> Option<Due<R>> {
        if self.due.wakers.is_empty()
            && self.due.foreign.is_empty()
            && self.due.pushes.is_empty()
            && self.due.subscriptions.is_empty()
            && self.due.guards.is_empty()
        {
            return None;
        }
        let mut due = std::mem::take(&mut self.due);
        for id in due.subscriptions.drain(..) {
            let outbox = self.subscriptions.get_mut(&id);
            due.inboxes.extend(outbox.and_then(SubscriptionOutbox::hand_over));
        }
        Some(due)
    }

    /// Takes back what [`Calls::take_due`] returned: the wakers, and the memory. Returns wakers to drop after the borrow.
    #[inline]
    pub(crate) fn reuse(&mut self, mut due: Due<R>) -> Vec<Waker> {
        let mut left = Vec::new();
        for (ticket, waker) in due.wakers.drain(..) {
            match self.slots.get_mut(ticket.0 as usize) {
                Some(slot) if slot.waker.is_none() => slot.waker = Some(waker),
                _ => left.push(waker),
            }
        }
        if self.due.wakers.capacity() == 0 {
            self.due.wakers = due.wakers;
        }
        if self.due.foreign.capacity() == 0 {
            self.due.foreign = due.foreign;
        }
        if self.due.subscriptions.capacity() == 0 {
            (self.due.subscriptions, self.due.inboxes) = (due.subscriptions, due.inboxes);
        }
        left
    }

    /// Opens a slot.
    #[inline]
    fn insert(&mut self, batch: Option<u32>) -> Ticket {
        let key = self.vacant.pop().unwrap_or_else(|| self.add_slot());
        if let Some(slot) = self.slots.get_mut(key as usize) {
            slot.state = SlotState::Open;
            slot.gathered = batch.map(|replies| Vec::with_capacity(replies as usize));
        }
        Ticket(key)
    }

    #[cold]
    fn add_slot(&mut self) -> u32 {
        // It fits: there are at most CALLS_MAX slots of either kind, and those of calls that wait.
        let key = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot::default());
        key
    }

    /// The slot, whose state has been taken, is free for another call.
    #[inline]
    fn vacate(&mut self, ticket: Ticket) {
        self.keeps_wakers = true;
        self.vacant.push(ticket.0);
    }

    /// A forgotten call is answered: what its caller has left is dropped after the borrow.
    fn release_guard(&mut self, ticket: Ticket) {
        self.due.guards.extend(self.guards.remove(&ticket.0));
    }

    #[inline(always)]
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize).filter(|slot| slot.is_open()) else { return };
        match &answer {
            Ok(_) => self.counts.answered += 1,
            Err(failure) => self.counts.failed(failure),
        }
        match &mut slot.state {
            SlotState::Open => slot.state = SlotState::Answered(answer),
            SlotState::Awaited => {
                slot.state = SlotState::Answered(answer);
                if let Some(waker) = slot.waker.take() {
                    self.due.wakers.push((ticket, waker));
                }
            }
            SlotState::Foreign(..) => {
                if let SlotState::Foreign(caller, _) = std::mem::take(&mut slot.state) {
                    self.due.foreign.push((caller, answer));
                }
                self.foreign -= 1;
                self.vacate(ticket);
            }
            SlotState::Forgotten => {
                slot.state = SlotState::Vacant;
                self.release_guard(ticket);
                self.vacate(ticket);
            }
            SlotState::Vacant | SlotState::Answered(_) => {}
        }
    }
}

impl<R: Runtime> Deliver for Calls<R> {
    // With `answer` in the loop over replies: the two calls took 34 of the 1,380 instructions of a GET.
    #[inline(always)]
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
        if let Frame::Error(_) = &frame {
            self.counts.error(ErrorKind::Server);
        }
        let frame = match &mut slot.gathered {
            None => frame,
            Some(gathered) => {
                gathered.push(frame);
                if !last {
                    return;
                }
                Frame::Array(std::mem::take(gathered))
            }
        };
        self.answer(ticket, Ok(frame));
    }

    #[inline]
    fn took(&mut self, nanos: u64) {
        self.counts.answered_after(nanos);
    }

    fn fail(&mut self, ticket: Ticket, mut failure: Failure) {
        if let Failure::TimedOut(timed_out) = &mut failure {
            timed_out.blocked = self.blocked;
        }
        self.answer(ticket, Err(failure));
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.pushes.collect(frame, &mut self.due.pushes)
    }

    fn event(&mut self, to: SubscriptionId, event: PubSubEvent) {
        if let Some(outbox) = self.subscriptions.get_mut(&to)
            && outbox.deliver(event, self.clock)
        {
            self.due.subscriptions.push(to);
        }
    }
}

impl<R: Runtime> Default for Calls<R> {
    fn default() -> Self {
        Calls {
            slots: Vec::new(),
            vacant: Vec::new(),
            foreign: 0,
            waiting_max: 0,
            keeps_wakers: false,
            forgotten_at: Instant::default(),
            pushes: Pushes::default(),
            subscriptions: BTreeMap::new(),
            clock: Clock::of_process(),
            counts: CommandStats::default(),
            blocked: None,
            guards: BTreeMap::new(),
            due: Due::default(),
        }
    }
}

/// How long a slot that no call uses keeps a waker.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// How many calls of its own tasks, and how many of other threads, a shard works on. The executor counts the wakers of a task
/// in sixteen signed bits: 33,000 clones panic. One task that awaits all calls has this many clones of its waker.
pub(crate) const CALLS_MAX: usize = 30_000;

#[cfg(test)]
mod tests;
