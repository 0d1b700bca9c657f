//! One socket's life, without the socket.
//!
//! ```text
//! dialing ──handle_connected──▶ handshaking ──last reply──▶ ready ──drain──▶ draining
//!    │                               │                        │                 │
//!    └───────────────────────────────┴───── end(reason) ──────┴─────────────────┴──▶ gone
//! ```
//!
//! A connection takes commands out of its entry's [`Queue`] only at the moment when it can write them. What it
//! took, and did not write a byte of, goes back there when it ends.

mod handshake;
mod inflight;
mod queue;
mod stamps;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use handshake::{Greeting, Protocol, Secret};
pub(crate) use queue::{Lane, Position, Queue, QueueBounds, Ticket};

use self::handshake::Handshake;
use self::inflight::{InFlight, ReplyMatch};
use super::error::{CloseReason, Failure, Outcome};
use super::resp::{Decoder, Frame, Limits};
use super::time::Instant;

/// What every connection of a pool has in common.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    pub(crate) greeting: Arc<Greeting>,
    pub(crate) limits: Limits,
    pub(crate) in_flight_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
}

/// Where a connection delivers what it learns about commands.
pub(crate) trait Deliver {
    /// One reply for this ticket; `last` if no other follows.
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool);
    /// This ticket will get no (further) reply.
    fn fail(&mut self, ticket: Ticket, failure: Failure);
    /// A message that answers no command.
    fn push(&mut self, frame: Frame);
}

#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    decoder: Decoder,
    in_flight: InFlight,
    /// What is being written; `written` bytes of it have left.
    outgoing: Vec<u8>,
    written: usize,
    /// It takes nothing more out of the queue.
    draining: bool,
    last_received: Instant,
    bytes_received: u64,
    bytes_sent: u64,
}

#[derive(Debug)]
enum Phase {
    Dialing { until: Instant },
    Handshaking { until: Instant, handshake: Handshake },
    Ready { since: Instant, protocol: Protocol },
}

