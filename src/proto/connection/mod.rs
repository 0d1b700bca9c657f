//! [`Connection`]: the protocol of one socket, without the socket.

mod command;
mod credentials;
mod deliver;
mod handshake;
mod inflight;
mod internal;
mod messages;
mod opt_in;
mod push_meter;
mod queue;
mod read_budget;
mod requests;
mod session_queue;
mod subscribing;
mod timeout_window;
mod timeouts;
mod write_buffer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use command::{EntryId, HandleId, InternalCommand, Position, Recipient, Submission, Ticket};
pub use credentials::Credentials;
pub(crate) use credentials::Secret;
pub(crate) use deliver::Deliver;
#[cfg(any(test, fuzzing))]
pub(crate) use handshake::Protocol;
pub(crate) use handshake::{HandshakeConfig, Negotiated};
pub(crate) use internal::StateChange;
pub(crate) use opt_in::Notifications;
#[cfg(feature = "cli")]
pub(crate) use push_meter::{BURST, PER_SECOND};
pub(crate) use push_meter::{PushMeter, PushUse};
pub(crate) use queue::{Queue, QueueBounds};
pub(crate) use read_budget::{READ_MAX, ReadBudget};
pub(crate) use timeout_window::TimeoutWindow;
pub(crate) use timeouts::ReplyDeadline;

use self::handshake::Handshake;
use self::inflight::{InFlight, ReplyMatch};
use self::internal::InternalCommands;
use self::subscribing::Subscribing;
use self::write_buffer::WriteBuffer;
use super::error::{CloseReason, Failure, Outcome};
use super::resp::{Decoder, Frame, Limits};
use super::time::Instant;

/// The settings that all connections of a pool share.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    pub(crate) handshake: Arc<HandshakeConfig>,
    pub(crate) limits: Limits,
    pub(crate) in_flight_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    /// How long one reply may take from its first byte to its last. No maintenance window extends it.
    pub(crate) reply_time_max: Duration,
    /// After how much silence an idle connection pings its peer.
    pub(crate) idle_ping: Duration,
}

/// A push that a connection has received, or the error by which the server refuses a command for subscriptions.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) frame: Frame,
    /// Whether the connection was ready before the bytes of this push arrived.
    pub(crate) is_live: bool,
}

/// One connection, from dialing to its end.
///
/// A connection takes commands out of the [`Queue`] of its entry at the moment at which it can write them, and not before.
/// Commands of which no byte was written return to that queue when the connection ends ([`Connection::end`]) or another
/// one replaces it ([`Connection::retire`]). Commands that are written, even in part, are never sent again.
///
/// The owner calls the `handle_*` methods for what the socket and the clock did, then [`Connection::take_pushes`] and
/// [`Connection::take_state_changes`], then [`Connection::poll_transmit`], then [`Connection::next_timeout`]. After an error
/// of any method it must call [`Connection::end`]. The connection collects pushes and does not interpret them. A push must
/// never be matched with a command: it would shift all later replies by one.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    decoder: Decoder,
    in_flight: InFlight,
    internal: InternalCommands,
    idle_ping: Duration,
    reply_time_max: Duration,
    /// When the first byte of the incomplete frame arrived, if there is one.
    arriving_since: Option<Instant>,
    outgoing: WriteBuffer,
    /// The connection takes no more commands out of the queue.
    draining: bool,
    pushes: Vec<Push>,
    last_received: Instant,
    bytes_received: u64,
}

/// The state of a connection.
///
/// ```text
/// Dialing ──handle_connected──▶ Handshaking ──last reply──▶ Ready ──drain, retire──▶ Ready, draining
///    │                               │                        │                        │
///    └───────────────────────────────┴────────── end ─────────┴────────────────────────┴──▶ dropped
/// ```
///
/// `until` is when dialing and the handshake must be over together, and `budget` how long they had. Only a ready
/// connection that does not drain takes commands.
#[derive(Debug)]
enum Phase {
    Dialing { until: Instant, budget: Duration },
    Handshaking { until: Instant, budget: Duration, handshake: Handshake },
    Ready { since: Instant, negotiated: Negotiated },
}

