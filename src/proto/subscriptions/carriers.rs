//! [`Carriers`]: one name on the connections of a shard.

use super::link::Side;
use super::registration::{Answered, Progress, Registration};

/// One name on the current connection and on a successor, and which of them is the source of its messages.
#[derive(Debug)]
pub(super) struct Carriers {
    current: Registration,
    successor: Registration,
    source: Side,
    /// The current connection may still send messages that a lost successor has delivered. It is unsubscribed before it
    /// becomes the source again.
    must_renew: bool,
}

impl Carriers {
    pub(super) fn new(source: Side) -> Self {
        let (current, successor) = (Registration::default(), Registration::default());
        Carriers { current, successor, source, must_renew: false }
    }

    /// Whether no connection needs to know anything of the name any more.
    pub(super) fn is_unused(&self) -> bool {
        self.current.is_unused() && self.successor.is_unused()
    }

    #[inline]
    pub(super) fn source(&self) -> Side {
        self.source
    }

    pub(super) fn make_successor_the_source(&mut self) {
        self.source = Side::Successor;
    }

    pub(super) fn at(&self, side: Side) -> Registration {
        match side {
            Side::Current => self.current,
            Side::Successor => self.successor,
        }
    }

    pub(super) fn at_mut(&mut self, side: Side) -> &mut Registration {
        match side {
            Side::Current => &mut self.current,
            Side::Successor => &mut self.successor,
        }
    }

    pub(super) fn source_mut(&mut self) -> &mut Registration {
        self.at_mut(self.source)
    }

    /// Whether the source delivers, and may be listened to.
    pub(super) fn is_source_confirmed(&self) -> bool {
        self.at(self.source).is_confirmed() && !(self.must_renew && self.source == Side::Current)
    }

    /// Whether a name that is wanted at all is wanted on this connection.
    pub(super) fn is_wanted(&self, side: Side) -> bool {
        match side {
            Side::Successor => true,
            Side::Current => self.source == Side::Current && !self.must_renew,
        }
    }

    /// See [`Registration::end`].
    pub(super) fn end(&mut self, side: Side) -> Option<Progress> {
        let before = self.at_mut(side).end();
        self.note_end(side, before.is_some());
        before
    }

    /// See [`Registration::refuse_subscribe`].
    pub(super) fn refuse_subscribe(&mut self, side: Side) -> Answered {
        let answered = self.at_mut(side).refuse_subscribe();
        self.note_end(side, answered == Answered::Subscription);
        answered
    }

    /// See [`Registration::refuse_unsubscribe`].
    pub(super) fn refuse_unsubscribe(&mut self, side: Side) -> bool {
        let is_awaited = self.at_mut(side).refuse_unsubscribe();
        self.note_end(side, is_awaited);
        is_awaited
    }

    pub(super) fn lose_current(&mut self) {
        (self.current, self.must_renew) = (Registration::default(), false);
    }

    /// Returns whether the successor was the source. If it `has_delivered`, the current connection must not repeat that.
    pub(super) fn lose_successor(&mut self, has_delivered: bool) -> bool {
        self.successor = Registration::default();
        self.current.forget_mark();
        let was_source = std::mem::replace(&mut self.source, Side::Current) == Side::Successor;
        self.must_renew |= was_source && has_delivered && self.current.may_deliver();
        was_source
    }

    /// The predecessor is gone, and the successor is the current connection.
    pub(super) fn promote(&mut self) {
        self.current = std::mem::take(&mut self.successor);
        (self.source, self.must_renew) = (Side::Current, false);
    }

    fn note_end(&mut self, side: Side, has_ended: bool) {
        self.must_renew &= !(has_ended && side == Side::Current);
    }
}
