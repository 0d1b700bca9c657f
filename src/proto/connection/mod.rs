//! One socket's life, without the socket.
//!
//! ```text
//! dialing ──handle_connected──▶ handshaking ──last reply──▶ ready ──drain, retire──▶ draining
//!    │                               │                        │                        │
//!    └───────────────────────────────┴───── end(reason) ──────┴────────────────────────┴──▶ gone
//! ```
//!
//! A connection takes commands out of its entry's [`Queue`] only at the moment when it can write them. What it
//! took, and did not write a byte of, goes back there when it ends, or when another takes its place. Pushes are
//! collected, uninterpreted, for whoever owns it.

mod credentials;
mod handshake;
mod inflight;
mod internal;
mod opt_in;
mod push_meter;
mod queue;
mod read_budget;
mod timeout_window;
mod timeouts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use credentials::Credentials;
pub(crate) use credentials::Secret;
#[cfg(any(test, fuzzing))]
pub(crate) use handshake::Protocol;
pub(crate) use handshake::{HandshakeConfig, Negotiated};
pub(crate) use internal::StateChange;
pub(crate) use opt_in::Notifications;
#[cfg(feature = "cli")]
pub(crate) use push_meter::{BURST, PER_SECOND};
pub(crate) use push_meter::{PushMeter, PushUse};
pub(crate) use queue::{HandleId, Position, Queue, QueueBounds, Ticket};
pub(crate) use read_budget::{READ_MAX, ReadBudget};
pub(crate) use timeout_window::TimeoutWindow;
pub(crate) use timeouts::ReplyDeadline;

use self::handshake::Handshake;
use self::inflight::{InFlight, ReplyMatch};
use self::internal::InternalCommands;
use super::error::{CloseReason, Failure, Outcome};
use super::resp::{Decoder, Frame, Limits};
use super::time::Instant;

/// What every connection of a pool has in common.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    pub(crate) handshake: Arc<HandshakeConfig>,
    pub(crate) limits: Limits,
    pub(crate) in_flight_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    /// How long one reply may take from its first byte to its last. Nothing relaxes it.
    pub(crate) reply_time_max: Duration,
    /// After so much silence a connection that has nothing to do asks whether anybody is there.
    pub(crate) idle_ping: Duration,
}

/// Where a connection delivers what it learns about commands.
pub(crate) trait Deliver {
    /// One reply for this ticket; `last` if no other follows.
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool);
    /// How long the command took whose last reply follows.
    fn took(&mut self, _time: Duration) {}
    /// This ticket will get no (further) reply.
    fn fail(&mut self, ticket: Ticket, failure: Failure);
    /// A message that answers no command; false if nothing has a use for it.
    fn push(&mut self, frame: Frame) -> bool;
}

/// A message that came on a connection.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) frame: Frame,
    /// The connection was ready before the bytes arrived that it came with.
    pub(crate) is_live: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    decoder: Decoder,
    in_flight: InFlight,
    internal: InternalCommands,
    idle_ping: Duration,
    reply_time_max: Duration,
    /// Since when a frame arrives that has not ended.
    arriving_since: Option<Instant>,
    /// What is being written; `written` bytes of it have left.
    outgoing: Vec<u8>,
    written: usize,
    /// It takes nothing more out of the queue.
    draining: bool,
    pushes: Vec<Push>,
    last_received: Instant,
    bytes_received: u64,
    bytes_sent: u64,
}

#[derive(Debug)]
enum Phase {
    Dialing { until: Instant, budget: Duration },
    Handshaking { until: Instant, budget: Duration, handshake: Handshake },
    Ready { since: Instant, agreed: Negotiated },
}

