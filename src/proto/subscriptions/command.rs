//! The commands that subscribe and unsubscribe.

use bytes::Bytes;

use super::event::SubscriptionKind;

/// A command to write, bounded in names and bytes. Success is answered by one push for each name, in the order of the
/// names; a refusal by one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeCommand {
    pub(crate) verb: Verb,
    pub(crate) names: Vec<Bytes>,
}

/// The first word of a command. The order is the order in which queued commands are written: a name that is missing
/// costs messages, and one too many does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Subscribe,
    PSubscribe,
    SSubscribe,
    Unsubscribe,
    PUnsubscribe,
    SUnsubscribe,
}

/// Whether a command asks for names or gives them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Subscribe,
    Unsubscribe,
}

impl Verb {
    pub(super) fn of(kind: SubscriptionKind, direction: Direction) -> Verb {
        match (direction, kind) {
            (Direction::Subscribe, SubscriptionKind::Channel) => Verb::Subscribe,
            (Direction::Subscribe, SubscriptionKind::Pattern) => Verb::PSubscribe,
            (Direction::Subscribe, SubscriptionKind::Sharded) => Verb::SSubscribe,
            (Direction::Unsubscribe, SubscriptionKind::Channel) => Verb::Unsubscribe,
            (Direction::Unsubscribe, SubscriptionKind::Pattern) => Verb::PUnsubscribe,
            (Direction::Unsubscribe, SubscriptionKind::Sharded) => Verb::SUnsubscribe,
        }
    }

    pub(super) fn kind(self) -> SubscriptionKind {
        match self {
            Verb::Subscribe | Verb::Unsubscribe => SubscriptionKind::Channel,
            Verb::PSubscribe | Verb::PUnsubscribe => SubscriptionKind::Pattern,
            Verb::SSubscribe | Verb::SUnsubscribe => SubscriptionKind::Sharded,
        }
    }

    pub(super) fn direction(self) -> Direction {
        match self {
            Verb::Subscribe | Verb::PSubscribe | Verb::SSubscribe => Direction::Subscribe,
            Verb::Unsubscribe | Verb::PUnsubscribe | Verb::SUnsubscribe => Direction::Unsubscribe,
        }
    }

    /// The word as it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Verb::Subscribe => "SUBSCRIBE",
            Verb::PSubscribe => "PSUBSCRIBE",
            Verb::SSubscribe => "SSUBSCRIBE",
            Verb::Unsubscribe => "UNSUBSCRIBE",
            Verb::PUnsubscribe => "PUNSUBSCRIBE",
            Verb::SUnsubscribe => "SUNSUBSCRIBE",
        }
    }
}
