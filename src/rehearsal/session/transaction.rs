//! The commands between `MULTI` and `EXEC`.

use crate::rehearsal::wire::request::{Args, Span};

/// The queue of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queue: Vec<QueuedRequest>,
    bytes: usize,
    /// A command was rejected while queueing, so `EXEC` rejects all of them.
    pub(crate) is_aborted: bool,
}

/// One queued request, whose command and number of arguments are checked.
///
/// It holds the bytes and not the command: the commands are built on the session, so the session cannot name them.
/// `EXEC` looks the command up again.
#[derive(Debug)]
pub(crate) struct QueuedRequest {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl QueuedRequest {
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

impl Transaction {
    /// Queues a request. Returns false if the transaction is too large.
    pub(crate) fn queue(&mut self, args: Args<'_>) -> bool {
        let size: usize = args.iter().map(|argument| argument.len() + size_of::<Span>()).sum();
        self.bytes += size;
        if self.queue.len() >= TRANSACTION_COMMANDS_MAX || self.bytes > TRANSACTION_BYTES_MAX {
            return false;
        }
        let mut bytes = Vec::with_capacity(size);
        let spans = args
            .iter()
            .map(|argument| {
                let start = bytes.len();
                bytes.extend_from_slice(argument);
                (start, bytes.len())
            })
            .collect();
        self.queue.push(QueuedRequest { bytes: bytes.into_boxed_slice(), spans });
        true
    }
}

/// Most commands of one transaction.
pub(crate) const TRANSACTION_COMMANDS_MAX: usize = 1 << 16;
/// Most bytes of arguments of one transaction (64 MiB).
const TRANSACTION_BYTES_MAX: usize = 64 << 20;
