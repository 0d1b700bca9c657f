//! How a command gets to the pools of its nodes.

use std::time::Duration;

use super::Cluster;
use super::calls::{CallPlace, Recipient, Routed};
use super::encoded::{Commands, EncodedArgs};
use super::gather::Assembly;
use super::ids::{GatherId, NodeId};
use super::nodes::Node;
use super::outstanding::Outstanding;
use super::route::{Route, begins_transaction};
use super::slot::Slot;
use crate::proto::connection::{EntryId, HandleId, Position, Submission, Ticket};
use crate::proto::error::{ClusterFailure, Failure, Outcome};
use crate::proto::time::Instant;

/// What all parts of one submission have in common.
#[derive(Clone, Copy)]
struct Origin {
    handle: HandleId,
    entry: EntryId,
}

impl Cluster {
    /// Sends what `encode` writes to the nodes that it concerns: one command, or a batch. It returns its name, and the entry whose
    /// driver has to write it. That is an exclusive one if the supervisor has to see to it.
    ///
    /// # Errors
    /// If the cluster is shutting down, or no node can run it. Nothing was sent then.
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Position, EntryId), Failure> {
        let Submission { entry, handle, ticket: caller, replies } = submission;
        if self.outstanding.is_closing {
            return Err(Failure::ShutDown(Outcome::Unsent));
        }
        if entry.is_exclusive() && entry != EntryId::EXCLUSIVE {
            return Err(ClusterFailure::Unsupported("sessions yet; connect to one node for them").into());
        }
        let recipient = Recipient::Caller(caller);
        let ticket = self.outstanding.calls.open(recipient, handle, entry, replies);
        if let Some(call) = self.outstanding.calls.get_mut(ticket) {
            encode(&mut call.bytes);
        }
        self.outstanding.calls.note_bytes(ticket);
        let sent = self.send_encoded(ticket, Origin { handle, entry });
        if sent.is_err() {
            self.outstanding.forget(ticket);
        }
        sent
    }

    /// Sends a call whose bytes are complete. On an error the call is still there.
    fn send_encoded(&mut self, ticket: Ticket, origin: Origin) -> Result<(Position, EntryId), Failure> {
        let Some(call) = self.outstanding.calls.get(ticket) else {
            return Err(ClusterFailure::Unknown.into());
        };
        let Some(first) = EncodedArgs::of_first(&call.bytes) else {
            return Err(ClusterFailure::Unsupported("use for bytes that are no command").into());
        };
        if call.replies > 1 && !begins_transaction(&first) {
            return self.send_pipeline(ticket, origin);
        }
        let slot = match call.replies {
            1 => match Route::of(&first)? {
                Route::One(slot) => slot,
                Route::Every(_) if !self.is_known => {
                    self.unrouted.push(ticket);
                    return Ok((self.outstanding.calls.position(ticket), EntryId::EXCLUSIVE));
                }
                Route::Every(assembly) => {
                    let bytes = call.bytes.clone();
                    let parts = self.nodes.owners().map(|_| (None, bytes.clone())).collect();
                    return self.send_parts(ticket, parts, assembly, origin);
                }
                Route::Split(parts, assembly) => {
                    let parts = parts.into_iter().map(|(slot, bytes)| (Some(slot), bytes)).collect();
                    return self.send_parts(ticket, parts, assembly, origin);
                }
            },
            _ => Route::of_transaction(&call.bytes)?,
        };
        if let Some(call) = self.outstanding.calls.get_mut(ticket) {
            call.slot = slot;
        }
        let position = self.outstanding.calls.position(ticket);
        Ok((position, self.send_in_order(ticket)?))
    }

    /// The nodes are known now: sends the commands that were to go to each of them.
    pub(super) fn send_unrouted(&mut self) {
        for ticket in std::mem::take(&mut self.unrouted) {
            let Some(call) = self.outstanding.calls.get(ticket) else { continue };
            let origin = Origin { handle: call.handle, entry: call.entry };
            if let Err(failure) = self.send_encoded(ticket, origin) {
                self.failed.push((ticket, failure));
            }
        }
    }

    /// Sends each command of a pipeline by itself.
    fn send_pipeline(&mut self, ticket: Ticket, origin: Origin) -> Result<(Position, EntryId), Failure> {
        let Some(call) = self.outstanding.calls.get(ticket) else {
            return Err(ClusterFailure::Unknown.into());
        };
        let recipient = call.recipient;
        let commands: Vec<Vec<u8>> = Commands::new(&call.bytes)
            .filter_map(|command| Some(call.bytes.get(command.range)?.to_vec()))
            .collect();
        if commands.len() != call.replies as usize {
            return Err(ClusterFailure::Unsupported("pipelines with commands that have no reply").into());
        }
        // All are refused together, before a byte of any is sent.
        for command in &commands {
            if let Some(args) = EncodedArgs::of_first(command) {
                Route::of(&args)?;
            }
        }
        self.outstanding.calls.close(ticket);
        let id = self.outstanding.gathers.open(recipient, Assembly::Pipeline, commands.len());
        for (part, bytes) in (0..).zip(commands) {
            let ticket = self.open_part(Recipient::Gather(id, part), bytes, origin);
            self.outstanding.gathers.note(id, part, ticket);
            match self.send_encoded(ticket, origin) {
                Ok((_, entry)) => self.wake(entry),
                Err(failure) => self.failed.push((ticket, failure)),
            }
        }
        Ok((gather_position(id), EntryId::EXCLUSIVE))
    }

    /// Sends the parts of one command. Those without a slot go to one owner of slots each.
    fn send_parts(
        &mut self,
        ticket: Ticket,
        parts: Vec<(Option<Slot>, Vec<u8>)>,
        assembly: Assembly,
        origin: Origin,
    ) -> Result<(Position, EntryId), Failure> {
        let Some(call) = self.outstanding.calls.get(ticket) else {
            return Err(ClusterFailure::Unknown.into());
        };
        let recipient = call.recipient;
        if parts.is_empty() {
            return Err(ClusterFailure::Unknown.into());
        }
        self.outstanding.calls.close(ticket);
        let id = self.outstanding.gathers.open(recipient, assembly, parts.len());
        let owners: Vec<NodeId> = self.nodes.owners().collect();
        for (part, (slot, bytes)) in parts.into_iter().enumerate() {
            let number = u32::try_from(part).unwrap_or(u32::MAX);
            let ticket = self.open_part(Recipient::Gather(id, number), bytes, origin);
            self.outstanding.gathers.note(id, number, ticket);
            if let Some(call) = self.outstanding.calls.get_mut(ticket) {
                call.slot = slot;
            }
            let sent = match slot {
                Some(_) => self.send_in_order(ticket),
                None => self.send_to(ticket, owners.get(part).copied().unwrap_or(NodeId::NONE)),
            };
            match sent {
                Ok(entry) => self.wake(entry),
                Err(failure) => self.failed.push((ticket, failure)),
            }
        }
        Ok((gather_position(id), EntryId::EXCLUSIVE))
    }

    fn open_part(&mut self, recipient: Recipient, bytes: Vec<u8>, origin: Origin) -> Ticket {
        let calls = &mut self.outstanding.calls;
        let ticket = calls.open(recipient, origin.handle, origin.entry, 1);
        if let Some(call) = calls.get_mut(ticket) {
            call.bytes = bytes;
        }
        calls.note_bytes(ticket);
        ticket
    }

    /// Sends a call, unless it has to wait behind others.
    #[inline]
    fn send_in_order(&mut self, ticket: Ticket) -> Result<EntryId, Failure> {
        if !self.outstanding.gates.is_empty()
            && let Some(call) = self.outstanding.calls.get(ticket)
        {
            let (gate, serial, target) = (call.gate(), call.serial, self.target(call));
            if !self.outstanding.gates.admit(gate, serial, ticket, target) {
                return Ok(EntryId::EXCLUSIVE);
            }
        }
        self.send(ticket)
    }

    /// Sends a call to the node that serves it. If none does, the call waits.
    #[inline]
    pub(super) fn send(&mut self, ticket: Ticket) -> Result<EntryId, Failure> {
        let Some(call) = self.outstanding.calls.get(ticket) else { return Ok(EntryId::EXCLUSIVE) };
        let node = match call.slot {
            Some(_) => self.target(call),
            None => call.ask.or_else(|| self.any_owner()),
        };
        match node {
            Some(node) => self.send_to(ticket, node),
            None => Ok(self.hold_without_node(ticket)),
        }
    }

    /// The node that a call goes to; `None` if that is any, or is not known.
    pub(super) fn target(&self, call: &Routed) -> Option<NodeId> {
        call.ask.or_else(|| self.map.owner(call.slot?))
    }

    /// Hands a call to the pool of this node.
    fn send_to(&mut self, ticket: Ticket, id: NodeId) -> Result<EntryId, Failure> {
        let Some(call) = self.outstanding.calls.get_mut(ticket) else { return Ok(EntryId::EXCLUSIVE) };
        let Some(node) = self.nodes.get_mut(id).filter(|node| !node.is_leaving) else {
            call.ask = None;
            return Ok(self.hold_without_node(ticket));
        };
        if node.is_silent {
            self.hold(ticket, Some(self.outstanding.now.after(WITHOUT_NODE)));
            return Ok(EntryId::EXCLUSIVE);
        }
        let is_asking = call.ask.take().is_some();
        call.is_asking = is_asking;
        call.collected.clear();
        let submission = Submission {
            entry: call.entry,
            handle: call.handle,
            ticket,
            replies: call.replies + u32::from(is_asking),
        };
        let bytes = &call.bytes;
        let position = node.pool.submit(submission, |out| {
            if is_asking {
                out.extend_from_slice(ASKING);
            }
            out.extend_from_slice(bytes);
        })?;
        call.place = CallPlace::Node(id, position);
        Ok(self.nodes.numbering().outside(id, call.entry))
    }

    /// No node serves the slot of a call, as far as is known: it waits for another view.
    #[cold]
    fn hold_without_node(&mut self, ticket: Ticket) -> EntryId {
        let not_before = self.outstanding.now.after(WITHOUT_NODE);
        self.hold(ticket, Some(not_before));
        self.note_evidence(true);
        EntryId::EXCLUSIVE
    }

    /// A call that is not in flight waits until this time, and behind the earlier ones of its gate.
    pub(super) fn hold(&mut self, ticket: Ticket, not_before: Option<Instant>) {
        let Outstanding { calls, gates, .. } = &mut self.outstanding;
        let Some(call) = calls.get_mut(ticket) else { return };
        let (gate, serial) = (call.gate(), call.serial);
        call.place = CallPlace::Waits;
        gates.hold(gate, serial, ticket, not_before);
    }

    /// A node for a command without keys: each owner in turn, and only those that are ready if there are any.
    fn any_owner(&mut self) -> Option<NodeId> {
        self.next_owner = self.next_owner.wrapping_add(1);
        let ready = || self.nodes.owners().filter(|id| self.nodes.get(*id).is_some_and(Node::is_ready));
        match ready().count() {
            0 => self.nodes.owners().nth(self.next_owner % self.nodes.owners().count().max(1)),
            count => ready().nth(self.next_owner % count),
        }
    }
}

/// The name of a gather for its caller.
pub(super) fn gather_position(id: GatherId) -> Position {
    Position(GATHER | id.0)
}

/// The gather with this name; `None` if it names a call.
pub(super) fn gather_of(position: Position) -> Option<GatherId> {
    (position.0 & GATHER != 0).then_some(GatherId(position.0 & !GATHER))
}

const GATHER: u64 = 1 << 63;
/// How long a command waits before it is tried again, if no node serves its slot, or the node is silent.
const WITHOUT_NODE: Duration = Duration::from_millis(10);
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";
