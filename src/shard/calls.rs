//! [`Calls`]: the callers who wait for replies, by ticket.
//!
//! A call is a slot: taken when a command is submitted, filled when its reply comes, and given back when its caller
//! takes the reply, or leaves. Nothing is allocated for a command at steady state.
//!
//! A slot keeps the waker of whoever used it last. A task that takes a reply and calls again gets the slot that it has
//! just given back, finds its own waker there, and need not have it counted up and down for each command. Wakers that
//! nobody came back for are [forgotten](Calls::forget_wakers) within a second or two: they keep their tasks' memory.
//!
//! Wakers and foreign callers are never called from in here, where everything is borrowed: waking may run code that
//! submits or cancels. What is due is collected, pushes that somebody handles among it, and [`Calls::take_due`] hands
//! it out.

use std::num::NonZeroU32;
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

/// A caller on another thread waits no longer for a command that was taken up under this ticket.
pub(crate) struct Departure {
    pub(crate) ticket: Ticket,
    pub(crate) call: ForeignCallId<Answer>,
    /// How long it was ready to wait, if it wants to know how far the command has come.
    pub(crate) after: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Calls {
    slots: Vec<Slot>,
    /// The slots that no call uses; the next call gets the last of them.
    vacant: Vec<u32>,
    /// How many calls are of callers on other threads, and how many of those may wait for room beyond [`CALLS_MAX`].
    foreign: usize,
    waiting_max: usize,
    /// A slot that no call uses may keep a waker.
    keeps_wakers: bool,
    forgotten_at: Instant,
    pub(super) pushes: Pushes,
    pub(super) counts: CommandStats,
    /// For how long something kept the thread from running until a moment ago.
    pub(super) blocked: Option<Duration>,
    due: Due,
}

/// Who is to be woken, and which pushes are to be handled after that, once nothing is borrowed any more.
#[derive(Default)]
pub(super) struct Due {
    wakers: Vec<(Ticket, Waker)>,
    foreign: Vec<(Caller, Answer)>,
    pushes: Vec<Collected>,
}

#[derive(Default)]
pub(super) struct Slot {
    state: State,
    waker: Option<Waker>,
    /// The replies so far to a batch; `None` for a single command.
    gathered: Option<Vec<Frame>>,
}

#[derive(Default)]
enum State {
    #[default]
    Vacant,
    /// A task on this shard will wait.
    Open,
    /// A task on this shard waits: the waker is its own.
    Awaited,
    /// Another thread waits.
    Foreign(Caller, Place),
    /// No caller waits: the answer is dropped.
    Forgotten,
    Answered(Answer),
}

/// Where the command of a call is queued; unknown while it is being submitted.
type Place = Option<(EntryId, Position)>;

impl Calls {
    /// No calls, and room for so many of other threads beyond [`CALLS_MAX`].
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
        Ok(self.insert(State::Open, batch))
    }

    /// The same for a caller on another thread. `None` if it has left, or if [`CALLS_MAX`] are open and as many wait as
    /// may, which it will be told.
    pub(super) fn open_foreign(&mut self, caller: Caller, batch: Option<u32>) -> Option<Ticket> {
        if self.foreign >= CALLS_MAX + self.waiting_max {
            self.counts.error(ErrorKind::Overloaded);
            self.due.foreign.push((caller, Err(Failure::Overloaded)));
            return None;
        }
        let ticket = self.insert(State::Open, batch);
        let slot = self.slots.get_mut(ticket.0 as usize)?;
        if caller.take_up(ticket.0) {
            slot.state = State::Foreign(caller, None);
            self.foreign += 1;
            self.counts.issued += 1;
            return Some(ticket);
        }
        slot.state = State::Vacant;
        self.vacate(ticket);
        None
    }

    /// Notes where the command of a foreign call is queued.
    pub(super) fn place(&mut self, ticket: Ticket, entry: EntryId, position: Position) {
        let slot = self.slots.get_mut(ticket.0 as usize);
        if let Some(State::Foreign(_, place)) = slot.map(|slot| &mut slot.state) {
            *place = Some((entry, position));
        }
    }

    /// Where the command of a departing caller is queued, or was; `None` if it is answered.
    pub(super) fn place_of(&self, departure: &Departure) -> Place {
        match &self.slots.get(departure.ticket.0 as usize)?.state {
            State::Foreign(caller, place) if caller.is_of(&departure.call) => *place,
            _ => None,
        }
    }

