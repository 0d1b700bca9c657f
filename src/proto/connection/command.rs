//! [`Submission`] and [`PendingCommand`]: one command on its way into a queue, and from there to its last reply; and the names
//! that identify it.

use crate::proto::time::Instant;

/// One entry of a pool. It has a queue of its own. Handles are bound to an entry, not to the connection that serves it at the
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(pub(crate) u32);

/// The name under which the application knows a command whose reply it awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u32);

/// The place of a command among all commands of one entry. Later commands have higher positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u64);

/// Identifies one handle of the application. The server receives the commands of one handle in the order of their
/// submission. Two handles that get the same id by chance keep each other's order, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HandleId(pub(crate) u32);

/// One command, or one batch that is written together, on its way from a caller into the queue of an entry. The pool and the
/// entry pass it on unchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submission {
    pub(crate) entry: EntryId,
    pub(crate) handle: HandleId,
    pub(crate) ticket: Ticket,
    /// How many replies the server will send.
    pub(crate) replies: u32,
}

/// A command, or a batch of commands that are written together, from submission to its last reply.
///
/// The encoded bytes live elsewhere: in the [`Queue`](super::Queue), and then in the buffer of the connection. Both keep
/// their commands in the order of these bytes, so `length` is enough to find them.
#[derive(Clone, Debug)]
pub(crate) struct PendingCommand {
    pub(crate) position: Position,
    /// The time of submission, or [`UNSTAMPED`]. The driver stamps all new commands when it runs: one clock read per
    /// command would cost more than encoding the command.
    pub(crate) at: Instant,
    /// The encoded length in bytes.
    pub(crate) length: usize,
    pub(crate) handle: HandleId,
    pub(crate) ticket: Ticket,
    /// How many replies are still due.
    pub(crate) replies: u32,
    /// No caller awaits the reply. A written command stays as a tombstone, because its reply still arrives; a queued
    /// command is dropped before it is written.
    pub(crate) abandoned: bool,
    pub(crate) recipient: Recipient,
}

/// Who gets the replies to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// The caller, who knows the command by its ticket.
    Caller,
    /// The pool, which decides what the caller gets: the caller may have left, or the command may have to go on elsewhere.
    Pool,
    /// The connection, which sends the command for itself. It has no caller, so it is abandoned from the start.
    Connection(InternalCommand),
}

impl PendingCommand {
    /// Whether a caller, or the pool, awaits the reply.
    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        !self.abandoned && !self.recipient.is_internal()
    }
}

impl Recipient {
    /// Whether the connection sends the command for itself.
    #[inline]
    pub(crate) fn is_internal(self) -> bool {
        matches!(self, Recipient::Connection(_))
    }
}

/// A command that a connection sends for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InternalCommand {
    /// Checks that the server still answers.
    Ping,
    /// Logs in again with new credentials.
    Auth,
    /// Ends the wait of a blocking command on another connection.
    Unblock,
    /// Subscribes or unsubscribes. Pushes answer it, one for each name, and a refusal is a reply.
    Subscribe,
    /// Belongs to a session, and has no caller: it resets the connection, or its caller has left. It is queued in order with the
    /// commands of callers, and is dropped with its connection.
    Reset,
}

/// The time of a command that the driver has not stamped yet. It is the end of time, so such a command never expires.
pub(crate) const UNSTAMPED: Instant = Instant::END;
