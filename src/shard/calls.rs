//! [`Calls`]: the callers who wait for replies, by ticket.
//!
//! A call is a slot in a slab: opened when a command is submitted, filled when its reply comes, and freed when its
//! caller takes the reply, or leaves. Nothing is allocated for a command at steady state.
//!
//! Wakers and foreign callers are never called from in here, where everything is borrowed: waking may run code that
//! submits or cancels. What is due is collected, pushes that somebody handles among it, and [`Calls::take_due`] hands
//! it out.

use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use slab::Slab;

use super::pushes::{Collected, Pushes};
use crate::proto::connection::{Deliver, Ticket};
use crate::proto::error::Failure;
use crate::proto::resp::Frame;

/// What a call ends with.
pub(crate) type Answer = Result<Frame, Failure>;

#[derive(Default)]
pub(super) struct Calls {
    slots: Slab<Slot>,
    pub(super) pushes: Pushes,
    due: Due,
}

/// Who is to be woken, and which pushes are to be handled after that, once nothing is borrowed any more.
#[derive(Default)]
pub(super) struct Due {
    wakers: Vec<Waker>,
    foreign: Vec<(oneshot::Sender<Answer>, Answer)>,
    pushes: Vec<Collected>,
}

pub(super) struct Slot {
    state: State,
    /// The replies so far to a batch; `None` for a single command.
    gathered: Option<Vec<Frame>>,
}

enum State {
    /// A task on this shard waits, or will.
    Local(Option<Waker>),
    /// Another thread waits.
    Foreign(oneshot::Sender<Answer>),
    Answered(Answer),
}

impl Calls {
    /// Opens a call for one command, or for a batch with so many replies.
    ///
    /// # Errors
    /// If [`CALLS_MAX`] are open.
    #[inline]
    pub(super) fn open(&mut self, batch: Option<u32>) -> Result<Ticket, Failure> {
        if self.slots.len() >= CALLS_MAX {
            return Err(Failure::Overloaded);
        }
        Ok(self.insert(State::Local(None), batch))
    }

    /// The same for a caller on another thread; `None` if [`CALLS_MAX`] are open, which the caller will be told.
    pub(super) fn open_foreign(
        &mut self,
        caller: oneshot::Sender<Answer>,
        batch: Option<u32>,
    ) -> Option<Ticket> {
        if self.slots.len() >= CALLS_MAX {
            self.due.foreign.push((caller, Err(Failure::Overloaded)));
            return None;
        }
        Some(self.insert(State::Foreign(caller), batch))
    }

    /// The caller's poll: its answer, which frees the slot, or a promise to wake it.
    #[inline]
    pub(super) fn poll(
        &mut self,
        ticket: Ticket,
        context: &mut Context<'_>,
    ) -> (Poll<Answer>, Option<Waker>) {
        let key = ticket.0 as usize;
        match self.slots.get_mut(key).map(|slot| &mut slot.state) {
            Some(State::Local(Some(waker))) if waker.will_wake(context.waker()) => (Poll::Pending, None),
            Some(State::Local(waker)) => {
                // Whoever drops a waker may run code: the old one goes out with the result.
                (Poll::Pending, waker.replace(context.waker().clone()))
            }
            _ => match self.slots.try_remove(key) {
                Some(Slot { state: State::Answered(answer), .. }) => (Poll::Ready(answer), None),
                _ => (Poll::Pending, None),
            },
        }
    }

    /// The caller leaves. True if the call had not been answered, so that its command has to be abandoned.
    pub(super) fn leave(&mut self, ticket: Ticket) -> (bool, Option<Slot>) {
        let slot = self.slots.try_remove(ticket.0 as usize);
        (slot.as_ref().is_some_and(|slot| !matches!(slot.state, State::Answered(_))), slot)
    }