    /// The caller's poll: its answer, which gives the slot back, or a promise to wake it.
    #[inline]
    pub(super) fn poll(
        &mut self,
        ticket: Ticket,
        context: &mut Context<'_>,
    ) -> (Poll<Answer>, Option<Waker>) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return (Poll::Pending, None) };
        match &mut slot.state {
            State::Open | State::Awaited => {
                slot.state = State::Awaited;
                match &slot.waker {
                    Some(waker) if waker.will_wake(context.waker()) => (Poll::Pending, None),
                    // Whoever drops a waker may run code: the old one goes out with the result.
                    _ => (Poll::Pending, slot.waker.replace(context.waker().clone())),
                }
            }
            State::Answered(_) => match std::mem::take(&mut slot.state) {
                State::Answered(answer) => {
                    self.vacate(ticket);
                    (Poll::Ready(answer), None)
                }
                _ => (Poll::Pending, None),
            },
            State::Vacant | State::Foreign(..) | State::Forgotten => (Poll::Pending, None),
        }
    }

    /// The caller leaves. True if the call had not been answered, so that its command has to be abandoned; and what is
    /// left, to be dropped when nothing is borrowed.
    pub(super) fn leave(&mut self, ticket: Ticket) -> (bool, Option<Slot>) {
        let slot = self.slots.get_mut(ticket.0 as usize).filter(|slot| slot.is_used());
        let Some(left) = slot.map(std::mem::take) else { return (false, None) };
        let is_open = !matches!(left.state, State::Answered(_));
        self.foreign -= usize::from(matches!(left.state, State::Foreign(..)));
        self.counts.cancelled += u64::from(is_open);
        self.vacate(ticket);
        (is_open, Some(left))
    }

    /// The command of a call that was just opened is refused.
    pub(super) fn withdraw(&mut self, ticket: Ticket, failure: &Failure) {
        self.leave(ticket);
        self.counts.issued -= 1;
        self.counts.cancelled -= 1;
        self.counts.error(ErrorKind::of(failure));
    }

    /// The caller wants no answer, and leaves the command to run. Gives what is to be dropped when nothing is borrowed.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Slot> {
        if !self.is_open(ticket) {
            return self.leave(ticket).1;
        }
        let slot = self.slots.get_mut(ticket.0 as usize)?;
        slot.state = State::Forgotten;
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

    /// When [`Calls::forget_wakers`] has something to do.
    #[inline]
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.keeps_wakers.then(|| self.forgotten_at.after(KEPT_MAX))
    }

    /// Gives up the wakers in slots that no call uses, if it is time for that; to be dropped when nothing is borrowed.
    pub(super) fn forget_wakers(&mut self, now: Instant) -> Vec<Waker> {
        if self.forget_at().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.keeps_wakers = false;
        self.forgotten_at = now;
        let vacant = self.slots.iter_mut().filter(|slot| !slot.is_used());
        vacant.filter_map(|slot| slot.waker.take()).collect()
    }

    /// Those who are to be woken; give it back to [`Calls::reuse`] when that is done.
    #[inline]
    pub(super) fn take_due(&mut self) -> Option<Due> {
        if self.due.wakers.is_empty() && self.due.foreign.is_empty() && self.due.pushes.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.due))
    }

    /// Puts back what [`Calls::take_due`] gave: the wakers, and the memory. Gives what is to be dropped when nothing is
    /// borrowed.
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
    fn insert(&mut self, state: State, batch: Option<u32>) -> Ticket {
        let gathered = batch.map(|replies| Vec::with_capacity(replies as usize));
        if let Some(key) = self.vacant.pop()
            && let Some(slot) = self.slots.get_mut(key as usize)
        {
            slot.state = state;
            slot.gathered = gathered;
            return Ticket(key);
        }
        // There are never more than CALLS_MAX of either kind, and those that wait.
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
            State::Open => slot.state = State::Answered(answer),
            State::Awaited => {
                slot.state = State::Answered(answer);
                if let Some(waker) = slot.waker.take() {
                    self.due.wakers.push((ticket, waker));
                }
            }
            State::Foreign(..) => {
                if let State::Foreign(caller, _) = std::mem::take(&mut slot.state) {
                    self.due.foreign.push((caller, answer));
                }
                self.foreign -= 1;
                self.vacate(ticket);
            }
            State::Forgotten => {
                slot.state = State::Vacant;
                self.vacate(ticket);
            }
            State::Vacant | State::Answered(_) => {}
        }
    }
}
impl Slot {
    #[inline]
    fn is_open(&self) -> bool {
        !matches!(self.state, State::Vacant | State::Answered(_))
    }

    #[inline]
    fn is_used(&self) -> bool {
        !matches!(self.state, State::Vacant)
    }
}

impl Due {
    /// Wakes everybody, then hands the pushes out.
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
        if let (Failure::TimedOut { blocked_ms, .. }, Some(blocked)) = (&mut failure, self.blocked) {
            *blocked_ms = NonZeroU32::new(u32::try_from(blocked.as_millis()).unwrap_or(u32::MAX));
        }
        self.answer(ticket, Err(failure));
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.pushes.collect(frame, &mut self.due.pushes)
    }
}

/// How long a waker is kept for which there is no call.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// How many calls of its own tasks, and of other threads, a shard works on. A task's wakers are counted in sixteen bits by the executor, signed:
/// were all calls awaited by one task, this many clones of its waker would exist.
pub(crate) const CALLS_MAX: usize = 30_000;

#[cfg(test)]
mod tests;
