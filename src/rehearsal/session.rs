//! What the server keeps of one connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::commands::Command;
use super::data::keyspace::Keyspace;
use super::maintenance::fault::Fault;
use super::maintenance::gate::Gate;
use super::maintenance::node::{Ending, NodeId};
use super::maintenance::opt_in::EndpointType;
use super::upstream::Upstream;
use super::wire::reply::{Protocol, ReplyBuffer};
use super::wire::request::{Args, Parser, Span};

/// Most commands that a transaction queues.
pub const TRANSACTION_COMMANDS_MAX: usize = 1 << 16;
/// Most bytes of arguments that a transaction queues (64 MiB).
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;

/// Most keys that a session watches.
pub const WATCHES_MAX: usize = 1 << 16;

/// Names one connection for as long as its server lives. It is what `CLIENT ID` answers, and never
/// used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) node: NodeId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) opened_us: u64,
    pub(crate) last_us: u64,
    pub(crate) last_command: &'static str,

    pub(crate) authenticated: bool,
    pub(crate) name: Vec<u8>,
    pub(crate) library_name: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
    pub(crate) database: usize,
    pub(crate) transaction: Option<Transaction>,
    /// Watched keys, with their databases, and the versions at which they were watched.
    pub(crate) watches: BTreeMap<(usize, Box<[u8]>), u64>,

    pub(crate) parser: Parser,
    /// Bytes that arrived and are not handled yet: part of a request, or requests that wait for the
    /// client to read its replies.
    pub(crate) input: Vec<u8>,
    pub(crate) reply: ReplyBuffer,
    /// Where requests that are not ours go, if not into the keyspace.
    pub(crate) upstream: Option<Box<Upstream>>,
    /// Whole requests may wait in `input`.
    pub(crate) is_stalled: bool,
    /// Nothing more is handled; the connection ends like this.
    pub(crate) ending: Option<Ending>,
    /// What the output has to pass, while the node has a fault that concerns it.
    pub(crate) gate: Option<Box<Gate>>,

    /// What MOVING should name, if the connection asked for notifications.
    pub(crate) opt_in: Option<EndpointType>,
    /// A command is being executed: its reply goes first.
    pub(crate) is_executing: bool,
    /// Pushes that wait for the end of that reply.
    deferred: Vec<u8>,
    /// A push that waits for the next one, to follow it.
    pub(crate) overtaken: Option<Vec<u8>>,
    /// Whatever arrives is dropped.
    pub(crate) is_silent: bool,
    /// What commands on data are answered with, if they are not executed.
    pub(crate) answer: Option<&'static str>,
    /// It has sent `REHEARSE`: a stall does not concern it, so that somebody can end the stall.
    pub(crate) is_controller: bool,
    pub(crate) counts: Counts,
}

/// What went over a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commands: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) pushes: u64,
}

/// The commands between `MULTI` and `EXEC`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queue: Vec<Queued>,
    bytes: usize,
    /// A command was refused while queueing: `EXEC` will refuse them all.
    pub(crate) is_aborted: bool,
}

/// One queued command.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) command: &'static Command,
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl Queued {
    pub(crate) fn args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}

impl Transaction {
    /// Queues a command, unless the transaction is too large already.
    pub(crate) fn queue(&mut self, command: &'static Command, args: Args<'_>) -> bool {
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
        self.queue.push(Queued { command, bytes: bytes.into_boxed_slice(), spans });
        true
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, node: NodeId, peer: SocketAddr, local: SocketAddr, now_us: u64) -> Self {
        Self {
            id,
            node,
            peer,
            local,
            opened_us: now_us,
            last_us: now_us,
            last_command: "NULL",
            authenticated: false,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            database: 0,
            transaction: None,
            watches: BTreeMap::new(),
            parser: Parser::default(),
            input: Vec::new(),
            reply: ReplyBuffer::default(),
            upstream: None,
            is_stalled: false,
            ending: None,
            gate: None,
            opt_in: None,
            is_executing: false,
            deferred: Vec::new(),
            overtaken: None,
            is_silent: false,
            answer: None,
            is_controller: false,
            counts: Counts::default(),
        }
    }

