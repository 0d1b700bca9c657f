//! The driver: one task per connection that moves bytes between its socket and the pool. It decides nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::state::ShardState;
use super::transport::{self, Stream};
use super::{credentials, resolve};
use crate::proto::connection::{Credentials, ReadBudget};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;

/// Dials, and drives the connection until the pool closes it.
pub(super) fn spawn(shared: &Rc<ShardState>, id: ConnectionId, endpoint: Endpoint, timeout: Duration) {
    let shared = shared.clone();
    let task = async move {
        // Successors resolve the name again: a DNS change may be the reason for the handoff.
        if shared.state.borrow_mut().pool.connection(id).is_successor() {
            shared.lookups.forget(&endpoint);
        }
        let addresses = resolve::admitted(&shared, id, &endpoint);
        let dial = transport::dial(&endpoint, addresses, timeout, &shared.config, &shared.reactor);
        let both = futures_lite::future::try_zip(dial, credentials::ask(&shared.config, timeout));
        match unless_closed(&shared, id, both).await {
            Some(Ok((stream, login))) => drive(&shared, id, stream, &endpoint, login).await,
            Some(Err(reason)) => closed(&shared, id, reason),
            None => {}
        }
        // The server at the address that was found may be gone.
        shared.lookups.forget(&endpoint);
    };
    glommio::spawn_local(task).detach();
}

/// Waits for `future`; `None` if the pool closes the connection first.
pub(super) async fn unless_closed<T>(
    shared: &Rc<ShardState>,
    id: ConnectionId,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if !register(shared, id, context) {
            return Poll::Ready(None);
        }
        note_time(shared, id);
        future.as_mut().poll(context).map(Some)
    })
    .await
}

pub(super) async fn drive(
    shared: &Rc<ShardState>,
    id: ConnectionId,
    mut stream: Stream,
    endpoint: &Endpoint,
    login: Option<Credentials>,
) {
    let connected = {
        let mut state = shared.state.borrow_mut();
        let peer = stream.peer();
        state.peers.insert(id, peer.map_or_else(|| endpoint.to_string(), |peer| peer.to_string()));
        let connected = state.pool.connection(id).handle_connected(peer, login, shared.clock.now());
        state.wake_supervisor();
        connected
    };
    if connected {
        let mut budget = ReadBudget::default();
        poll_fn(|context| turn(shared, id, &mut stream, &mut budget, context)).await;
    }
    stream.end();
    shared.state.borrow_mut().peers.remove(&id);
}

/// One turn: write what is queued, read what has come, wake the callers, and ask to be woken.
pub(super) fn turn(
    shared: &ShardState,
    id: ConnectionId,
    stream: &mut Stream,
    budget: &mut ReadBudget,
    context: &mut Context<'_>,
) -> Poll<()> {
    if !register(shared, id, context) {
        return Poll::Ready(());
    }
    budget.begin();
    loop {
        let now = shared.clock.now();
        if let Err(error) = write(shared, id, stream, now, context) {
            closed(shared, id, stream.reason(&error));
            return Poll::Ready(());
        }
        if !budget.allows(now) {
            // Other tasks have to run, first of all the callers of what was read.
            shared.reactor.run_later(context);
            return Poll::Pending;
        }
        match read(shared, id, stream, budget.read_max(), context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Read::Alive) => {}
            Poll::Ready(Read::Gone) => return Poll::Ready(()),
            Poll::Ready(Read::Ended(reason)) => {
                closed(shared, id, reason);
                return Poll::Ready(());
            }
        }
    }
}

/// The connection is gone, so no driver acts for it any more: the waker of its driver. If the driver was notified of a command
/// that it has not seen, the supervisor sees to that command.
pub(super) fn remove(shared: &ShardState, id: ConnectionId) -> Option<Waker> {
    let mut state = shared.state.borrow_mut();
    let (waker, unseen) = state.drivers.remove(id);
    if unseen {
        state.supervisor.wake();
    }
    waker
}

fn write(
    shared: &ShardState,
    id: ConnectionId,
    stream: &mut Stream,
    now: Instant,
    context: &mut Context<'_>,
) -> std::io::Result<()> {
    let mut state = shared.state.borrow_mut();
    let state = &mut *state;
    while let Some(bytes) = state.pool.connection(id).poll_transmit(now).filter(|bytes| !bytes.is_empty()) {
        match stream.poll_write(context, bytes)? {
            Poll::Ready(count) => state.pool.connection(id).handle_written(count),
            Poll::Pending => break,
        }
    }
    // If the socket is full, it wakes this task when it has room again.
    let _ = stream.poll_flush(context)?;
    let deadline = state.pool.connection(id).next_timeout();
    state.supervisor.arm(deadline, now);
    state.supervisor.arm(state.calls.forget_at(), now);
    state.wake_supervisor();
    Ok(())
}

enum Read {
    /// The pool took in what was read.
    Alive,
    /// The pool has closed the connection because of what was read.
    Gone,
    /// The socket ended or broke.
    Ended(CloseReason),
}

fn read(
    shared: &ShardState,
    id: ConnectionId,
    stream: &mut Stream,
    most: usize,
    context: &mut Context<'_>,
) -> Poll<Read> {
    let (due, read) = {
        let mut state = shared.state.borrow_mut();
        let state = &mut *state;
        let direct = state.pool.connection(id).read_buffer();
        let is_direct = direct.is_some();
        let most = most.min(state.read_buffer.len());
        let target = direct.unwrap_or_else(|| state.read_buffer.get_mut(..most).unwrap_or_default());
        let count = match std::task::ready!(stream.poll_read(context, target)) {
            Ok(0) => return Poll::Ready(Read::Ended(CloseReason::ClosedByServer)),
            Ok(count) => count,
            Err(error) => return Poll::Ready(Read::Ended(stream.reason(&error))),
        };
        let now = shared.clock.now();
        let alive = if is_direct {
            state.pool.connection(id).handle_filled(count, now, &mut state.calls)
        } else {
            let received = state.read_buffer.get(..count).unwrap_or_default();
            state.pool.connection(id).handle_bytes(received, now, &mut state.calls)
        };
        state.wake_supervisor();
        (state.calls.take_due(), if alive { Read::Alive } else { Read::Gone })
    };
    shared.wake(due);
    Poll::Ready(read)
}

/// Registers the driver of this connection; false if the connection is gone.
fn register(shared: &ShardState, id: ConnectionId, context: &Context<'_>) -> bool {
    let mut state = shared.state.borrow_mut();
    let alive = state.pool.connection(id).is_alive();
    if alive {
        state.drivers.register(id, context);
    }
    alive
}

/// Commands may be queued while the connection is still being dialed. Their time runs from now.
fn note_time(shared: &ShardState, id: ConnectionId) {
    let mut state = shared.state.borrow_mut();
    let now = shared.clock.now();
    state.pool.connection(id).poll_transmit(now);
    let deadline = state.pool.connection(id).next_timeout();
    state.supervisor.arm(deadline, now);
    state.wake_supervisor();
}

/// A dial failed, or a socket ended.
fn closed(shared: &ShardState, id: ConnectionId, reason: CloseReason) {
    let due = {
        let mut state = shared.state.borrow_mut();
        let state = &mut *state;
        state.pool.connection(id).handle_closed(reason, shared.clock.now(), &mut state.calls);
        state.supervisor.wake();
        state.calls.take_due()
    };
    shared.wake(due);
}