impl Connection {
    /// A connection that the driver begins to dial now. It has to be ready within `budget`.
    pub(crate) fn dialing(now: Instant, budget: Duration, config: &ConnectionConfig) -> Self {
        Connection {
            phase: Phase::Dialing { until: now.after(budget), budget },
            decoder: Decoder::new(config.limits),
            in_flight: InFlight::default(),
            internal: InternalCommands::default(),
            idle_ping: config.idle_ping,
            reply_time_max: config.reply_time_max,
            arriving_since: None,
            outgoing: WriteBuffer::default(),
            draining: false,
            pushes: Vec::new(),
            last_received: now,
            bytes_received: 0,
        }
    }

    /// The socket is connected, to `peer` unless it is a unix socket. Begins the handshake, with this login.
    pub(crate) fn handle_connected(
        &mut self,
        peer: Option<IpAddr>,
        login: Option<Arc<Credentials>>,
        now: Instant,
        config: &ConnectionConfig,
    ) {
        if let Phase::Dialing { until, budget } = self.phase {
            let handshake = Handshake::begin(config.handshake.clone(), login, peer, self.outgoing.appended());
            self.phase = Phase::Handshaking { until, budget, handshake };
            self.last_received = now;
        }
    }

    /// Whether the handshake waits at the opt-in gate for [`Connection::handle_opt_in`].
    pub(crate) fn awaits_opt_in(&self) -> bool {
        matches!(&self.phase, Phase::Handshaking { handshake, .. } if handshake.awaits_opt_in())
    }

    /// Continues the handshake. `ask`: with the request for maintenance notifications.
    pub(crate) fn handle_opt_in(&mut self, ask: bool) {
        if let Phase::Handshaking { handshake, .. } = &mut self.phase {
            handshake.handle_opt_in(ask, self.outgoing.appended());
        }
    }

    /// Decodes bytes that were read from the socket, and delivers the replies in them.
    ///
    /// # Errors
    /// The reason to close the connection.
    pub(crate) fn handle_bytes<D: Deliver>(
        &mut self,
        now: Instant,
        mut input: &[u8],
        deliver: &mut D,
    ) -> Result<(), CloseReason> {
        self.last_received = now;
        self.bytes_received += input.len() as u64;
        let was_ready = matches!(self.phase, Phase::Ready { .. });
        let mut is_same_frame = true;
        loop {
            if D::TAKES_MESSAGES {
                self.pass_messages(&mut input, deliver);
            }
            let Some(mut frame) = self.decoder.decode(&mut input)? else { break };
            is_same_frame = false;
            if self.internal.subscribing.has_subscribed() {
                Subscribing::array_to_push(&mut frame);
            }
            if D::TAKES_MESSAGES && self.pass_decoded(&frame, deliver) {
                continue;
            }
            if frame.is_push() {
                self.internal.subscribing.note_push(&frame, &mut self.in_flight);
                self.pushes.push(Push { frame, is_live: was_ready });
            } else if let Phase::Handshaking { handshake, .. } = &mut self.phase {
                if let Some(negotiated) = handshake.handle_reply(frame, self.outgoing.appended())? {
                    self.phase = Phase::Ready { since: now, negotiated };
                }
            } else if self.in_flight.is_unsent(self.outgoing.unwritten_len()) {
                // The command of this reply may still move to another connection. If the reply were matched with it here,
                // the real reply would arrive there without a command, and shift all later replies.
                return Err(CloseReason::UnaskedReply);
            } else {
                if self.internal.subscribing.has_subscribed() {
                    self.pass_answered_subscribes(&frame);
                }
                match self.in_flight.answer() {
                    ReplyMatch::Answers { ticket, last, at } => {
                        if let Frame::Error(reply) = &frame {
                            self.internal.handle_error(reply);
                        }
                        if last {
                            deliver.took(now.nanos_since(at));
                        }
                        deliver.reply(ticket, frame, last);
                    }
                    ReplyMatch::Discarded => {}
                    ReplyMatch::ForPool(ticket) => self.internal.answered(ticket, frame),
                    ReplyMatch::Internal(InternalCommand::Subscribe) => {
                        // A refusal keeps its place among the pushes, which answer the commands before and behind it.
                        let refusal = self.internal.subscribing.answer_oldest(frame);
                        self.pushes.extend(refusal.map(|frame| Push { frame, is_live: was_ready }));
                    }
                    ReplyMatch::Internal(internal) => self.internal.handle_reply(internal, frame),
                    ReplyMatch::Unasked => return Err(CloseReason::UnaskedReply),
                }
            }
        }
        self.arriving_since = match self.decoder.is_between_frames() {
            true => None,
            false => self.arriving_since.filter(|_| is_same_frame).or(Some(now)),
        };
        Ok(())
    }

