//! [`RoutedCalls`]: the commands that are under way in a cluster, with the bytes to send each again.

use std::fmt;

use super::ids::{GatherId, NodeId};
use super::slot::Slot;
use super::slot_map::Refresh;
use crate::proto::connection::{EntryId, HandleId, Position, Ticket};
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

/// The commands that are under way in a cluster, by the tickets under which the pools of the nodes know them.
///
/// A command keeps its bytes until it is answered, because the node that it was sent to may redirect it. A slot of the table, with
/// the memory of its bytes, is used again for later commands, so that a command allocates nothing at steady state.
#[derive(Debug, Default)]
pub(super) struct RoutedCalls {
    slots: Vec<Routed>,
    vacant: Vec<u32>,
    next_serial: u64,
    bytes: usize,
}

/// One command under way, or one transaction, which stays in one piece.
pub(super) struct Routed {
    /// The order of submission. It tells apart the calls that use one slot of the table one after the other.
    pub(super) serial: u64,
    pub(super) recipient: Recipient,
    pub(super) bytes: Vec<u8>,
    /// The slot of its keys; `None` if it has none.
    pub(super) slot: Option<Slot>,
    pub(super) handle: HandleId,
    /// The entry that its handle is bound to, in the pool of each node.
    pub(super) entry: EntryId,
    /// How many replies the server sends.
    pub(super) replies: u32,
    /// The replies to a transaction so far.
    pub(super) collected: Vec<Frame>,
    pub(super) place: CallPlace,
    /// The node that takes this command although it does not own the slot.
    pub(super) ask: Option<NodeId>,
    /// A reply to `ASKING` comes first.
    pub(super) is_asking: bool,
    /// How often a node has not served it.
    pub(super) refusals: u32,
    /// When it was submitted. It is known once a node has answered.
    pub(super) since: Option<Instant>,
    /// What the last node said that did not serve it.
    pub(super) refusal: Option<Frame>,
}

/// Who awaits the reply to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    /// No call uses this slot of the table.
    Vacant,
    Caller(Ticket),
    /// Its reply is one of several that make up the caller's.
    Gather(GatherId, u32),
    /// The cluster itself has asked this node for its view.
    View(Refresh, NodeId),
}

/// Where a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallPlace {
    /// With the pool of this node.
    Node(NodeId, Position),
    /// It waits behind others, or for some time, to be sent again.
    Waits,
}

impl RoutedCalls {
    /// A call with these properties, and no bytes yet.
    pub(super) fn open(
        &mut self,
        recipient: Recipient,
        handle: HandleId,
        entry: EntryId,
        replies: u32,
    ) -> Ticket {
        let key = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Routed::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.next_serial += 1;
        if let Some(call) = self.slots.get_mut(key as usize) {
            (call.serial, call.recipient) = (self.next_serial, recipient);
            (call.handle, call.entry, call.replies) = (handle, entry, replies);
        }
        Ticket(key)
    }

    /// The bytes of a call are complete.
    pub(super) fn note_bytes(&mut self, ticket: Ticket) {
        self.bytes += self.get(ticket).map_or(0, |call| call.bytes.len());
    }

    #[inline]
    pub(super) fn get(&self, ticket: Ticket) -> Option<&Routed> {
        self.slots.get(ticket.0 as usize).filter(|call| call.recipient != Recipient::Vacant)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Routed> {
        self.slots.get_mut(ticket.0 as usize).filter(|call| call.recipient != Recipient::Vacant)
    }

    /// Ends a call. It says who awaited its reply, and where it was.
    pub(super) fn close(&mut self, ticket: Ticket) -> Option<(Recipient, CallPlace)> {
        let call = self.get_mut(ticket)?;
        let ended = (call.recipient, call.place);
        let length = call.bytes.len();
        let mut bytes = std::mem::take(&mut call.bytes);
        bytes.clear();
        bytes.shrink_to(BYTES_KEPT);
        *call = Routed { bytes, ..Routed::default() };
        self.bytes -= length;
        self.vacant.push(ticket.0);
        Some(ended)
    }

    /// The name of a call for its caller, who may use it after the call has ended.
    pub(super) fn position(&self, ticket: Ticket) -> Position {
        let serial = self.get(ticket).map_or(0, |call| call.serial);
        Position((serial << KEY_BITS) | u64::from(ticket.0))
    }

    /// The call that [`RoutedCalls::position`] named, if it is under way still.
    pub(super) fn at(&self, position: Position) -> Option<Ticket> {
        let ticket = Ticket(u32::try_from(position.0 & KEY_MASK).unwrap_or(u32::MAX));
        self.get(ticket).filter(|call| call.serial << KEY_BITS == position.0 & !KEY_MASK).map(|_| ticket)
    }

    /// All calls that are under way.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticket, &Routed)> {
        let used = self.slots.iter().enumerate().filter(|(_, call)| call.recipient != Recipient::Vacant);
        used.map(|(key, call)| (Ticket(u32::try_from(key).unwrap_or(u32::MAX)), call))
    }

    /// How many calls are under way.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// How many bytes their commands have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Default for Routed {
    fn default() -> Self {
        Routed {
            serial: 0,
            recipient: Recipient::Vacant,
            bytes: Vec::new(),
            slot: None,
            handle: HandleId(0),
            entry: EntryId(0),
            replies: 1,
            collected: Vec::new(),
            place: CallPlace::Waits,
            ask: None,
            is_asking: false,
            refusals: 0,
            since: None,
            refusal: None,
        }
    }
}

/// Shows no bytes: they hold the data of users.
impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routed({}, {:?}, {:?}, {} bytes)", self.serial, self.slot, self.place, self.bytes.len())
    }
}

/// How many calls can be under way at a time, as a power of two: more than a shard admits.
const KEY_BITS: u32 = 24;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
/// The memory that a vacant slot of the table keeps for the bytes of the next call.
const BYTES_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_does_not_name_a_later_call() {
        let mut calls = RoutedCalls::default();
        let open =
            |calls: &mut RoutedCalls| calls.open(Recipient::Caller(Ticket(7)), HandleId(1), EntryId(0), 1);
        let first = open(&mut calls);
        let position = calls.position(first);
        assert_eq!(calls.at(position), Some(first));
        assert_eq!(calls.close(first), Some((Recipient::Caller(Ticket(7)), CallPlace::Waits)));
        assert_eq!((calls.at(position), calls.close(first)), (None, None));
        assert_eq!(open(&mut calls), first, "the slot is used again");
        assert_eq!(calls.at(position), None);
    }

    #[test]
    fn bytes_are_counted_until_the_call_ends() {
        let mut calls = RoutedCalls::default();
        let ticket = calls.open(Recipient::Caller(Ticket(7)), HandleId(1), EntryId(0), 1);
        calls.get_mut(ticket).unwrap().bytes.extend_from_slice(&[0; 5000]);
        calls.note_bytes(ticket);
        assert_eq!((calls.len(), calls.bytes()), (1, 5000));
        calls.close(ticket);
        assert_eq!((calls.len(), calls.bytes()), (0, 0));
    }
}