impl Connection {
    /// A connection that somebody begins to dial now, and that has to be ready within `budget`.
    pub(crate) fn dialing(now: Instant, budget: Duration, config: &ConnectionConfig) -> Self {
        Connection {
            phase: Phase::Dialing { until: now.after(budget), budget },
            decoder: Decoder::new(config.limits),
            in_flight: InFlight::default(),
            internal: InternalCommands::default(),
            idle_ping: config.idle_ping,
            reply_time_max: config.reply_time_max,
            arriving_since: None,
            outgoing: Vec::new(),
            written: 0,
            draining: false,
            pushes: Vec::new(),
            last_received: now,
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    /// The socket is connected, to this address if it has one: shake hands, and log in with these.
    pub(crate) fn handle_connected(
        &mut self,
        peer: Option<IpAddr>,
        login: Option<Arc<Credentials>>,
        now: Instant,
        config: &ConnectionConfig,
    ) {
        if let Phase::Dialing { until, budget } = self.phase {
            let handshake = Handshake::begin(config.handshake.clone(), login, peer, &mut self.outgoing);
            self.phase = Phase::Handshaking { until, budget, handshake };
            self.last_received = now;
        }
    }

    /// HELLO is answered, and it has to be told whether to ask for notifications.
    pub(crate) fn awaits_opt_in(&self) -> bool {
        matches!(&self.phase, Phase::Handshaking { handshake, .. } if handshake.awaits_opt_in())
    }

    /// Goes on with the handshake, asking for notifications or not.
    pub(crate) fn handle_opt_in(&mut self, ask: bool) {
        if let Phase::Handshaking { handshake, .. } = &mut self.phase {
            handshake.handle_opt_in(ask, &mut self.outgoing);
        }
    }

    /// Takes in what was read from the socket.
    ///
    /// # Errors
    /// The reason why the connection has to end.
    pub(crate) fn handle_bytes(
        &mut self,
        now: Instant,
        mut input: &[u8],
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        self.last_received = now;
        self.bytes_received += input.len() as u64;
        let was_ready = matches!(self.phase, Phase::Ready { .. });
        let mut is_same_frame = true;
        while let Some(frame) = self.decoder.decode(&mut input)? {
            is_same_frame = false;
            if frame.is_push() {
                self.pushes.push(Push { frame, is_live: was_ready });
            } else if let Phase::Handshaking { handshake, .. } = &mut self.phase {
                if let Some(agreed) = handshake.handle_reply(frame, &mut self.outgoing)? {
                    self.phase = Phase::Ready { since: now, agreed };
                }
            } else if self.in_flight.is_unsent(self.outgoing.len() - self.written) {
                // Taken for the reply of a command that may yet go elsewhere, it would shift all replies there.
                return Err(CloseReason::UnaskedReply);
            } else {
                match self.in_flight.answer() {
                    ReplyMatch::Answers { ticket, last, at } => {
                        if let Frame::Error(reply) = &frame {
                            self.internal.handle_error(reply);
                        }
                        if last {
                            deliver.took(now.since(at));
                        }
                        deliver.reply(ticket, frame, last);
                    }
                    ReplyMatch::Discarded => {}
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

    /// Whether something came that is no reply.
    #[inline]
    pub(crate) fn has_notices(&self) -> bool {
        !self.pushes.is_empty() || self.decoder.has_skipped() || self.internal.has_state_changes()
    }

    /// What replies said, since the last call, that concerns more than the commands which they answer.
    pub(crate) fn take_state_changes(&mut self) -> Vec<StateChange> {
        self.internal.take_state_changes()
    }

    /// Logs in again at the next boundary between commands, if it is ready.
    pub(crate) fn log_in(&mut self, credentials: Arc<Credentials>) {
        if !self.draining && self.ready_since().is_some() {
            self.internal.log_in(credentials);
        }
    }

    /// Whether new credentials are on their way, or their answer is.
    pub(crate) fn is_logging_in(&self) -> bool {
        self.internal.is_logging_in()
    }

    /// Whether it has something to say of its own accord, which nobody was told of.
    pub(crate) fn has_internal(&self) -> bool {
        self.internal.is_due()
    }

    /// How many messages were skipped since the last call because they were too large.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        self.decoder.take_skipped()
    }

    /// The messages that came since the last call, in order.
    #[inline]
    pub(crate) fn take_pushes(&mut self) -> Vec<Push> {
        std::mem::take(&mut self.pushes)
    }

    /// Where to read the next bytes to, if they belong to a large value; then call [`Connection::handle_filled`].
    pub(crate) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        self.decoder.read_buffer()
    }

    /// Takes in `count` bytes that were read into [`Connection::read_buffer`].
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

    /// Bytes to write next; then call [`Connection::handle_written`]. The handles in `held`, which is sorted, wait for
    /// replies elsewhere: nothing of theirs is taken.
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
        self.outgoing.get(self.written..).unwrap_or_default()
    }

    /// What it has taken and not yet written.
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.outgoing.get(self.written..).unwrap_or_default()
    }

    /// The socket took `count` bytes of what was to be transmitted.
    pub(crate) fn handle_written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.outgoing.len());
        self.bytes_sent += count as u64;
    }

