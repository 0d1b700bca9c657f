//! The servers' executions match the callers' outcomes: no command is lost, repeated or reordered, and every reply
//! belongs to its command.

use std::collections::BTreeMap;

use crate::proto::connection::HandleId;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::sim::callers::{ticket_of, value};
use crate::sim::outcomes::{Call, CallKind, End, Outcomes};
use crate::sim::violation::Violation;

/// Compares one shard's outcomes with the lists that its handles wrote.
pub(in crate::sim) fn check(
    outcomes: &Outcomes,
    lists: &BTreeMap<HandleId, Vec<u64>>,
) -> Result<(), Violation> {
    let mut executed = BTreeMap::new();
    for (handle, list) in lists {
        for (index, value) in list.iter().enumerate() {
            if executed.insert(*value, (*handle, index)).is_some() {
                let what = format!("ticket {} was executed twice", ticket_of(*value));
                return Err(Violation::new("no command runs twice", what));
            }
        }
        check_order(outcomes, list)?;
    }
    let recorded = outcomes.calls.iter().filter(|(_, call)| matches!(call.kind, CallKind::Recorded));
    for (ticket, call) in recorded {
        check_call(*ticket, call, &executed)?;
    }
    Ok(())
}

/// Answered commands ran in the order of their submission. A command that was lost with its connection may still run
/// at any later time.
fn check_order(outcomes: &Outcomes, list: &[u64]) -> Result<(), Violation> {
    let answered =
        |value: &&u64| outcomes.calls.get(&ticket_of(**value)).is_some_and(|call| call.end == End::Answered);
    let mut before = None;
    for value in list.iter().filter(answered) {
        if let Some(before) = before.filter(|before| *before >= *value) {
            let (first, second) = (ticket_of(before), ticket_of(*value));
            let what = format!("ticket {second} was submitted before {first}, and executed after it");
            return Err(Violation::new("the commands of a handle keep their order", what));
        }
        before = Some(*value);
    }
    Ok(())
}

fn check_call(
    ticket: u32,
    call: &Call,
    executed: &BTreeMap<u64, (HandleId, usize)>,
) -> Result<(), Violation> {
    for number in 0..call.commands {
        let found = executed.get(&value(ticket, number)).copied();
        // A command with an error reply was not executed, and any other answered one was.
        let is_refused = matches!(call.replies.get(number as usize), Some(Frame::Error(_)));
        match (call.end, found) {
            (End::Answered, None) if is_refused => {}
            (End::Answered, None) => {
                let what = format!("ticket {ticket} was answered, and it was not executed");
                return Err(Violation::new("an answered command was executed", what));
            }
            (End::Answered, Some((_, index))) => {
                let reply = call.replies.get(number as usize);
                let own = Frame::Integer(i64::try_from(index + 1).unwrap_or(i64::MAX));
                if reply != Some(&own) {
                    let what = format!("ticket {ticket} got {reply:?} instead of {own:?}");
                    return Err(Violation::new("a reply goes to the command that caused it", what));
                }
            }
            (End::Failed(Outcome::Unsent), Some(_)) => {
                let what = format!("ticket {ticket} was reported as unsent, and it was executed");
                return Err(Violation::new("an unsent command was not executed", what));
            }
            _ => {}
        }
    }
    Ok(())
}
