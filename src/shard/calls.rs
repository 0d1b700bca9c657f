//! [`Calls`]: the callers that wait for replies, by ticket.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::foreign::{ForeignCall, ForeignCallId, ForeignCaller};
use super::pushes::{Collected, Pushes};
use crate::error::ErrorKind;
use crate::observe::CommandStats;
use crate::proto::connection::{Deliver, Position, Ticket};
use crate::proto::error::Failure;
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

/// What a call ends with.
pub(crate) type Answer = Result<Frame, Failure>;
/// The two ends of a call that another thread makes.
pub(crate) type Caller = ForeignCaller<Answer>;
pub(crate) type Call = ForeignCall<Answer>;

/// A caller on another thread does not wait any longer for the command that was accepted under this ticket.
pub(crate) struct Cancellation {
    pub(crate) ticket: Ticket,
    pub(crate) call: ForeignCallId<Answer>,
    /// The deadline that has passed, if the caller wants to know how far the command has come.
    pub(crate) after: Option<Duration>,
}

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
#[derive(Default)]
pub(super) struct Calls {
    slots: Vec<Slot>,
    /// The slots that no call uses. The next call gets the last of them.
    vacant: Vec<u32>,
    /// How many calls belong to callers on other threads, and how many of those may wait for room beyond [`CALLS_MAX`].
    foreign: usize,
    waiting_max: usize,
    /// A slot that no call uses may keep a waker.
    keeps_wakers: bool,
    forgotten_at: Instant,
    pub(super) pushes: Pushes,
    pub(super) counts: CommandStats,
    /// How long the stall took that has just ended, if one has.
    pub(super) blocked: Option<Duration>,
    due: Due,
}

/// The callers to wake, and the pushes to hand out after that, once the borrow has ended.
#[derive(Default)]
pub(super) struct Due {
    wakers: Vec<(Ticket, Waker)>,
    foreign: Vec<(Caller, Answer)>,
    pushes: Vec<Collected>,
}

#[derive(Default)]
pub(super) struct Slot {
    state: SlotState,
    waker: Option<Waker>,
    /// The replies so far to a batch; `None` for a single command.
    gathered: Option<Vec<Frame>>,
}

/// ```text
///            open            poll             answer               poll
///  Vacant ──────────▶ Open ─────────▶ Awaited ─────────▶ Answered ─────────▶ Vacant
///    │                 ├── answer ──────────────────────────▲
///    │                 └── forget ──▶ Forgotten ── answer ─────────────────▶ Vacant
///    └─ open_foreign ─▶ Foreign ── answer ─────────────────────────────────▶ Vacant
/// ```
///
/// Awaited calls can be forgotten as well, and `leave` makes a slot of any state vacant.
#[derive(Default)]
enum SlotState {
    #[default]
    Vacant,
    /// A task on this shard has called and does not wait yet.
    Open,
    /// A task on this shard waits. The waker in the slot is its own.
    Awaited,
    /// Another thread waits.
    Foreign(Caller, QueuedAt),
    /// No caller waits: the answer is dropped.
    Forgotten,
    Answered(Answer),
}

/// Where the command of a call is queued; `None` while it is being submitted.
type QueuedAt = Option<(EntryId, Position)>;

impl Calls {
    /// An empty table, in which so many calls of other threads have room beyond [`CALLS_MAX`].
    pub(super) fn with_waiting(waiting_max: usize) -> Self {
        Calls { waiting_max, ..Calls::default() }
    }

    /// Opens a call for one command, or for a batch with so many replies.
    ///
    /// # Errors
    /// If tasks of this shard have [`CALLS_MAX`] open.
    #[inline]
    pub(super) fn open(&mut self, batch: Option<u32>) -> Result<Ticket, Failure> {
        if self.len() - self.foreign >= CALLS_MAX {
            self.counts.error(ErrorKind::Overloaded);
            return Err(Failure::Overloaded);
        }
        self.counts.issued += 1;
        Ok(self.insert(SlotState::Open, batch))
    }

