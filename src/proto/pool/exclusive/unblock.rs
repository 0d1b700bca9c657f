//! How the wait of a blocking command is ended: `CLIENT UNBLOCK`, through another connection to the same server.

use std::time::Duration;

use super::call::Ending;
use super::{Exclusive, LeaseState};
use crate::proto::connection::Position;
use crate::proto::error::CloseReason;
use crate::proto::pool::action::Action;
use crate::proto::pool::connection::PoolConnection;
use crate::proto::pool::context::Context;
use crate::proto::pool::effects::Effect;
use crate::proto::pool::entries::Entries;
use crate::proto::pool::ids::{ConnectionId, EntryId};
use crate::proto::role::ConnectionRole;

impl Exclusive {
    /// Asks servers to end the waits that are to end now.
    pub(super) fn unblock(&mut self, entries: &mut Entries, ctx: &mut Context) {
        let is_due = |at: Option<_>| at.is_some_and(|at| ctx.now >= at);
        let due = self.calls.iter().filter(|(_, call)| is_due(call.unblock_at));
        let due: Vec<_> = due.filter_map(|(position, call)| Some((*position, call.issued?.entry))).collect();
        for (position, id) in due {
            self.unblock_one(position, id, entries, ctx);
        }
    }

    fn unblock_one(&mut self, position: Position, id: EntryId, entries: &mut Entries, ctx: &mut Context) {
        let waiting = entries.get(id).and_then(|entry| entry.connections().find(|known| is_waiting(known)));
        let Some(call) = self.calls.get_mut(&position) else { return };
        let Some(waiting) = waiting else {
            // Its command is not written: nothing waits yet.
            call.unblock_at = Some(ctx.now.after(UNBLOCK_LATER));
            return;
        };
        if self.leases.get(id).is_some_and(|lease| lease.unblocking.is_some()) {
            // A second request could arrive when the next command waits there.
            call.unblock_at = Some(ctx.now.after(UNBLOCK_LATER));
            return;
        }
        let (connection, peer) = (waiting.id, waiting.peer);
        let Some(client) = waiting.connection.negotiated().and_then(|agreed| agreed.client) else {
            call.unblock_at = None;
            return self.handle_refusal(id, ctx);
        };
        let sibling = entries.iter_mut().filter(|entry| entry.role == ConnectionRole::Shared);
        let mut sibling = sibling.flat_map(|entry| entry.connections_mut());
        match sibling.find(|known| known.is_ready() && known.peer == peer) {
            Some(sibling) => {
                sibling.connection.unblock(id, client);
                ctx.effects.act(Action::Wake { id: sibling.id });
                call.unblock_at = None;
                if let Some(lease) = self.leases.get_mut(id) {
                    lease.unblocking = Some(connection.generation);
                }
            }
            None => call.unblock_at = Some(ctx.now.after(UNBLOCK_LATER)),
        }
    }

    /// Closes the connections whose waits were to end and have not, although nothing else limits them: their server is gone, or
    /// cannot be asked.
    pub(super) fn end_overdue(&mut self, entries: &mut Entries, ctx: &mut Context) {
        for call in self.calls.values_mut() {
            let Some(issued) =
                call.issued.filter(|_| call.overdue_at(self.patience).is_some_and(|at| ctx.now >= at))
            else {
                continue;
            };
            call.unwanted_since = None;
            let connections = entries.get(issued.entry).into_iter().flat_map(|entry| entry.connections());
            let end = |id| Effect::End { id, reason: CloseReason::Unresponsive(self.patience) };
            ctx.effects.extend(connections.filter(|known| is_waiting(known)).map(|known| end(known.id)));
        }
    }

    /// A server was asked to end the wait of this entry's command: whether the command waited, or why not.
    pub(in crate::proto::pool) fn handle_unblocked(
        &mut self,
        id: EntryId,
        result: Result<bool, String>,
        ctx: &mut Context,
    ) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        lease.unblocking = None;
        match (lease.state, result) {
            (_, Err(_)) => self.handle_refusal(id, ctx),
            (LeaseState::Blocking(position), Ok(false)) => {
                if let Some(call) = self.calls.get_mut(&position).filter(|call| call.ending.is_some()) {
                    call.unblock_again(ctx.now);
                }
            }
            (_, Ok(_)) => {}
        }
        ctx.effects.push(Effect::LeaseFree);
    }

    /// A connection is gone that was to end the wait of this entry's command. The server may still do that.
    pub(in crate::proto::pool) fn handle_sibling_lost(&mut self, id: EntryId, ctx: &mut Context) {
        let Some(lease) = self.leases.get_mut(id) else { return };
        let Some(generation) = lease.unblocking.take() else { return };
        lease.spoiled = Some(generation);
        match lease.state {
            LeaseState::Blocking(position) => {
                if let Some(call) = self.calls.get_mut(&position).filter(|call| call.ending.is_some()) {
                    call.unblock_at = Some(ctx.now);
                }
            }
            _ => ctx
                .effects
                .push(Effect::End { id: ConnectionId { entry: id, generation }, reason: CloseReason::Local }),
        }
    }

    /// Whether a connection to this server may be needed to end a wait.
    pub(in crate::proto::pool) fn needs_sibling(&self, known: &PoolConnection, entries: &Entries) -> bool {
        let mut exclusive = entries.iter().filter(|entry| entry.role == ConnectionRole::Blocking);
        !self.calls.is_empty()
            && exclusive
                .any(|entry| entry.connections().any(|other| other.peer == known.peer && is_waiting(other)))
    }

    /// The server does not end waits for this client, or there is no way to ask. A command at a handoff goes on until the server
    /// closes its connection. One whose caller has left goes on as well; if it has no timeout, its connection is closed.
    fn handle_refusal(&mut self, id: EntryId, ctx: &mut Context) {
        self.counts.unblocks_refused += 1;
        let Some(LeaseState::Blocking(position)) = self.leases.get(id).map(|lease| lease.state) else {
            return;
        };
        let Some(call) = self.calls.get(&position) else { return };
        let is_endless = call.command.timeout().is_none();
        let is_unwanted = !call.is_wanted || call.ending == Some(Ending::ShutDown);
        if is_unwanted && is_endless {
            ctx.effects.push(Effect::EntryUnwanted(id));
        }
    }
}

/// Whether a command waits for its reply on this connection.
fn is_waiting(known: &PoolConnection) -> bool {
    known.is_ready() && !known.connection.is_idle()
}

/// When the end of a wait is asked for again, if there was no connection to ask on.
const UNBLOCK_LATER: Duration = Duration::from_millis(50);
