//! [`Cancellation`]: how a caller on another thread cancels its command.

use std::time::Duration;

use super::due::Answer;
use super::foreign::ForeignCallId;
use crate::proto::connection::Ticket;

/// A caller on another thread cancels the command that was accepted under this ticket.
pub(crate) struct Cancellation {
    pub(crate) ticket: Ticket,
    pub(crate) call: ForeignCallId<Answer>,
    pub(crate) reason: CancelReason,
}

/// Why a caller cancels its command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CancelReason {
    /// It does not wait any longer.
    CallerLeft,
    /// This deadline has passed: the caller learns how far the command has come.
    DeadlinePassed(Duration),
    /// It wants no more than what the command has taken by now.
    ResultWanted,
}