    /// Takes nothing new; it is done when [`Connection::is_idle`].
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.internal.stop();
    }

    /// Fails everything it has taken, because nobody will wait any longer.
    pub(crate) fn give_up(&mut self, mut fail: impl FnMut(Ticket, Outcome)) {
        let unwritten = self.outgoing.len() - self.written;
        let (unsent, _) = self.in_flight.split_unsent(unwritten);
        for item in unsent.into_iter().filter(|item| !item.abandoned) {
            fail(item.ticket, Outcome::Unsent);
        }
        self.in_flight.clear(|ticket| fail(ticket, Outcome::Ambiguous));
    }

    /// Another connection takes over: everything unsent goes back to the queue, what is written is waited for.
    pub(crate) fn retire(&mut self, queue: &mut Queue) {
        self.drain();
        self.return_unsent(queue);
    }

    /// The socket is gone: everything unsent goes back to the queue, everything written is lost. Says how many
    /// commands that were.
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

    /// Puts a tombstone in the place of a command that nobody waits for any more; false if it is not here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        self.in_flight.abandon(position)
    }

    /// Nothing is written and nothing is awaited that anybody but itself has asked for.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_internal_only()
            && (self.written == self.outgoing.len() || !self.in_flight.is_empty())
    }

    /// Since when commands can be sent, if they can.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ready { since, .. } => Some(since),
            _ => None,
        }
    }

    /// What the handshake agreed on, once it is over.
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::Ready { agreed, .. } => Some(agreed),
            _ => None,
        }
    }

    /// Whose replies are awaited, for each command.
    pub(crate) fn handles(&self) -> impl Iterator<Item = HandleId> {
        self.in_flight.handles()
    }

    /// How many commands it has taken and got no full answer to.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Bytes received and sent so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_received, self.bytes_sent)
    }

    /// Once everything is written: takes what may be written next.
    #[inline]
    fn refill(&mut self, now: Instant, queue: &mut Queue, held: &[HandleId], config: &ConnectionConfig) {
        if self.written < self.outgoing.len() {
            return;
        }
        self.outgoing.clear();
        self.written = 0;
        if self.outgoing.capacity() > OUTGOING_KEPT_MAX {
            self.outgoing = Vec::new();
        }
        let room = config.in_flight_max.saturating_sub(self.in_flight.len());
        if self.draining || room == 0 || !matches!(self.phase, Phase::Ready { .. }) {
            return;
        }
        let room = room - self.internal.places();
        if held.is_empty() {
            queue.take(room, &mut self.outgoing, self.in_flight.incoming());
        } else {
            queue.take_except(held, room, &mut self.outgoing, self.in_flight.incoming_mixed());
        }
        if self.internal.is_due() {
            self.internal.write(now, &mut self.outgoing, &mut self.in_flight);
        }
    }

    /// Gives back the commands of which no byte was written.
    fn return_unsent(&mut self, queue: &mut Queue) {
        let end = self.outgoing.len();
        let (items, length) = self.in_flight.split_unsent(end - self.written);
        if !items.is_empty() {
            let bytes = self.outgoing.get(end - length..).unwrap_or_default();
            self.internal.return_others(items, bytes, queue);
            self.outgoing.truncate(end - length);
        }
    }
}

/// A buffer that has grown past this is given back once it is written.
const OUTGOING_KEPT_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests;
