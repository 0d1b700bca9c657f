//! The state of one connection.

pub(crate) mod blocked;
pub(crate) mod subscriptions;
pub(crate) mod transaction;
pub(crate) mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use self::blocked::BlockedRequest;
use self::subscriptions::Subscriptions;
use self::transaction::Transaction;
use self::upstream::{PendingEffect, Upstream};
use super::data::keyspace::Keyspace;
use super::data::subscribers::SubscriptionKind;
use super::ending::Ending;
use super::ids::{NodeId, SessionId};
use super::maintenance::fault::Fault;
use super::maintenance::fault_filter::FaultFilter;
use super::maintenance::opt_in::EndpointType;
use super::wire::reply::{Protocol, REPLY_OVERRUN_BYTES_MAX, ReplyBuffer};
use super::wire::request::Parser;

/// The state of one connection.
///
/// A session knows neither its server nor its socket. Its output is a sequence of whole frames: while a command is
/// executed, pushes wait behind its reply ([`Session::push`], [`Session::release_pushes`]). After each change of the
/// output, the server must call `ServerState::account_output`, which applies the limits and the faults of the node.
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
    /// Watched keys with their databases, and the versions that they had when the watch began.
    pub(crate) watches: BTreeMap<(usize, Box<[u8]>), u64>,
    pub(crate) subscriptions: Subscriptions,
    /// The request for which the session waits. Later requests stay in `input` meanwhile.
    pub(crate) blocked: Option<Box<BlockedRequest>>,
    /// `EXEC` is being executed, so no command may block.
    pub(crate) denies_blocking: bool,

    pub(crate) parser: Parser,
    /// Bytes that arrived and are not handled yet: a part of a request, or requests that wait until the client has read
    /// its replies.
    pub(crate) input: Vec<u8>,
    pub(crate) reply: ReplyBuffer,
    /// The exchange with upstream, when the server is a proxy.
    pub(crate) upstream: Option<Box<Upstream>>,
    /// `input` may hold complete requests.
    pub(crate) is_stalled: bool,
    /// How the connection ends. Once it is set, no more requests are handled.
    pub(crate) ending: Option<Ending>,
    /// Present while the node has a fault that limits the bytes of this session.
    pub(crate) fault_filter: Option<Box<FaultFilter>>,

    /// The endpoint type for MOVING, if the connection opted in to notifications.
    pub(crate) opt_in: Option<EndpointType>,
    /// A command is being executed, and pushes wait for the end of its reply.
    pub(crate) is_executing: bool,
    /// A message has marked the session as dirty, and the server's owner has not seen it yet.
    pub(crate) has_new_messages: bool,
    /// Pushes that wait for the end of that reply.
    deferred: Vec<u8>,
    /// A push that [`Fault::Reorder`] holds until the next one is sent.
    pub(crate) reordered_push: Option<Vec<u8>>,
    /// Input is dropped without a reply.
    pub(crate) is_silent: bool,
    /// The error for all commands on data, set by [`Fault::Answer`].
    pub(crate) data_error: Option<&'static str>,
    /// The connection has sent `REHEARSE`. A stall does not apply to it, so that it can end the stall.
    pub(crate) is_controller: bool,
    pub(crate) counts: Counts,
    pub(crate) cluster: ClusterFlags,
}

/// What a session has asked of a cluster's node. Without a cluster, all is false.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClusterFlags {
    /// The server is a node of a cluster.
    pub(crate) is_node: bool,
    /// `ASKING` came before this command.
    pub(crate) is_asking: bool,
    /// `READONLY` is on.
    pub(crate) reads_replica: bool,
}

