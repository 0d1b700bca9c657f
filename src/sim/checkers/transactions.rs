//! A transaction runs as a whole or not at all, on a session of its own, and finds what its caller has read behind a watch.

use crate::proto::resp::Frame;
use crate::sim::outcomes::{End, Outcomes};
use crate::sim::transactions::{Transaction, TransactionEnd, Transactions};
use crate::sim::violation::Violation;

/// Compares the transactions of one shard with the two lists that each of them appends to.
pub(in crate::sim) fn check(
    book: &Transactions,
    outcomes: &Outcomes,
    log: &[u64],
    twin: &[u64],
) -> Result<(), Violation> {
    for ticket in &book.probes {
        let reply = outcomes.calls.get(ticket).and_then(|call| call.replies.first());
        if !matches!(reply, None | Some(Frame::Integer(1) | Frame::Error(_))) {
            return violated(INHERITS, format!("ticket {ticket} of a new session got {reply:?}"));
        }
    }
    for ticket in &book.plain {
        let call = outcomes.calls.get(ticket).filter(|call| call.end == End::Answered);
        if let Some(reply) = call.and_then(|call| call.replies.first()).filter(|reply| is_queued(reply)) {
            return violated(WHOLE, format!("ticket {ticket} of no transaction got {reply:?}"));
        }
    }
    book.list.iter().try_for_each(|transaction| check_one(transaction, outcomes, log, twin))
}

fn check_one(
    transaction: &Transaction,
    outcomes: &Outcomes,
    log: &[u64],
    twin: &[u64],
) -> Result<(), Violation> {
    let element = transaction.element;
    let find = |list: &[u64]| -> Vec<i64> {
        let found = list.iter().enumerate().filter(|(_, known)| **known == element);
        found.map(|(index, _)| i64::try_from(index).unwrap_or(i64::MAX)).collect()
    };
    let (in_log, in_twin, end) = (find(log), find(twin), transaction.end(outcomes));
    let describe = |what: &str| format!("the transaction of {element} {what}: {end:?}, {transaction:?}");
    if in_log.len() != in_twin.len() || in_log.len() > 1 {
        return violated(WHOLE, describe(&format!("ran at {in_log:?} and {in_twin:?}")));
    }
    for index in 1..3 {
        let reply = transaction.reply(index, outcomes);
        if reply.is_some_and(|reply| !is_queued(reply) && !matches!(reply, Frame::Error(_))) {
            return violated(WHOLE, describe(&format!("got {reply:?} for a command")));
        }
    }
    if let Some(reply @ Frame::Error(_)) = transaction.reply(0, outcomes) {
        return violated(INHERITS, describe(&format!("got {reply:?} for its MULTI")));
    }
    let place = in_log.first().copied();
    if let (Some(length), Some(place)) = (transaction.length, place)
        && length != place
    {
        return violated(WATCHED, describe(&format!("read the length {length}, and ran at {place}")));
    }
    match end {
        TransactionEnd::Done(lengths)
            if place.zip(in_twin.first().copied()).map(|(log, twin)| [log + 1, twin + 1])
                != Some(lengths) =>
        {
            violated(WHOLE, describe(&format!("ran at {in_log:?} and {in_twin:?}")))
        }
        TransactionEnd::Conflict if !transaction.may_watch => violated(INHERITS, describe("watched nothing")),
        TransactionEnd::Conflict | TransactionEnd::NotRun if place.is_some() => {
            violated(WHOLE, describe(&format!("ran at {in_log:?}")))
        }
        _ => Ok(()),
    }
}

fn is_queued(reply: &Frame) -> bool {
    matches!(reply, Frame::Simple(text) if text.as_ref() == b"QUEUED")
}

fn violated(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(invariant, what))
}

const WHOLE: &str = "a transaction runs as a whole";
const WATCHED: &str = "no watched key changes before EXEC";
const INHERITS: &str = "a session inherits nothing";
