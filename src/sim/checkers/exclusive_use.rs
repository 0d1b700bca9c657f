//! An exclusive connection has one user: no command waits behind a blocking one, and a wait is ended only if it is to end.

use std::collections::BTreeSet;

use crate::proto::pool::{ConnectionSnapshot, Pool};
use crate::sim::blockers::MARK;
use crate::sim::outcomes::{Call, CallKind, End, Outcomes};
use crate::sim::violation::Violation;

/// The blocking commands that have arrived at a server on one connection.
#[derive(Debug, Default)]
pub(in crate::sim) struct Arrivals {
    /// The ticket of the newest.
    newest: Option<u32>,
    /// The end of the bytes, which may hold the beginning of a mark.
    tail: Vec<u8>,
}

impl Arrivals {
    /// The tickets of the commands that have arrived with these bytes.
    pub(in crate::sim) fn note(&mut self, bytes: &[u8]) -> Vec<u32> {
        let mut tickets = Vec::new();
        self.tail.extend_from_slice(bytes);
        let mut over = self.tail.len().saturating_sub(MARK_MAX);
        for at in memchr::memmem::find_iter(&self.tail, MARK) {
            let from = at + MARK.len();
            let mark = self.tail.get(from..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\r', mark) else { break };
            let text = mark.get(..length).and_then(|mark| std::str::from_utf8(mark).ok());
            let ticket: Option<u32> = text.and_then(|text| text.split(':').next_back()?.parse().ok());
            if ticket.is_some() && ticket != self.newest {
                tickets.extend(ticket);
                self.newest = ticket;
            }
            over = over.max(from + length);
        }
        self.tail.drain(..over);
        tickets
    }

    pub(in crate::sim) fn newest(&self) -> Option<u32> {
        self.newest
    }
}

/// The order in which the callers of one shard got a connection.
#[derive(Debug, Default)]
pub(in crate::sim) struct Order {
    newest: Option<u32>,
    seen: BTreeSet<u32>,
}

impl Order {
    /// With a single exclusive connection, the commands are written in the order of their submission.
    pub(in crate::sim) fn check(&mut self, tickets: &[u32]) -> Result<(), Violation> {
        for ticket in tickets.iter().filter(|ticket| self.seen.insert(**ticket)) {
            if let Some(newest) = self.newest.replace(*ticket).filter(|newest| newest > ticket) {
                let what = format!("ticket {ticket} got a connection after ticket {newest}");
                return Err(Violation::new("callers get connections in order", what));
            }
        }
        Ok(())
    }
}

/// Checks a blocking command that arrives at a server behind `before` on the same connection.
pub(in crate::sim) fn check_arrival(
    ticket: u32,
    before: Option<&Call>,
    is_shared: bool,
    is_blocked: bool,
) -> Result<(), Violation> {
    let violated = |what: String| Err(Violation::new("an exclusive connection has one user", what));
    if is_shared {
        return violated(format!("ticket {ticket} blocks a shared connection"));
    }
    if before.is_some_and(|before| before.end == End::Open) || is_blocked {
        return violated(format!("ticket {ticket} waits for another command: {before:?}"));
    }
    Ok(())
}

/// Checks a `CLIENT UNBLOCK` for a session that is blocked in this call. `is_left`: its connection is not the active one any more,
/// or the pool is shutting down.
pub(in crate::sim) fn check_unblock(
    ticket: Option<u32>,
    outcomes: &Outcomes,
    is_left: bool,
) -> Result<(), Violation> {
    let call = ticket.and_then(|ticket| outcomes.calls.get(&ticket));
    let is_wanted = call.is_none_or(|call| {
        call.end == End::Open && !matches!(call.kind, CallKind::Take(take) if take.is_cancelled)
    });
    match is_wanted && !is_left {
        true => Err(Violation::new(
            "only waits that are to end are ended",
            format!("the server was asked to end the wait of ticket {ticket:?}: {call:?}"),
        )),
        false => Ok(()),
    }
}

/// A pool has no more exclusive entries than it may have. Their numbers follow those of the shared ones.
pub(in crate::sim) fn check_bound(
    all: &[ConnectionSnapshot],
    shared: usize,
    most: usize,
) -> Result<(), Violation> {
    let numbers = all.iter().map(|known| known.id.entry.0 as usize);
    let used = numbers.max().map_or(0, |newest| (newest + 1).saturating_sub(shared));
    if used > most {
        let what = format!("{used} exclusive entries exist, and the bound is {most}");
        return Err(Violation::new("exclusive connections are bounded", what));
    }
    Ok(())
}

/// Runs long after the last fault: no exclusive connection is in use, and the unused ones are closed, unless some `callers` wait.
pub(in crate::sim) fn check_recovered(
    pool: &mut Pool,
    outcomes: &Outcomes,
    shared: usize,
) -> Result<(), Violation> {
    if outcomes.calls.values().any(|call| call.end == End::Open) {
        return Ok(());
    }
    let (exclusive, waiting) = (exclusive_entries(pool, shared), pool.exclusive().waiting);
    if !exclusive.is_empty() || waiting > 0 {
        let what = format!("the entries {exclusive:?} are connected, and {waiting} callers wait");
        return Err(Violation::new("exclusive connections without use are closed", what));
    }
    Ok(())
}

fn exclusive_entries(pool: &mut Pool, shared: usize) -> BTreeSet<u32> {
    let all = pool.entries().snapshot();
    let entries = all.into_iter().map(|ConnectionSnapshot { id, .. }| id.entry.0);
    entries.filter(|entry| *entry as usize >= shared).collect()
}

/// More bytes than any mark has.
const MARK_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_recognized_in_pieces_and_once() {
        let mut arrivals = Arrivals::default();
        let bytes = b"*3\r\n$5\r\nBLPOP\r\n$8\r\ntake:1:7\r\n$1\r\n0\r\n$9\r\ntake:1:21\r\n";
        let found: Vec<u32> = bytes.iter().flat_map(|byte| arrivals.note(&[*byte])).collect();
        assert_eq!((found, arrivals.newest()), (vec![7, 21], Some(21)));
        assert_eq!(Arrivals::default().note(bytes), [7, 21]);
    }
}
