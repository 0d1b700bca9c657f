//! [`Registration`]: one name on one connection.

use super::command::Direction;

/// How far the server has followed the commands for one name on one connection.
///
/// ```text
///            SUBSCRIBE handed out          subscribe received
///   Absent ──────────────────────► Asked ───────────────────► Confirmed
///     ▲ ▲         refused            │                         │     │
///     │ └────────────────────────────┘   UNSUBSCRIBE handed out│     │ unsubscribe received,
///     │          unsubscribe received                          ▼     │ though not asked for
///     ├────────────────────────────────────────────────── Leaving    │
///     └──────────────────────────────────────────────────────────────┘
/// ```
///
/// One command for a name is on its way at a time, apart from repetitions of it. A change of mind waits for the answer.
/// The server answers in order, so a late answer to a repetition is read before the answer to any later command.
///
/// A *mark* is a second SUBSCRIBE of a confirmed name, which changes nothing at the server. Once its answer is read, all
/// messages have been read that were published before it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registration {
    progress: Progress,
    /// The name is in a queue of the link, at most once.
    is_queued: bool,
    mark: Mark,
    /// How many SUBSCRIBE of this name are not answered. Without it, the late answer to a repetition would be taken for
    /// the answer to a mark.
    unanswered: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    None,
    Wanted,
    Asked,
}

/// What an answer to SUBSCRIBE belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The command that begins the subscription.
    Subscription,
    Mark,
    /// A repetition, or no command at all.
    Nothing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    #[default]
    Absent,
    Asked,
    Confirmed,
    Leaving,
}

impl Registration {
    pub(super) fn is_confirmed(self) -> bool {
        self.progress == Progress::Confirmed
    }

    pub(super) fn is_asked(self) -> bool {
        self.progress == Progress::Asked
    }

    /// Whether messages may be on their way that no command has ended.
    pub(super) fn may_deliver(self) -> bool {
        matches!(self.progress, Progress::Asked | Progress::Confirmed)
    }

    /// Whether the connection needs to know nothing of the name any more.
    pub(super) fn is_unused(self) -> bool {
        self.progress == Progress::Absent && !self.is_queued
    }

    /// The command that has to be queued now. It counts as queued from here on.
    pub(super) fn queue_needed(&mut self, is_wanted: bool) -> Option<Direction> {
        let direction = match (self.progress, is_wanted) {
            (Progress::Absent, true) => Direction::Subscribe,
            (Progress::Confirmed, false) => Direction::Unsubscribe,
            (Progress::Confirmed, true) if self.mark == Mark::Wanted => Direction::Subscribe,
            _ => return None,
        };
        (!std::mem::replace(&mut self.is_queued, true)).then_some(direction)
    }

    /// Asks for a mark, which [`Registration::queue_needed`] queues.
    pub(super) fn want_mark(&mut self) {
        self.mark = Mark::Wanted;
    }

    pub(super) fn forget_mark(&mut self) {
        self.mark = Mark::None;
    }

    /// No answer came in time. Returns whether the same command has to be queued again.
    pub(super) fn queue_again(&mut self, direction: Direction) -> bool {
        let awaited = match direction {
            Direction::Subscribe => Progress::Asked,
            Direction::Unsubscribe => Progress::Leaving,
        };
        self.progress == awaited && !std::mem::replace(&mut self.is_queued, true)
    }

    /// The command has left its queue, and is about to be written. Returns the progress before it, or `None` if the
    /// command has become superfluous.
    pub(super) fn hand_out(&mut self, direction: Direction, is_wanted: bool) -> Option<Progress> {
        self.is_queued = false;
        let next = match (direction, self.progress) {
            (Direction::Subscribe, Progress::Absent) if is_wanted => Progress::Asked,
            (Direction::Subscribe, Progress::Asked) => Progress::Asked,
            (Direction::Subscribe, Progress::Confirmed) if is_wanted && self.mark == Mark::Wanted => {
                self.mark = Mark::Asked;
                Progress::Confirmed
            }
            (Direction::Unsubscribe, Progress::Confirmed) if !is_wanted => Progress::Leaving,
            (Direction::Unsubscribe, Progress::Leaving) => Progress::Leaving,
            _ => return None,
        };
        self.unanswered = self.unanswered.saturating_add(u16::from(direction == Direction::Subscribe));
        Some(std::mem::replace(&mut self.progress, next))
    }

    /// The server has confirmed the subscription.
    pub(super) fn confirm(&mut self) -> Answered {
        let answered = self.answer_subscribe();
        match answered {
            Answered::Subscription => self.progress = Progress::Confirmed,
            Answered::Mark => self.mark = Mark::None,
            Answered::Nothing => {}
        }
        answered
    }

    /// The server has ended the subscription. Returns the progress before it, or `None` if there was no subscription to
    /// end: while one is asked for, this is a late answer to a repetition.
    pub(super) fn end(&mut self) -> Option<Progress> {
        match self.progress {
            Progress::Absent | Progress::Asked => None,
            Progress::Confirmed | Progress::Leaving => {
                self.mark = Mark::None;
                // A SUBSCRIBE that the server has not answered begins the subscription anew.
                let next = if self.unanswered > 0 { Progress::Asked } else { Progress::Absent };
                Some(std::mem::replace(&mut self.progress, next))
            }
        }
    }

    /// The server has refused a SUBSCRIBE. A refused mark is wanted again. If a repetition is on its way, its answer decides.
    pub(super) fn refuse_subscribe(&mut self) -> Answered {
        match self.answer_subscribe() {
            Answered::Subscription if self.unanswered > 0 => Answered::Nothing,
            Answered::Subscription => {
                self.progress = Progress::Absent;
                Answered::Subscription
            }
            Answered::Mark => {
                self.mark = Mark::Wanted;
                Answered::Mark
            }
            Answered::Nothing => Answered::Nothing,
        }
    }

    /// The server has refused an UNSUBSCRIBE. Returns whether its answer was awaited.
    pub(super) fn refuse_unsubscribe(&mut self) -> bool {
        let is_awaited = self.progress == Progress::Leaving;
        if is_awaited {
            self.progress = Progress::Absent;
        }
        is_awaited
    }

    fn answer_subscribe(&mut self) -> Answered {
        self.unanswered = self.unanswered.saturating_sub(1);
        match self.progress {
            Progress::Asked => Answered::Subscription,
            Progress::Confirmed if self.mark == Mark::Asked && self.unanswered == 0 => Answered::Mark,
            _ => Answered::Nothing,
        }
    }

    /// The link has put the name into one of its queues. Returns false if it had been in one already.
    pub(super) fn mark_queued(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }
}
