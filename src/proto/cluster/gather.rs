//! [`Gathers`]: replies that are put together from those of several commands.

use std::collections::BTreeMap;

use super::calls::Recipient;
use super::commands::ResponsePolicy;
use super::ids::GatherId;
use crate::proto::connection::Ticket;
use crate::proto::error::Failure;
use crate::proto::resp::Frame;

/// Replies that are being put together, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Gathers {
    open: BTreeMap<GatherId, Gather>,
    next: u64,
}

/// How replies are put together.
#[derive(Clone, Debug)]
pub(super) enum Assembly {
    /// The replies to a pipeline: each is one of the caller's.
    Pipeline,
    /// The values of `MGET`: for each part, the places of its values among all.
    Values(Vec<Vec<usize>>),
    /// As the command table says.
    Policy(ResponsePolicy),
}

/// The reply that one caller awaits, in parts.
#[derive(Debug)]
struct Gather {
    recipient: Recipient,
    assembly: Assembly,
    parts: Vec<Part>,
    awaited: usize,
    failed: bool,
}

#[derive(Debug)]
enum Part {
    /// The call of it, once it is known.
    Awaited(Option<Ticket>),
    Answered(Frame),
    Gone,
}

/// What a part that is answered leads to.
#[derive(Debug)]
pub(super) enum Gathered {
    /// Other parts are awaited, or no caller awaits the whole any more.
    Open,
    /// These are the replies to this recipient.
    Done(Recipient, Vec<Frame>),
    /// The whole has failed. The other parts are of no use.
    Failed(Recipient, Failure),
}

impl Gathers {
    /// Begins to gather so many parts.
    pub(super) fn open(&mut self, recipient: Recipient, assembly: Assembly, parts: usize) -> GatherId {
        self.next += 1;
        let list = (0..parts).map(|_| Part::Awaited(None)).collect();
        let gather = Gather { recipient, assembly, parts: list, awaited: parts, failed: false };
        self.open.insert(GatherId(self.next), gather);
        GatherId(self.next)
    }

    /// Notes which call brings a part.
    pub(super) fn note(&mut self, id: GatherId, part: u32, ticket: Ticket) {
        if let Some(Part::Awaited(call)) = self.part(id, part) {
            *call = Some(ticket);
        }
    }

    /// The replies to a part.
    pub(super) fn answer(&mut self, id: GatherId, part: u32, reply: Frame) -> Gathered {
        match self.part(id, part) {
            Some(place @ Part::Awaited(_)) => *place = Part::Answered(reply),
            _ => return Gathered::Open,
        }
        self.settle(id, None)
    }

    /// A part gets no reply.
    pub(super) fn fail(&mut self, id: GatherId, part: u32, failure: Failure) -> Gathered {
        match self.part(id, part) {
            Some(place @ Part::Awaited(_)) => *place = Part::Gone,
            _ => return Gathered::Open,
        }
        self.settle(id, Some(failure))
    }

    /// The caller is gone: the calls of the parts that are awaited.
    pub(super) fn abandon(&mut self, id: GatherId) -> Vec<Ticket> {
        let parts = self.open.remove(&id).map(|gather| gather.parts).unwrap_or_default();
        let calls = parts.into_iter().filter_map(|part| match part {
            Part::Awaited(call) => call,
            Part::Answered(_) | Part::Gone => None,
        });
        calls.collect()
    }

    /// Whether this is being gathered.
    pub(super) fn is_open(&self, id: GatherId) -> bool {
        self.open.get(&id).is_some_and(|gather| !gather.failed)
    }

    fn part(&mut self, id: GatherId, part: u32) -> Option<&mut Part> {
        self.open.get_mut(&id)?.parts.get_mut(part as usize)
    }

    fn settle(&mut self, id: GatherId, failure: Option<Failure>) -> Gathered {
        let Some(gather) = self.open.get_mut(&id) else { return Gathered::Open };
        gather.awaited -= 1;
        let is_complete = gather.awaited == 0;
        let failed = failure.filter(|_| !std::mem::replace(&mut gather.failed, true));
        let gathered = match failed {
            Some(failure) => Gathered::Failed(gather.recipient, failure),
            None if is_complete && !gather.failed => {
                let parts = std::mem::take(&mut gather.parts);
                let replies = parts.into_iter().filter_map(|part| match part {
                    Part::Answered(reply) => Some(reply),
                    Part::Awaited(_) | Part::Gone => None,
                });
                Gathered::Done(gather.recipient, gather.assembly.assemble(replies.collect()))
            }
            None => Gathered::Open,
        };
        if is_complete {
            self.open.remove(&id);
        }
        gathered
    }
}