    /// Whether this call has not been answered yet.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        let slot = self.slots.get(ticket.0 as usize);
        slot.is_some_and(|slot| !matches!(slot.state, State::Answered(_)))
    }

    /// How many calls are open.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Those who are to be woken; give it back to [`Calls::reuse`] when that is done.
    #[inline]
    pub(super) fn take_due(&mut self) -> Option<Due> {
        if self.due.wakers.is_empty() && self.due.foreign.is_empty() && self.due.pushes.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.due))
    }

    /// Keeps the memory of what [`Calls::take_due`] gave.
    pub(super) fn reuse(&mut self, due: Due) {
        if self.due.wakers.capacity() == 0 {
            self.due.wakers = due.wakers;
        }
    }

    #[inline]
    fn insert(&mut self, state: State, batch: Option<u32>) -> Ticket {
        let gathered = batch.map(|replies| Vec::with_capacity(replies as usize));
        let key = self.slots.insert(Slot { state, gathered });
        // A slab's keys are below the number of slots that it ever had.
        Ticket(u32::try_from(key).unwrap_or(u32::MAX))
    }

    #[inline]
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let key = ticket.0 as usize;
        let Some(slot) = self.slots.get_mut(key) else { return };
        match &mut slot.state {
            State::Local(waker) => {
                if let Some(waker) = waker.take() {
                    self.due.wakers.push(waker);
                }
                slot.state = State::Answered(answer);
            }
            State::Foreign(_) => {
                if let State::Foreign(caller) = self.slots.remove(key).state {
                    self.due.foreign.push((caller, answer));
                }
            }
            State::Answered(_) => {}
        }
    }
}

impl Due {
    /// Wakes everybody, then hands the pushes out.
    #[inline]
    pub(super) fn settle(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        for (caller, answer) in self.foreign.drain(..) {
            // A caller who has left does not mind.
            let _ = caller.send(answer);
        }
        self.pushes.drain(..).for_each(Collected::hand_out);
    }
}

impl Deliver for Calls {
    #[inline]
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        let Some(slot) = self.slots.get_mut(ticket.0 as usize) else { return };
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

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.answer(ticket, Err(failure));
    }

    fn push(&mut self, frame: Frame) {
        self.pushes.collect(frame, &mut self.due.pushes);
    }
}

/// How many calls may be open on one shard. A task's wakers are counted in sixteen bits by the executor, signed:
/// were all calls awaited by one task, this many clones of its waker would exist.
pub(crate) const CALLS_MAX: usize = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(number: i64) -> Frame {
        Frame::Integer(number)
    }

    #[test]
    fn a_batch_is_answered_once_with_all_of_its_replies() {
        let mut calls = Calls::default();
        let ticket = calls.open(Some(2)).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        calls.reply(ticket, integer(1), false);
        assert!(calls.poll(ticket, &mut context).0.is_pending());
        assert!(calls.take_due().is_none());
        calls.reply(ticket, integer(2), true);
        assert!(calls.take_due().is_some());
        match calls.poll(ticket, &mut context).0 {
            Poll::Ready(Ok(frame)) => assert_eq!(frame, Frame::Array(vec![integer(1), integer(2)])),
            other => panic!("{other:?}"),
        }
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn whoever_leaves_takes_the_slot_along() {
        let mut calls = Calls::default();
        let (waiting, answered) = (calls.open(None).unwrap(), calls.open(None).unwrap());
        calls.reply(answered, integer(1), true);
        assert!(calls.leave(waiting).0);
        assert!(!calls.leave(answered).0);
        assert_eq!(calls.len(), 0);
        calls.reply(waiting, integer(2), true);
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        let mut calls = Calls::default();
        for _ in 0..CALLS_MAX {
            calls.open(None).unwrap();
        }
        assert!(matches!(calls.open(None), Err(Failure::Overloaded)));
    }

    #[test]
    fn a_foreign_caller_gets_the_answer_when_the_due_are_woken() {
        let mut calls = Calls::default();
        let (sender, mut receiver) = oneshot::channel();
        let ticket = calls.open_foreign(sender, None).unwrap();
        calls.reply(ticket, integer(7), true);
        calls.take_due().unwrap().settle();
        assert_eq!(receiver.try_recv().unwrap().unwrap().unwrap(), integer(7));
        assert_eq!(calls.len(), 0);
    }
}