    /// The same for a caller on another thread. `None` if it has left. `None` as well if [`CALLS_MAX`] are open and the
    /// waiting room is full: then the caller gets an error.
    pub(super) fn open_foreign(&mut self, caller: Caller, batch: Option<u32>) -> Option<Ticket> {
        if self.foreign >= CALLS_MAX + self.waiting_max {
            self.counts.error(ErrorKind::Overloaded);
            self.due.foreign.push((caller, Err(Failure::Overloaded)));
            return None;
        }
        let ticket = self.insert(SlotState::Open, batch);
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

    /// Notes where the command of a foreign call is queued.
    pub(super) fn note_position(&mut self, ticket: Ticket, entry: EntryId, position: Position) {
        let slot = self.slots.get_mut(ticket.0 as usize);
        if let Some(SlotState::Foreign(_, queued_at)) = slot.map(|slot| &mut slot.state) {
            *queued_at = Some((entry, position));
        }
    }

    /// Where the command of a cancelled call is, or was, queued; `None` if it is answered.
    pub(super) fn position_of(&self, cancellation: &Cancellation) -> QueuedAt {
        match &self.slots.get(cancellation.ticket.0 as usize)?.state {
            SlotState::Foreign(caller, queued_at) if caller.is_of(&cancellation.call) => *queued_at,
            _ => None,
        }
    }

    /// The caller polls: it takes its answer, which gives the slot back, or its waker is kept. The other result is a waker to
    /// drop after the borrow.
    #[inline]
    pub(super) fn poll(
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
    pub(super) fn leave(&mut self, ticket: Ticket) -> (bool, Option<Slot>) {
        let slot = self.slots.get_mut(ticket.0 as usize).filter(|slot| slot.is_used());
        let Some(left) = slot.map(std::mem::take) else { return (false, None) };
        let is_open = !matches!(left.state, SlotState::Answered(_));
        self.foreign -= usize::from(matches!(left.state, SlotState::Foreign(..)));
        self.counts.cancelled += u64::from(is_open);
        self.vacate(ticket);
        (is_open, Some(left))
    }

    /// The pool refused the command of a call that was just opened.
    pub(super) fn withdraw(&mut self, ticket: Ticket, failure: &Failure) {
        self.leave(ticket);
        self.counts.issued -= 1;
        self.counts.cancelled -= 1;
        self.counts.error(ErrorKind::of(failure));
    }

    /// The caller wants no answer, and the command runs. Returns what is to be dropped after the borrow.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Slot> {
        if !self.is_open(ticket) {
            return self.leave(ticket).1;
        }
        let slot = self.slots.get_mut(ticket.0 as usize)?;
        slot.state = SlotState::Forgotten;
        Some(Slot { waker: slot.waker.take(), ..Slot::default() })
    }

    /// Whether this call has not been answered yet.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        let slot = self.slots.get(ticket.0 as usize);
        slot.is_some_and(Slot::is_open)
    }

    /// How many calls are open.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// When [`Calls::forget_wakers`] has wakers to drop.
    #[inline]
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.keeps_wakers.then(|| self.forgotten_at.after(KEPT_MAX))
    }

    /// The wakers in slots that no call uses, if it is time to drop them; to be dropped after the borrow.
    pub(super) fn forget_wakers(&mut self, now: Instant) -> Vec<Waker> {
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
    pub(super) fn take_due(&mut self) -> Option<Due> {
        if self.due.wakers.is_empty() && self.due.foreign.is_empty() && self.due.pushes.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.due))
    }

    /// Takes back what [`Calls::take_due`] returned: the wakers, and the memory. Returns wakers to drop after the borrow.
    #[inline]
    pub(super) fn reuse(&mut self, mut due: Due) -> Vec<Waker> {
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
        left
    }

    #[inline]
    fn insert(&mut self, state: SlotState, batch: Option<u32>) -> Ticket {
        let gathered = batch.map(|replies| Vec::with_capacity(replies as usize));
        if let Some(key) = self.vacant.pop()
            && let Some(slot) = self.slots.get_mut(key as usize)
        {
            slot.state = state;
            slot.gathered = gathered;
            return Ticket(key);
        }
        // It fits: there are at most CALLS_MAX slots of either kind, and those of calls that wait.
        let key = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { state, waker: None, gathered });
        Ticket(key)
    }

    /// The slot, whose state has been taken, is free for another call.
    #[inline]
    fn vacate(&mut self, ticket: Ticket) {
        self.keeps_wakers = true;
        self.vacant.push(ticket.0);
    }

    #[inline]
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
                self.vacate(ticket);
            }
            SlotState::Vacant | SlotState::Answered(_) => {}
        }
    }
}

impl Slot {
    #[inline]
    fn is_open(&self) -> bool {
        !matches!(self.state, SlotState::Vacant | SlotState::Answered(_))
    }

    #[inline]
    fn is_used(&self) -> bool {
        !matches!(self.state, SlotState::Vacant)
    }
}

impl Due {
    /// Wakes every caller, then hands the pushes out.
    #[inline]
    pub(super) fn settle(&mut self) {
        for (_, waker) in &self.wakers {
            waker.wake_by_ref();
        }
        for (caller, answer) in self.foreign.drain(..) {
            caller.answer(answer);
        }
        self.pushes.drain(..).for_each(Collected::hand_out);
    }
}

impl Deliver for Calls {
    #[inline]
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
}

/// How long a slot that no call uses keeps a waker.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// How many calls of its own tasks, and how many of other threads, a shard works on. The executor counts the wakers of a task
/// in sixteen signed bits: 33,000 clones panic. One task that awaits all calls has this many clones of its waker.
pub(crate) const CALLS_MAX: usize = 30_000;

#[cfg(test)]
mod tests;