    /// Whether pushes, skipped pushes or state changes wait to be taken.
    #[inline]
    pub(crate) fn has_notices(&self) -> bool {
        !self.pushes.is_empty() || self.decoder.has_skipped() || self.internal.has_state_changes()
    }

    /// The state changes since the last call.
    pub(crate) fn take_state_changes(&mut self) -> Vec<StateChange> {
        self.internal.take_state_changes()
    }

    /// How many pushes were skipped since the last call because they exceeded their limits.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        self.decoder.take_skipped()
    }

    /// The pushes since the last call, in order.
    #[inline]
    pub(crate) fn take_pushes(&mut self) -> Vec<Push> {
        std::mem::take(&mut self.pushes)
    }

    /// The memory for the next read, if the next bytes belong to a large value. Then call [`Connection::handle_filled`].
    pub(crate) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        self.decoder.read_buffer()
    }

    /// Decodes `count` bytes that were read into [`Connection::read_buffer`].
    ///
    /// # Errors
    /// The reason to close the connection.
    pub(crate) fn handle_filled(
        &mut self,
        now: Instant,
        count: usize,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        self.decoder.fill(count);
        self.bytes_received += count as u64;
        self.handle_bytes(now, &[], deliver)
    }

    /// The bytes to write next. Then [report](WriteBuffer::advance) what was written. Commands of the handles in `held`, which must be
    /// sorted, stay in the queue: their earlier commands await replies on another connection.
    #[inline]
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        queue: &mut Queue,
        held: &[HandleId],
        config: &ConnectionConfig,
    ) -> &[u8] {
        queue.stamp(now);
        self.refill(now, queue, held, config);
        self.outgoing.unwritten()
    }

    /// The bytes of [`Connection::poll_transmit`], and how many of them the socket has taken.
    #[inline]
    pub(crate) fn write_buffer(&mut self) -> &mut WriteBuffer {
        &mut self.outgoing
    }

    /// Stops taking commands. The drain is over when [`Connection::is_idle`].
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.internal.stop();
    }

    /// Fails all commands that the connection has taken, at the deadline of a shutdown.
    pub(crate) fn give_up(&mut self, mut fail: impl FnMut(Ticket, Outcome)) {
        let (unsent, _) = self.in_flight.split_unsent(self.outgoing.unwritten_len());
        for item in unsent.into_iter().filter(|item| item.is_awaited()) {
            fail(item.ticket, Outcome::Unsent);
        }
        self.in_flight.clear(|ticket| fail(ticket, Outcome::Ambiguous));
    }

    /// Hands over to another connection: unsent commands return to the queue, and the replies to written ones are awaited.
    pub(crate) fn retire(&mut self, queue: &mut Queue) {
        self.drain();
        self.return_unsent(queue);
    }

    /// The socket is closed: unsent commands return to the queue, and written ones are lost. Returns how many are lost.
    pub(crate) fn end(
        mut self,
        reason: &Arc<CloseReason>,
        maintenance: Option<&'static str>,
        queue: &mut Queue,
        deliver: &mut impl Deliver,
    ) -> u64 {
        self.return_unsent(queue);
        let mut lost = 0;
        self.in_flight.clear(|ticket| {
            lost += 1;
            deliver.fail(ticket, Failure::Lost { reason: reason.clone(), maintenance });
        });
        lost
    }

    /// Turns the command of a caller that has left into a tombstone; false if the command is not here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        self.in_flight.abandon(position)
    }

    /// Whether no command of a caller is being written or awaits its reply.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_internal_only() && (self.outgoing.is_written() || !self.in_flight.is_empty())
    }

    /// Whether a caller awaits the reply to a command that the connection has taken.
    pub(crate) fn awaits_caller(&self) -> bool {
        self.in_flight.oldest().is_some()
    }

    /// Since when the connection is ready, if it is.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ready { since, .. } => Some(since),
            _ => None,
        }
    }

    /// The result of the handshake, once it is over.
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::Ready { negotiated, .. } => Some(negotiated),
            _ => None,
        }
    }

    /// The handle of each command in flight.
    pub(crate) fn handles(&self) -> impl Iterator<Item = HandleId> {
        self.in_flight.handles()
    }

    /// How many commands are taken and not fully answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many bytes were received and sent.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_received, self.outgoing.sent())
    }

    /// Pushes have answered the commands for subscriptions that are next, unless this reply refuses one. It belongs to the
    /// command behind them.
    #[inline(never)]
    fn pass_answered_subscribes(&mut self, reply: &Frame) {
        if matches!(reply, Frame::Error(_)) {
            return;
        }
        while self.in_flight.is_next(InternalCommand::Subscribe) {
            self.in_flight.answer();
            self.internal.subscribing.forget_oldest();
        }
    }

    /// Refills the write buffer once all of it is written.
    ///
    /// The buffer and its commands in flight are filled together, so that the unwritten bytes always belong to the newest
    /// commands in flight: [`InFlight::split_unsent`] relies on it.
    #[inline]
    fn refill(&mut self, now: Instant, queue: &mut Queue, held: &[HandleId], config: &ConnectionConfig) {
        if !self.outgoing.is_written() {
            return;
        }
        let outgoing = self.outgoing.cleared();
        if self.internal.is_idle() && queue.has_none() {
            // So it is in two of the three calls of a turn. Taking nothing took 380 of the 4,000 instructions of a lone GET.
            return;
        }
        if self.draining && self.internal.is_due() {
            self.internal.write(now, outgoing, &mut self.in_flight);
        }
        let room = config.in_flight_max.saturating_sub(self.in_flight.len());
        if self.draining || room == 0 || !matches!(self.phase, Phase::Ready { .. }) {
            return;
        }
        let places = self.internal.places();
        let room = room - places;
        if held.is_empty() {
            queue.take(room, outgoing, self.in_flight.incoming());
        } else {
            queue.take_except(held, room, outgoing, self.in_flight.incoming_mixed());
        }
        self.internal.note_taken(queue);
        if self.internal.is_due() {
            let has_room = self.in_flight.len() + self.internal.places() <= config.in_flight_max;
            if places > 0 || has_room {
                self.internal.write(now, outgoing, &mut self.in_flight);
            }
        }
    }

    /// Returns the commands of which no byte was written to the queue.
    fn return_unsent(&mut self, queue: &mut Queue) {
        let (items, length) = self.in_flight.split_unsent(self.outgoing.unwritten_len());
        if !items.is_empty() {
            self.internal.return_others(items, self.outgoing.tail(length), queue);
            self.outgoing.cut(length);
        }
    }
}

#[cfg(test)]
mod tests;
