//! [`Transactions`]: what the sessions of one shard have tried.

use super::outcomes::{End, Outcomes};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

/// What the sessions of one shard have tried, for the checker.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    pub(super) list: Vec<Transaction>,
    /// The first command of each session.
    pub(super) probes: Vec<u32>,
    /// Commands outside of transactions.
    pub(super) plain: Vec<u32>,
}

/// One transaction: it appends an element to two lists.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) element: u64,
    /// The length of the first list, read behind a watch.
    pub(super) length: Option<i64>,
    /// A watch may be in effect, of which the caller is not sure.
    pub(super) may_watch: bool,
    style: Style,
    commands: Vec<String>,
    /// The submitted commands: their calls, and which reply of the call is theirs.
    pub(super) calls: Vec<(u32, usize)>,
    /// The caller has discarded it.
    pub(super) is_given_up: bool,
}

/// How the commands of a transaction are submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Batch,
    /// One by one, without awaiting any.
    Pipelined,
    /// One by one, each after the reply to the one before.
    Awaited,
}

/// What a caller knows of its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TransactionEnd {
    /// The lengths of both lists after it.
    Done([i64; 2]),
    /// A watched key had changed.
    Conflict,
    NotRun,
    Ambiguous,
}

impl Transaction {
    pub(super) fn new(
        element: u64,
        length: Option<i64>,
        may_watch: bool,
        style: Style,
        commands: Vec<String>,
    ) -> Self {
        let (calls, is_given_up) = (Vec::new(), false);
        Transaction { element, length, may_watch, style, commands, calls, is_given_up }
    }

    /// Whether no command of it is submitted any more.
    pub(super) fn is_complete(&self) -> bool {
        self.is_given_up || self.calls.len() == self.commands.len()
    }

    /// The calls to submit next.
    pub(super) fn next_commands(&self) -> Vec<Vec<String>> {
        let rest = self.commands.iter().skip(self.calls.len());
        match self.style {
            Style::Batch => vec![rest.cloned().collect()],
            Style::Pipelined => rest.map(|command| vec![command.clone()]).collect(),
            Style::Awaited => rest.take(1).map(|command| vec![command.clone()]).collect(),
        }
    }

    /// The reply to one of its commands, if it has come.
    pub(super) fn reply<'a>(&self, index: usize, outcomes: &'a Outcomes) -> Option<&'a Frame> {
        let (ticket, index) = self.calls.get(index)?;
        outcomes.calls.get(ticket)?.replies.get(*index)
    }

    pub(super) fn end(&self, outcomes: &Outcomes) -> TransactionEnd {
        let exec = self.calls.get(EXEC).and_then(|(ticket, _)| outcomes.calls.get(ticket));
        match (exec.map(|call| call.end), self.reply(EXEC, outcomes)) {
            (None | Some(End::Failed(Outcome::Unsent)), _) => TransactionEnd::NotRun,
            (_, Some(Frame::Null)) => TransactionEnd::Conflict,
            (_, Some(Frame::Array(replies))) => match replies.as_slice() {
                [Frame::Integer(log), Frame::Integer(twin)] => TransactionEnd::Done([*log, *twin]),
                _ => TransactionEnd::NotRun,
            },
            (_, Some(_)) => TransactionEnd::NotRun,
            (Some(_), None) => TransactionEnd::Ambiguous,
        }
    }
}

impl Style {
    pub(super) fn draw(random: &mut fastrand::Rng) -> Self {
        match random.u32(..4) {
            0..2 => Style::Batch,
            2 => Style::Pipelined,
            _ => Style::Awaited,
        }
    }
}

/// The place of `EXEC` among the commands.
const EXEC: usize = 3;