impl Assembly {
    fn assemble(&self, replies: Vec<Frame>) -> Vec<Frame> {
        match self {
            Assembly::Pipeline => replies,
            Assembly::Values(places) => vec![values(places, replies)],
            Assembly::Policy(policy) => vec![aggregate(*policy, replies)],
        }
    }
}

/// The values of `MGET`, in the order of its keys, or the error of one part.
fn values(places: &[Vec<usize>], replies: Vec<Frame>) -> Frame {
    if let Some(error) = replies.iter().find(|reply| matches!(reply, Frame::Error(_))) {
        return error.clone();
    }
    let mut all = vec![Frame::Null; places.iter().map(Vec::len).sum()];
    for (places, reply) in places.iter().zip(replies) {
        let Frame::Array(values) = reply.without_attributes() else { continue };
        for (place, value) in places.iter().zip(values) {
            if let Some(target) = all.get_mut(*place) {
                *target = value;
            }
        }
    }
    Frame::Array(all)
}

/// One reply from those of several nodes, as the policy of the command says. An error of one node is the reply, unless one success
/// is enough.
fn aggregate(policy: ResponsePolicy, replies: Vec<Frame>) -> Frame {
    let error = replies.iter().find(|reply| matches!(reply, Frame::Error(_)));
    if let Some(error) = error
        && policy != ResponsePolicy::OneSucceeded
    {
        return error.clone();
    }
    let numbers = || replies.iter().filter_map(integer);
    match policy {
        ResponsePolicy::AggSum => Frame::Integer(numbers().fold(0, i64::saturating_add)),
        ResponsePolicy::AggMin => numbers().min().map_or(Frame::Null, Frame::Integer),
        ResponsePolicy::AggMax => numbers().max().map_or(Frame::Null, Frame::Integer),
        ResponsePolicy::AggLogicalAnd => logical(&replies, |of_nodes| of_nodes.iter().all(|bit| *bit == 1)),
        ResponsePolicy::AggLogicalOr => logical(&replies, |of_nodes| of_nodes.contains(&1)),
        ResponsePolicy::OneSucceeded => {
            let succeeded = replies.iter().find(|reply| !matches!(reply, Frame::Error(_)));
            succeeded.or(error).cloned().unwrap_or(Frame::Null)
        }
        ResponsePolicy::AllSucceeded => replies.into_iter().next().unwrap_or(Frame::Null),
        ResponsePolicy::Default | ResponsePolicy::Special => joined(replies),
    }
}

/// Whatever the nodes have replied, as one: lists are joined, and the first of all other replies stands for all.
fn joined(replies: Vec<Frame>) -> Frame {
    let mut replies = replies.into_iter().map(Frame::without_attributes);
    let Some(mut first) = replies.next() else { return Frame::Null };
    for reply in replies {
        match (&mut first, reply) {
            (Frame::Array(all) | Frame::Set(all), Frame::Array(more) | Frame::Set(more)) => all.extend(more),
            (Frame::Map(all), Frame::Map(more)) => all.extend(more),
            _ => {}
        }
    }
    first
}

/// Applies a rule to the bits of all nodes: to one of each, or to each place of their lists (`SCRIPT EXISTS`).
fn logical(replies: &[Frame], rule: impl Fn(&[i64]) -> bool) -> Frame {
    let bit = |of_nodes: Vec<i64>| Frame::Integer(i64::from(rule(&of_nodes)));
    match replies.first() {
        Some(Frame::Array(first)) => {
            let places = 0..first.len();
            let of_place = |place: usize| {
                let at = |reply: &Frame| match reply {
                    Frame::Array(items) => items.get(place).and_then(integer),
                    _ => None,
                };
                bit(replies.iter().filter_map(at).collect())
            };
            Frame::Array(places.map(of_place).collect())
        }
        _ => bit(replies.iter().filter_map(integer).collect()),
    }
}

