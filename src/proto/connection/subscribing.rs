//! [`Subscribing`]: the commands by which a connection subscribes and unsubscribes, and how their answers are told apart.

use std::collections::VecDeque;

use bytes::Bytes;

use super::command::InternalCommand;
use super::inflight::InFlight;
use crate::proto::resp::{Encoder, Frame};
use crate::proto::time::Instant;

/// The commands for subscriptions of one connection.
///
/// Such a command has no reply: the server answers with a push for each name. Only a refusal is a reply, one for the whole
/// command. So each command has a place in flight until its last push has come. A push that no command has asked for, as
/// `sunsubscribe` can be, takes no place: it has another verb than the command that is due, or none is due.
///
/// RESP2 has no pushes. The server sends the same as arrays, which are taken for pushes once a connection has subscribed.
#[derive(Debug, Default)]
pub(super) struct Subscribing {
    due: VecDeque<(&'static str, Vec<Bytes>)>,
    /// The verbs of the commands that are written, and how many pushes are still to come for each.
    awaited: VecDeque<(&'static str, usize)>,
    /// The connection has subscribed to something.
    has_subscribed: bool,
}

impl Subscribing {
    pub(super) fn queue(&mut self, verb: &'static str, names: Vec<Bytes>) {
        self.due.push_back((verb, names));
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// How many commands are written and not answered.
    #[cfg(feature = "cli")]
    pub(super) fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Appends the due commands to the write buffer.
    pub(super) fn write(&mut self, now: Instant, out: &mut Vec<u8>, in_flight: &mut InFlight) {
        while let Some((verb, names)) = self.due.pop_front() {
            let before = out.len();
            let mut command = Encoder::command(out, 1 + names.len());
            command.bytes(verb.as_bytes());
            names.iter().for_each(|name| command.bytes(name));
            in_flight.push_internal(InternalCommand::Subscribe, out.len() - before, now);
            self.awaited.push_back((verb, names.len()));
            self.has_subscribed = true;
        }
    }

    /// Whether frames have to be looked at, because RESP2 sends messages as arrays.
    #[inline]
    pub(super) fn has_subscribed(&self) -> bool {
        self.has_subscribed
    }

    /// Takes an array of RESP2 for the push that it is, if it is no reply.
    pub(super) fn array_to_push(frame: &mut Frame) {
        if let Frame::Array(items) = frame
            && items.first().is_some_and(is_push_word)
        {
            *frame = Frame::Push(std::mem::take(items));
        }
    }

    /// A push has come: it may be the last one for the oldest command.
    pub(super) fn note_push(&mut self, push: &Frame, in_flight: &mut InFlight) {
        let Some((verb, rest)) = self.awaited.front_mut() else { return };
        let word = push.push_items().and_then(<[Frame]>::first);
        if word.is_some_and(|word| is(word, verb)) {
            *rest -= 1;
            if *rest == 0 {
                self.awaited.pop_front();
                in_flight.remove_first(InternalCommand::Subscribe);
            }
        }
    }

    /// The oldest command is answered, although not all of its pushes were counted.
    pub(super) fn forget_oldest(&mut self) {
        self.awaited.pop_front();
    }

    /// The oldest command has a reply. Returns the error if the server refuses it.
    pub(super) fn answer_oldest(&mut self, reply: Frame) -> Option<Frame> {
        self.forget_oldest();
        Some(reply.without_attributes()).filter(|reply| matches!(reply, Frame::Error(_)))
    }
}

fn is_push_word(word: &Frame) -> bool {
    PUSH_WORDS.iter().any(|known| is(word, known))
}

fn is(word: &Frame, known: &str) -> bool {
    matches!(word, Frame::Bulk(word) | Frame::Simple(word) if word.eq_ignore_ascii_case(known.as_bytes()))
}

const PUSH_WORDS: [&str; 9] = [
    "message",
    "pmessage",
    "smessage",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
];