    /// Whether notifications reach it: RESP2 has no place for them.
    pub(crate) fn is_told(&self) -> bool {
        self.opt_in.is_some()
            && self.reply.protocol == Protocol::Resp3
            && self.ending.is_none()
            && !self.is_silent
    }

    /// Adds whole frames to the output, behind a reply that is not complete yet.
    pub(crate) fn push(&mut self, frames: &[u8]) {
        if self.is_executing {
            self.deferred.extend_from_slice(frames);
        } else {
            self.reply.raw(frames);
        }
    }

    /// Adds the pushes that waited, if no reply is incomplete any more.
    pub(crate) fn release_pushes(&mut self) {
        if !self.is_executing && !self.deferred.is_empty() {
            self.reply.raw(&std::mem::take(&mut self.deferred));
        }
    }

    /// Bytes that wait for the client to read, pushes that are not output yet included.
    pub(crate) fn unread(&self) -> usize {
        self.reply.pending().len() + self.deferred.len()
    }

    /// The output that may be written now.
    #[inline]
    pub(crate) fn writable(&self) -> &[u8] {
        let pending = self.reply.pending();
        match &self.gate {
            None => pending,
            Some(gate) => pending.get(..gate.writable(pending.len())).unwrap_or(pending),
        }
    }

    /// The connection has written the first `bytes` of the output.
    #[inline]
    pub(crate) fn take_output(&mut self, bytes: usize) {
        self.reply.take(bytes);
        self.counts.bytes_out += bytes as u64;
        if let Some(ending) = self.gate.as_mut().and_then(|gate| gate.note_written(bytes)) {
            self.end_with(ending);
        }
    }

    /// The connection's faults are `faults` from now on.
    pub(crate) fn set_faults(&mut self, faults: &[Fault]) {
        let pending = self.reply.pending().len();
        self.gate = Gate::new(faults, self.is_controller, pending, self.counts.commands);
        self.answer = faults.iter().find_map(|fault| match fault {
            Fault::Answer(error) => Some(*error),
            _ => None,
        });
        if !faults.contains(&Fault::Reorder)
            && let Some(push) = self.overtaken.take()
        {
            self.push(&push);
        }
    }

    /// Ends the connection like this, whatever was asked for before; unless it is at its end already.
    pub(crate) fn end_with(&mut self, ending: Ending) {
        if self.ending.is_some_and(Ending::is_immediate) {
            return;
        }
        self.ending = Some(ending);
        if ending.is_immediate() {
            self.reply.clear();
            self.deferred = Vec::new();
            self.gate = None;
        }
    }

    /// How the connection must end now. Output that is held back has to be written before.
    pub(crate) fn visible_ending(&self) -> Option<Ending> {
        let ending = self.ending?;
        let is_held_back = self.writable().is_empty() && !self.reply.pending().is_empty();
        (ending.is_immediate() || !is_held_back).then_some(ending)
    }

    /// Asks for the end, once the output is written; an end that was asked for before stands.
    pub(crate) fn close(&mut self) {
        self.ending.get_or_insert(Ending::AfterOutput);
    }

    pub(crate) fn unwatch_all(&mut self, keyspace: &mut Keyspace) {
        for (database, key) in std::mem::take(&mut self.watches).into_keys() {
            keyspace.database(database).unwatch(&key);
        }
    }

    /// The line of `CLIENT INFO` and `CLIENT LIST`.
    pub(crate) fn describe(&self, now_us: u64) -> String {
        let seconds_since = |then_us: u64| now_us.saturating_sub(then_us) / 1_000_000;
        let queued = self.transaction.as_ref().map_or(-1, |multi| multi.queue.len() as i64);
        format!(
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 \
             multi={queued} watch={} qbuf={} omem={} cmd={} user=default resp={} \
             lib-name={} lib-ver={}\n",
            self.id,
            self.peer,
            self.local,
            String::from_utf8_lossy(&self.name),
            seconds_since(self.opened_us),
            seconds_since(self.last_us),
            if queued >= 0 { "x" } else { "N" },
            self.database,
            self.watches.len(),
            self.input.len(),
            self.reply.pending().len(),
            self.last_command,
            if self.reply.protocol == Protocol::Resp3 { 3 } else { 2 },
            String::from_utf8_lossy(&self.library_name),
            String::from_utf8_lossy(&self.library_version),
        )
    }
}
