//! [`Blocker`]: a caller that pushes elements to the queue of its shard, and takes some of them with blocking commands.

use std::time::Duration;

use super::call_context::{CallContext, Touched};
use super::callers::value;
use super::outcomes::{Call, CallKind, Take};
use crate::proto::connection::HandleId;
use crate::proto::pool::{EntryId, Pool};

/// It has a few open calls at most, of which it cancels some and leaves others.
#[derive(Debug)]
pub(super) struct Blocker {
    pub(super) shard: usize,
    /// Where and as which handle it pushes.
    entry: EntryId,
    handle: HandleId,
    /// Its blocking commands.
    open: Vec<u32>,
}

impl Blocker {
    /// The numbers of a shard's blockers follow those of its other callers.
    pub(super) fn new(shard: usize, number: usize, pool: &mut Pool) -> Self {
        let handle = HandleId(u32::try_from(number).unwrap_or(u32::MAX));
        Blocker { shard, entry: pool.assign(), handle, open: Vec::new() }
    }

    /// Pushes, takes, cancels or leaves once. Returns the time until the next action.
    pub(super) fn act(&mut self, context: &mut CallContext) -> (Duration, Touched) {
        self.open.retain(|ticket| context.is_open(*ticket));
        let touched = match context.random.u32(..20) {
            0..8 => self.push(context),
            8..16 if self.open.len() < OPEN_MAX => self.take(context),
            kind => self.end_one(kind % 2 == 0, context),
        };
        let time = match context.random.u32(..10) {
            0..3 => Duration::from_micros(context.random.u64(..500)),
            3..8 => Duration::from_millis(context.random.u64(..250)),
            _ => Duration::from_millis(context.random.u64(..900)),
        };
        (time, touched)
    }

    /// The faults are over: most commands without a limit are cancelled or left. The shutdown ends the others.
    pub(super) fn wind_up(&mut self, context: &mut CallContext) -> Touched {
        for ticket in std::mem::take(&mut self.open) {
            let is_endless = context.call(ticket).is_some_and(Call::is_endless);
            match context.random.u32(..5) {
                0..2 if is_endless => context.cancel(ticket),
                2..4 if is_endless => context.leave(ticket),
                _ => {}
            }
        }
        Touched { shared: None, exclusive: true }
    }

    fn push(&self, context: &mut CallContext) -> Touched {
        let (ticket, count) = (context.ticket(), context.random.u32(1..4));
        let mut command = format!("RPUSH {}", queue(self.shard));
        (0..count).for_each(|number| command.push_str(&format!(" {}", value(ticket, number))));
        context.submit(self.entry, self.handle, CallKind::Push { elements: count }, &[command]);
        Touched { shared: Some(self.entry), exclusive: false }
    }

    fn take(&mut self, context: &mut CallContext) -> Touched {
        let timeout_ms = match context.random.u32(..8) {
            0..2 => 0,
            2..4 => context.random.u64(1..60),
            _ => context.random.u64(1..3_000),
        };
        let timeout = format!("{}.{:03}", timeout_ms / 1000, timeout_ms % 1000);
        let (from, mark) = (queue(self.shard), mark(self.shard, context.ticket()));
        let (command, most, is_move) = match context.random.u32(..8) {
            0..2 => (format!("BLPOP {mark} {from} {timeout}"), 1, false),
            2 => (format!("BRPOP {mark} {from} {timeout}"), 1, false),
            3 => (format!("BLMPOP {timeout} 2 {mark} {from} LEFT COUNT 2"), 2, false),
            4 => (format!("BRPOPLPUSH {from} {mark} {timeout}"), 1, true),
            _ => (format!("BLMOVE {from} {mark} LEFT RIGHT {timeout}"), 1, true),
        };
        let take = Take { is_move, most, limit: Duration::from_millis(timeout_ms), is_cancelled: false };
        let ticket = context.submit(EntryId::EXCLUSIVE, HandleId(0), CallKind::Take(take), &[command]);
        self.open.push(ticket);
        Touched { shared: None, exclusive: true }
    }

    fn end_one(&self, is_cancelled: bool, context: &mut CallContext) -> Touched {
        let Some(ticket) = context.random.choice(self.open.iter().copied()) else {
            return Touched::default();
        };
        match is_cancelled {
            true => context.cancel(ticket),
            false => context.leave(ticket),
        }
        Touched { shared: None, exclusive: true }
    }
}

/// The list that the blockers of a shard push to, and take from.
pub(super) fn queue(shard: usize) -> String {
    format!("queue:{shard}")
}

/// A key that only the blocking command with this ticket names, so that checkers recognize it among bytes. It is the target of
/// a command that moves an element, and else a list without elements.
pub(super) fn mark(shard: usize, ticket: u32) -> String {
    format!("{}{shard}:{ticket}", String::from_utf8_lossy(MARK))
}

/// The beginning of every mark.
pub(super) const MARK: &[u8] = b"take:";
const OPEN_MAX: usize = 2;