fn integer(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Integer(number) => Some(*number),
        Frame::Boolean(bit) => Some(i64::from(*bit)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::Outcome;

    const CALLER: Recipient = Recipient::Caller(Ticket(7));

    fn done(gathered: Gathered) -> Vec<Frame> {
        match gathered {
            Gathered::Done(CALLER, replies) => replies,
            other => panic!("{other:?}"),
        }
    }

    fn integers(numbers: &[i64]) -> Vec<Frame> {
        numbers.iter().map(|number| Frame::Integer(*number)).collect()
    }

    #[test]
    fn pipeline_has_its_replies_in_order() {
        let mut gathers = Gathers::default();
        let id = gathers.open(CALLER, Assembly::Pipeline, 3);
        for (part, number) in [(2, 2), (0, 0)] {
            assert!(matches!(gathers.answer(id, part, Frame::Integer(number)), Gathered::Open));
        }
        assert_eq!(done(gathers.answer(id, 1, Frame::Integer(1))), integers(&[0, 1, 2]));
        assert!(!gathers.is_open(id));
    }

    #[test]
    fn values_are_in_the_order_of_their_keys() {
        let mut gathers = Gathers::default();
        let id = gathers.open(CALLER, Assembly::Values(vec![vec![0, 3], vec![2, 1]]), 2);
        gathers.answer(id, 1, Frame::Array(integers(&[2, 1])));
        let replies = done(gathers.answer(id, 0, Frame::Array(integers(&[0, 3]))));
        assert_eq!(replies, [Frame::Array(integers(&[0, 1, 2, 3]))]);
    }

    #[test]
    fn failure_of_one_part_is_that_of_the_whole_once() {
        let mut gathers = Gathers::default();
        let id = gathers.open(CALLER, Assembly::Pipeline, 3);
        let failure = || Failure::ShutDown(Outcome::Unsent);
        assert!(matches!(gathers.fail(id, 0, failure()), Gathered::Failed(CALLER, _)));
        assert!(matches!(gathers.fail(id, 1, failure()), Gathered::Open));
        assert!(matches!(gathers.answer(id, 2, Frame::Null), Gathered::Open));
        assert!(matches!(gathers.answer(id, 2, Frame::Null), Gathered::Open), "it is gone");
    }

    #[test]
    fn caller_that_leaves_abandons_what_is_awaited() {
        let mut gathers = Gathers::default();
        let id = gathers.open(CALLER, Assembly::Pipeline, 2);
        gathers.note(id, 0, Ticket(1));
        gathers.note(id, 1, Ticket(2));
        gathers.answer(id, 0, Frame::Null);
        assert_eq!(gathers.abandon(id), [Ticket(2)]);
    }

    #[test]
    fn replies_are_aggregated_by_policy() {
        let error = || Frame::Error("ERR x".into());
        for (policy, replies, expected) in [
            (ResponsePolicy::AggSum, integers(&[1, 2, 4]), Frame::Integer(7)),
            (ResponsePolicy::AggMin, integers(&[3, 2, 4]), Frame::Integer(2)),
            (ResponsePolicy::AggMax, integers(&[3, 2, 4]), Frame::Integer(4)),
            (ResponsePolicy::AggSum, vec![Frame::Integer(1), error()], error()),
            (ResponsePolicy::OneSucceeded, vec![error(), Frame::Integer(5)], Frame::Integer(5)),
            (ResponsePolicy::OneSucceeded, vec![error(), error()], error()),
            (ResponsePolicy::AllSucceeded, vec![Frame::Simple("OK".into()), error()], error()),
            (ResponsePolicy::AggLogicalAnd, integers(&[1, 0]), Frame::Integer(0)),
            (
                ResponsePolicy::AggLogicalAnd,
                vec![Frame::Array(integers(&[1, 0])), Frame::Array(integers(&[1, 1]))],
                Frame::Array(integers(&[1, 0])),
            ),
            (
                ResponsePolicy::Default,
                vec![Frame::Array(integers(&[1])), Frame::Array(integers(&[2]))],
                Frame::Array(integers(&[1, 2])),
            ),
        ] {
            assert_eq!(aggregate(policy, replies), expected, "{policy:?}");
        }
    }
}
