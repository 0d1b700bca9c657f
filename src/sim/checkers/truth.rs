//! What the servers executed is what the callers were told: nothing lost, nothing doubled, nothing out of order, and
//! every reply with its own command.

use std::collections::BTreeMap;

use super::Violation;
use crate::proto::connection::HandleId;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::sim::callers::{ticket_of, value};
use crate::sim::outcomes::{Case, End, Outcomes};

/// Compares one shard's outcomes with the lists that its handles left behind.
pub(in crate::sim) fn check(
    outcomes: &Outcomes,
    lists: &BTreeMap<HandleId, Vec<u64>>,
) -> Result<(), Violation> {
    let mut executed = BTreeMap::new();
    for (handle, list) in lists {
        for (index, value) in list.iter().enumerate() {
            if executed.insert(*value, (*handle, index)).is_some() {
                let what = format!("ticket {} was executed twice", ticket_of(*value));
                return Err(Violation::new("nothing runs twice", what));
            }
        }
        check_order(outcomes, list)?;
    }
    for (ticket, case) in &outcomes.cases {
        check_case(*ticket, case, &executed)?;
    }
    Ok(())
}

/// Commands whose replies came ran in the order of their submission. Those that were lost with their connection may
/// still run when nobody expects it.
fn check_order(outcomes: &Outcomes, list: &[u64]) -> Result<(), Violation> {
    let answered =
        |value: &&u64| outcomes.cases.get(&ticket_of(**value)).is_some_and(|case| case.end == End::Answered);
    let mut before = None;
    for value in list.iter().filter(answered) {
        if let Some(before) = before.filter(|before| *before >= *value) {
            let (first, second) = (ticket_of(before), ticket_of(*value));
            let what = format!("ticket {second} was submitted before {first}, and executed after it");
            return Err(Violation::new("one caller's commands keep their order", what));
        }
        before = Some(*value);
    }
    Ok(())
}

fn check_case(
    ticket: u32,
    case: &Case,
    executed: &BTreeMap<u64, (HandleId, usize)>,
) -> Result<(), Violation> {
    for number in 0..case.commands {
        let found = executed.get(&value(ticket, number)).copied();
        // What was answered with an error was not executed, and the other way round.
        let is_refused = matches!(case.replies.get(number as usize), Some(Frame::Error(_)));
        match (case.end, found) {
            (End::Answered, None) if is_refused => {}
            (End::Answered, None) => {
                let what = format!("ticket {ticket} was answered, and never executed");
                return Err(Violation::new("what is answered was executed", what));
            }
            (End::Answered, Some((_, index))) => {
                let reply = case.replies.get(number as usize);
                let own = Frame::Integer(i64::try_from(index + 1).unwrap_or(i64::MAX));
                if reply != Some(&own) {
                    let what = format!("ticket {ticket} should have got {own:?}, and got {reply:?}");
                    return Err(Violation::new("a reply goes to the command that caused it", what));
                }
            }
            (End::Failed(Outcome::Unsent), Some(_)) => {
                let what = format!("ticket {ticket} was called unsent, and was executed");
                return Err(Violation::new("what is unsent was not executed", what));
            }
            _ => {}
        }
    }
    Ok(())
}