impl Connection {
    /// A connection that somebody begins to dial now.
    pub(crate) fn dialing(now: Instant, config: &ConnectionConfig) -> Self {
        Connection {
            phase: Phase::Dialing { until: now.after(config.connect_timeout) },
            decoder: Decoder::new(config.limits),
            in_flight: InFlight::default(),
            outgoing: Vec::new(),
            written: 0,
            draining: false,
            last_received: now,
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    /// The socket is connected: shake hands.
    pub(crate) fn handle_connected(&mut self, now: Instant, config: &ConnectionConfig) {
        if let Phase::Dialing { until } = self.phase {
            let handshake = Handshake::begin(config.greeting.clone(), &mut self.outgoing);
            self.phase = Phase::Handshaking { until, handshake };
            self.last_received = now;
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
        while let Some(frame) = self.decoder.decode(&mut input)? {
            if frame.is_push() {
                deliver.push(frame);
            } else if let Phase::Handshaking { handshake, .. } = &mut self.phase {
                if let Some(protocol) = handshake.handle_reply(frame, &mut self.outgoing)? {
                    self.phase = Phase::Ready { since: now, protocol };
                }
            } else {
                match self.in_flight.answer() {
                    ReplyMatch::Answers { ticket, last } => deliver.reply(ticket, frame, last),
                    ReplyMatch::Discarded => {}
                    ReplyMatch::Unasked => return Err(CloseReason::UnaskedReply),
                }
            }
        }
        Ok(())
    }

    /// Where to read the next bytes to, if they belong to a large value; then call [`Connection::handle_space`].
    pub(crate) fn space(&mut self) -> Option<&mut [u8]> {
        self.decoder.space()
    }

    /// Takes in `count` bytes that were read into [`Connection::space`].
    pub(crate) fn handle_space(
        &mut self,
        now: Instant,
        count: usize,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        self.decoder.fill(count);
        self.bytes_received += count as u64;
        self.handle_bytes(now, &[], deliver)
    }

    /// Bytes to write next; then call [`Connection::handle_written`].
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        queue: &mut Queue,
        config: &ConnectionConfig,
    ) -> &[u8] {
        queue.stamp(now);
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
            if self.outgoing.capacity() > OUTGOING_KEPT_MAX {
                self.outgoing = Vec::new();
            }
            if matches!(self.phase, Phase::Ready { .. }) && !self.draining {
                let room = config.in_flight_max.saturating_sub(self.in_flight.len());
                if room > 0 {
                    let (items, stamps) = self.in_flight.incoming();
                    queue.take(room, &mut self.outgoing, items, stamps);
                }
            }
        }
        self.outgoing.get(self.written..).unwrap_or_default()
    }

    /// The socket took `count` bytes of what was to be transmitted.
    pub(crate) fn handle_written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.outgoing.len());
        self.bytes_sent += count as u64;
    }

    /// The clock reached [`Connection::next_timeout`], or something else happened.
    ///
    /// # Errors
    /// The reason why the connection has to end.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        config: &ConnectionConfig,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        match self.phase {
            Phase::Dialing { until } | Phase::Handshaking { until, .. } if now >= until => {
                return Err(CloseReason::ConnectTimeout(config.connect_timeout));
            }
            Phase::Dialing { .. } | Phase::Handshaking { .. } => return Ok(()),
            Phase::Ready { .. } => {}
        }
        let after = config.command_timeout;
        let Some(until) = expired_until(now, after) else { return Ok(()) };
        let overdue = match self.in_flight.oldest() {
            Some(submitted) => submitted <= until,
            None => !self.in_flight.is_empty(),
        };
        if overdue {
            self.in_flight.expire(until, |ticket| {
                let outcome = Outcome::Ambiguous;
                deliver.fail(ticket, Failure::TimedOut { outcome, after, obstacle: None });
            });
            // Silence for as long as a reply may take, while replies are due, is the sign of a dead peer.
            let silence = now.since(self.last_received);
            if silence >= after {
                return Err(CloseReason::Unresponsive(silence));
            }
        }
        Ok(())
    }

    /// When [`Connection::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&mut self, config: &ConnectionConfig) -> Option<Instant> {
        match self.phase {
            Phase::Dialing { until } | Phase::Handshaking { until, .. } => Some(until),
            Phase::Ready { .. } if self.in_flight.is_empty() => None,
            Phase::Ready { .. } => {
                // Where all replies are overdue, only silence is left to wait for.
                let from = self.in_flight.oldest().unwrap_or(self.last_received);
                Some(from.after(config.command_timeout))
            }
        }
    }

    /// Takes nothing new; it is done when [`Connection::is_idle`].
    pub(crate) fn drain(&mut self) {
        self.draining = true;
    }

    /// Fails everything it has taken, because nobody will wait any longer.
    pub(crate) fn give_up(&mut self, mut fail: impl FnMut(Ticket, Outcome)) {
        let unwritten = self.outgoing.len() - self.written;
        let (unsent, ..) = self.in_flight.split_unsent(unwritten);
        for item in unsent.into_iter().filter(|item| !item.abandoned) {
            fail(item.ticket, Outcome::Unsent);
        }
        self.in_flight.clear(|ticket| fail(ticket, Outcome::Ambiguous));
    }

    /// The socket is gone: everything unsent goes back to the queue, everything written is lost.
    pub(crate) fn end(mut self, reason: &Arc<CloseReason>, queue: &mut Queue, deliver: &mut impl Deliver) {
        let unwritten = self.outgoing.get(self.written..).unwrap_or_default();
        let (items, stamps, length) = self.in_flight.split_unsent(unwritten.len());
        if !items.is_empty() {
            let unsent = unwritten.get(unwritten.len() - length..).unwrap_or_default();
            queue.put_back(items, unsent, stamps);
        }
        self.in_flight.clear(|ticket| deliver.fail(ticket, Failure::Lost(reason.clone())));
    }

    /// Puts a tombstone in the place of a command that nobody waits for any more; false if it is not here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        self.in_flight.abandon(position)
    }

    /// Nothing is written and nothing is awaited.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.written == self.outgoing.len()
    }

    /// Since when commands can be sent, if they can.
    pub(crate) fn ready_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ready { since, .. } => Some(since),
            _ => None,
        }
    }

    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self.phase {
            Phase::Ready { protocol, .. } => Some(protocol),
            _ => None,
        }
    }

    /// How many commands it has taken and got no full answer to.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Bytes received and sent so far.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (self.bytes_received, self.bytes_sent)
    }
}

/// What was submitted at or before this moment has expired; nothing can have if the clock is younger than that.
pub(crate) fn expired_until(now: Instant, timeout: Duration) -> Option<Instant> {
    let timeout = u64::try_from(timeout.as_nanos()).ok()?;
    now.as_nanos().checked_sub(timeout).map(Instant::from_nanos)
}

/// A buffer that has grown past this is given back once it is written.
const OUTGOING_KEPT_MAX: usize = 256 << 10;