/// The traffic of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) commands: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) pushes: u64,
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
            subscriptions: Subscriptions::default(),
            blocked: None,
            denies_blocking: false,
            parser: Parser::default(),
            input: Vec::new(),
            reply: ReplyBuffer::default(),
            upstream: None,
            is_stalled: false,
            ending: None,
            fault_filter: None,
            opt_in: None,
            is_executing: false,
            has_new_messages: false,
            deferred: Vec::new(),
            reordered_push: None,
            is_silent: false,
            data_error: None,
            is_controller: false,
            counts: Counts::default(),
            cluster: ClusterFlags::default(),
        }
    }

    /// Whether the session handles requests and gets messages. One that ends or is silent does neither.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.ending.is_none() && !self.is_silent
    }

    /// Whether the connection gets notifications. RESP2 has no pushes.
    pub(crate) fn receives_notifications(&self) -> bool {
        self.opt_in.is_some() && self.reply.protocol == Protocol::Resp3 && self.is_open()
    }

    /// Whether messages could be taken for replies, so that few commands are allowed.
    #[inline]
    pub(crate) fn is_subscribed_in_resp2(&self) -> bool {
        self.reply.protocol == Protocol::Resp2 && !self.subscriptions.is_empty()
    }

    /// Adds whole frames to the output. They wait behind the reply of the command that is being executed.
    pub(crate) fn push(&mut self, frames: &[u8]) {
        if self.is_executing {
            self.deferred.extend_from_slice(frames);
        } else {
            self.reply.raw(frames);
        }
    }

    /// Adds a message, whose `fields` are written to `body`, as [`Session::push`] does. RESP2 has no pushes, so it is an
    /// array there.
    pub(crate) fn push_message(&mut self, fields: usize, body: &[u8]) {
        let kind = if self.reply.protocol == Protocol::Resp3 { '>' } else { '*' };
        self.push(format!("{kind}{fields}\r\n").as_bytes());
        self.push(body);
    }

    /// Adds the waiting pushes to the output once the reply is complete.
    pub(crate) fn release_pushes(&mut self) {
        if !self.is_executing && !self.deferred.is_empty() {
            self.reply.raw(&std::mem::take(&mut self.deferred));
        }
    }

    /// Bytes that the client has not read, with the waiting pushes.
    pub(crate) fn unread(&self) -> usize {
        self.reply.pending().len() + self.deferred.len()
    }

    /// The output that may be written now.
    #[inline]
    pub(crate) fn writable(&self) -> &[u8] {
        let pending = self.reply.pending();
        match &self.fault_filter {
            None => pending,
            Some(filter) => pending.get(..filter.writable(pending.len())).unwrap_or(pending),
        }
    }

    /// The connection has written the first `bytes` of the output.
    #[inline]
    pub(crate) fn take_output(&mut self, bytes: usize) {
        self.reply.take(bytes);
        self.counts.bytes_out += bytes as u64;
        if let Some(ending) = self.fault_filter.as_mut().and_then(|filter| filter.note_written(bytes)) {
            self.end_with(ending);
        }
    }

    /// Replaces the faults that apply to this session.
    pub(crate) fn set_faults(&mut self, faults: &[Fault]) {
        let pending = self.reply.pending().len();
        self.fault_filter = FaultFilter::new(faults, self.is_controller, pending, self.counts.commands);
        self.data_error = faults.iter().find_map(|fault| match fault {
            Fault::Answer(error) => Some(*error),
            _ => None,
        });
        if !faults.contains(&Fault::Reorder)
            && let Some(push) = self.reordered_push.take()
        {
            self.push(&push);
        }
    }

    /// Ends the connection with `ending`, which replaces a graceful ending but not an immediate one.
    pub(crate) fn end_with(&mut self, ending: Ending) {
        if self.ending.is_some_and(Ending::is_immediate) {
            return;
        }
        self.ending = Some(ending);
        if ending.is_immediate() {
            self.reply.clear();
            self.deferred = Vec::new();
            self.fault_filter = None;
        }
    }

    /// Ends a session whose client leaves too much unread, and frees the memory.
    pub(crate) fn limit_output(&mut self) {
        if self.unread() > REPLY_OVERRUN_BYTES_MAX {
            self.end_with(Ending::AtOnce);
        }
    }

    /// Rejects input that violates the protocol. Later input cannot be parsed, so the connection ends.
    pub(crate) fn reject_input(&mut self, text: &str) {
        self.reply.error(&format!("ERR Protocol error: {text}").into());
        self.close();
    }

    /// How the connection must end now. `None` while delayed output has to be written first.
    pub(crate) fn visible_ending(&self) -> Option<Ending> {
        let ending = self.ending?;
        let is_held_back = self.writable().is_empty() && !self.reply.pending().is_empty();
        (ending.is_immediate() || !is_held_back).then_some(ending)
    }

    /// Ends the connection after its output is written, unless it already has an ending.
    pub(crate) fn close(&mut self) {
        self.ending.get_or_insert(Ending::AfterOutput);
    }

    /// Applies an effect of a request that upstream has accepted.
    pub(crate) fn apply_effect(&mut self, effect: PendingEffect) {
        match effect {
            PendingEffect::Hello { protocol, name } => {
                self.reply.protocol = protocol.unwrap_or(self.reply.protocol);
                self.name = name.unwrap_or(std::mem::take(&mut self.name));
            }
            PendingEffect::Name(name) => self.name = name,
            PendingEffect::LibraryName(name) => self.library_name = name,
            PendingEffect::LibraryVersion(version) => self.library_version = version,
            PendingEffect::Reset => {
                self.reply.protocol = Protocol::Resp2;
                self.opt_in = None;
                self.name.clear();
            }
        }
    }

    /// Whether waiting requests could be forwarded or answered now.
    pub(crate) fn upstream_has_room(&self) -> bool {
        self.upstream.as_ref().is_none_or(|upstream| upstream.has_room())
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
        let subscribed = |kind| self.subscriptions.names(kind).len();
        format!(
            "id={} addr={} laddr={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} \
             multi={queued} watch={} qbuf={} omem={} cmd={} user=default resp={} \
             lib-name={} lib-ver={}\n",
            self.id,
            self.peer,
            self.local,
            String::from_utf8_lossy(&self.name),
            seconds_since(self.opened_us),
            seconds_since(self.last_us),
            self.flags(),
            // The databases of a cluster are its shards.
            if self.cluster.is_node { 0 } else { self.database },
            subscribed(SubscriptionKind::Channel),
            subscribed(SubscriptionKind::Pattern),
            subscribed(SubscriptionKind::ShardChannel),
            self.watches.len(),
            self.input.len(),
            self.reply.pending().len(),
            self.last_command,
            if self.reply.protocol == Protocol::Resp3 { 3 } else { 2 },
            String::from_utf8_lossy(&self.library_name),
            String::from_utf8_lossy(&self.library_version),
        )
    }

    /// The flags in the line of `CLIENT LIST`.
    fn flags(&self) -> String {
        let flags = [
            ('P', !self.subscriptions.is_empty()),
            ('x', self.transaction.is_some()),
            ('b', self.blocked.is_some()),
        ];
        let set: String = flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }
}

/// Most keys that a session watches.
pub(crate) const WATCHES_MAX: usize = 1 << 16;
