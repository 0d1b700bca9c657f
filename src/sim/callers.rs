//! [`Caller`]: a holder of one handle that submits commands and batches, and cancels some of them.

use std::time::Duration;

use super::outcomes::{Call, CallKind, End, Outcomes};
use crate::proto::connection::{HandleId, Submission, Ticket};
use crate::proto::pool::{EntryId, Pool};
use crate::proto::resp::Encoder;
use crate::proto::time::Instant;

#[derive(Debug)]
pub(super) struct Caller {
    pub(super) shard: usize,
    handle: HandleId,
    pub(super) entry: EntryId,
}

impl Caller {
    pub(super) fn new(shard: usize, number: usize, pool: &mut Pool) -> Self {
        Caller { shard, handle: HandleId(u32::try_from(number).unwrap_or(0)), entry: pool.assign() }
    }

    /// Submits or cancels once. Returns the time until the next action.
    pub(super) fn act(
        &self,
        pool: &mut Pool,
        outcomes: &mut Outcomes,
        next_ticket: &mut u32,
        random: &mut fastrand::Rng,
        now: Instant,
    ) -> Duration {
        match random.u32(..20) {
            0 => self.cancel(pool, outcomes, random),
            _ => self.submit(pool, outcomes, next_ticket, random, now),
        }
        // Actions come in bursts: most follow each other within 200 µs.
        match random.u32(..10) {
            0..5 => Duration::from_micros(random.u64(..200)),
            5..8 => Duration::from_millis(random.u64(..100)),
            _ => Duration::from_millis(random.u64(..900)),
        }
    }

    fn submit(
        &self,
        pool: &mut Pool,
        outcomes: &mut Outcomes,
        next_ticket: &mut u32,
        random: &mut fastrand::Rng,
        now: Instant,
    ) {
        let ticket = *next_ticket;
        *next_ticket += 1;
        let commands = if random.u32(..8) == 0 { random.u32(2..5) } else { 1 };
        let key = list(self.shard, self.handle);
        let encode = |out: &mut Vec<u8>| {
            for number in 0..commands {
                let mut encoder = Encoder::command(out, 3);
                encoder.bytes(b"RPUSH");
                encoder.bytes(key.as_bytes());
                encoder.bytes(value(ticket, number).to_string().as_bytes());
            }
        };
        let submission =
            Submission { entry: self.entry, handle: self.handle, ticket: Ticket(ticket), replies: commands };
        let Ok(position) = pool.submit(submission, encode) else {
            return;
        };
        let own = (random.u32(..12) == 0).then(|| Duration::from_millis(random.u64(1..800)));
        let deadline = own.map(|time| {
            (pool.set_deadline(self.entry, position, Ticket(ticket), time, now), now.after(time))
        });
        let (handle, entry) = (self.handle, self.entry);
        let (kind, replies, end) = (CallKind::Recorded, Vec::new(), End::Open);
        let call = Call { kind, handle, entry, position, submitted: now, deadline, commands, replies, end };
        outcomes.calls.insert(ticket, call);
    }

    fn cancel(&self, pool: &mut Pool, outcomes: &mut Outcomes, random: &mut fastrand::Rng) {
        let is_recorded = |call: &Call| matches!(call.kind, CallKind::Recorded);
        let is_open = |call: &Call| call.end == End::Open && call.handle == self.handle && is_recorded(call);
        let open = outcomes.calls.iter().filter(|(_, call)| is_open(call)).map(|(ticket, _)| *ticket);
        let Some(ticket) = random.choice(open.collect::<Vec<u32>>()) else { return };
        if let Some(call) = outcomes.calls.get_mut(&ticket) {
            call.end = End::Cancelled;
            pool.abandon(call.entry, call.position);
            if let Some((deadline, _)) = call.deadline {
                pool.clear_deadline(deadline);
            }
        }
    }
}

/// The list that records a handle's commands in the order of their execution.
pub(super) fn list(shard: usize, handle: HandleId) -> String {
    format!("list:{shard}:{}", handle.0)
}

/// The list element of one command of a ticket.
pub(super) fn value(ticket: u32, number: u32) -> u64 {
    u64::from(ticket) * COMMANDS_MAX + u64::from(number)
}

/// The ticket of a list element.
pub(super) fn ticket_of(value: u64) -> u32 {
    u32::try_from(value / COMMANDS_MAX).unwrap_or(u32::MAX)
}

const COMMANDS_MAX: u64 = 8;
