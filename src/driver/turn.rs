//! The driver of a connection: one task that moves bytes between its socket and the pool. It decides nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::due::Due;
use super::runtime::{Runtime, Socket, StateCell};
use super::state::{ShardState, Shared};
use super::tasks::Spawn;
use super::transport::{self, Stream};
use super::{credentials, resolve};
use crate::proto::connection::{Credentials, READ_MAX, ReadBudget};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;

/// Dials, and drives the connection until the pool closes it.
pub(super) async fn dial_and_drive<R: Spawn>(
    shared: &Shared<R>,
    id: ConnectionId,
    endpoint: &Endpoint,
    timeout: Duration,
) {
    // Successors resolve the name again: a DNS change may be the reason for the handoff.
    let is_successor = shared.state.lock().pool.connection(id).is_successor();
    if is_successor {
        shared.lookups.forget(endpoint);
    }
    let (runtime, config) = (&shared.runtime, &shared.config);
    let dial = transport::dial(endpoint, resolve::admitted(shared, id, endpoint), timeout, config, runtime);
    let both = futures_lite::future::try_zip(dial, credentials::ask(runtime, config, timeout));
    match unless_closed(shared, id, both).await {
        Some(Ok((stream, login))) => drive(shared, id, stream, endpoint, login).await,
        Some(Err(reason)) => closed(shared, id, reason),
        None => {}
    }
    // The server at the address that was found may be gone.
    shared.lookups.forget(endpoint);
}

/// Waits for `future`; `None` if the pool closes the connection first.
pub(crate) async fn unless_closed<R: Runtime, T>(
    shared: &Shared<R>,
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

pub(crate) async fn drive<R: Runtime>(
    shared: &Shared<R>,
    id: ConnectionId,
    mut stream: Stream<R::Socket>,
    endpoint: &Endpoint,
    login: Option<Credentials>,
) {
    let connected = {
        let mut state = shared.state.lock();
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
    shared.state.lock().peers.remove(&id);
}

/// One turn: write what is queued, read what has come, wake the callers, and ask to be woken.
pub(crate) fn turn<R: Runtime>(
    shared: &ShardState<R>,
    id: ConnectionId,
    stream: &mut Stream<R::Socket>,
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
            shared.runtime.run_later(context);
            return Poll::Pending;
        }
        match read(shared, id, stream, budget, context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Read::Alive) => {}
            Poll::Ready(Read::Woke) => return Poll::Pending,
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
pub(crate) fn remove<R: Runtime>(shared: &ShardState<R>, id: ConnectionId) -> Option<Waker> {
    let mut state = shared.state.lock();
    let (waker, unseen) = state.drivers.remove(id);
    if unseen {
        state.supervisor.wake();
    }
    waker
}

/// Writes what is queued. If the socket is full, it wakes this task when it has room again.
fn write<R: Runtime>(
    shared: &ShardState<R>,
    id: ConnectionId,
    stream: &mut Stream<R::Socket>,
    now: Instant,
    context: &mut Context<'_>,
) -> std::io::Result<()> {
    if R::IS_SHARED {
        return write_unlocked(shared, id, stream, now, context);
    }
    let mut state = shared.state.lock();
    let state = &mut *state;
    while let Some(bytes) = state.pool.connection(id).poll_transmit(now).filter(|bytes| !bytes.is_empty()) {
        match stream.poll_write(context, bytes)? {
            Poll::Ready(count) => state.pool.connection(id).handle_written(count),
            Poll::Pending => break,
        }
    }
    let _ = stream.poll_flush(context)?;
    state.written(id, now);
    Ok(())
}

/// The same where other threads wait for the state: no system call is made while it is locked.
///
/// The bytes are taken out of the pool, which counts them as written from then on. What the socket has no room for returns, and
/// is unwritten again. In between only this task may take more.
fn write_unlocked<R: Runtime>(
    shared: &ShardState<R>,
    id: ConnectionId,
    stream: &mut Stream<R::Socket>,
    now: Instant,
    context: &mut Context<'_>,
) -> std::io::Result<()> {
    let mut bytes = stream.take_spare();
    loop {
        {
            let mut state = shared.state.lock();
            state.pool.connection(id).take_transmit(now, &mut bytes);
            state.written(id, now);
        }
        let (written, is_flushed) = send(stream, &bytes, context);
        let is_whole = written == bytes.len();
        if !is_whole {
            // After an error as well: commands of which no byte was written wait for the next connection.
            shared.state.lock().pool.connection(id).return_transmit(&mut bytes, written);
        }
        if !is_flushed? || !is_whole || written == 0 {
            break;
        }
        bytes.clear();
    }
    stream.keep_spare(bytes);
    Ok(())
}

/// Writes what the socket has room for: how many bytes it accepted, and whether all of these are sent.
fn send<S: Socket>(
    stream: &mut Stream<S>,
    bytes: &[u8],
    context: &mut Context<'_>,
) -> (usize, std::io::Result<bool>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.poll_write(context, rest) {
            Poll::Ready(Ok(count)) => written += count,
            Poll::Ready(Err(error)) => return (written, Err(error)),
            Poll::Pending => break,
        }
    }
    match stream.poll_flush(context) {
        Poll::Ready(flushed) => (written, flushed.map(|()| true)),
        Poll::Pending => (written, Ok(false)),
    }
}

enum Read {
    /// The pool took in what was read.
    Alive,
    /// So it did, and several callers were woken. They run before this task, which has asked to run again.
    Woke,
    /// The pool has closed the connection because of what was read.
    Gone,
    /// The socket ended or broke.
    Ended(CloseReason),
}

fn read<R: Runtime>(
    shared: &ShardState<R>,
    id: ConnectionId,
    stream: &mut Stream<R::Socket>,
    budget: &ReadBudget,
    context: &mut Context<'_>,
) -> Poll<Read> {
    let mut due = None;
    let handled = match read_directly(shared, id, stream, context, &mut due) {
        Ok(handled) => handled,
        Err(read_max) => READ_BUFFER.with_borrow_mut(|buffer| {
            let buffer = buffer.get_mut(..budget.read_max().min(read_max)).unwrap_or_default();
            let count = match std::task::ready!(stream.poll_read(context, buffer)) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(count) => count,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let mut state = shared.state.lock();
            let state = &mut *state;
            let received = buffer.get(..count).unwrap_or_default();
            let alive = state.pool.handle_bytes(id, received, shared.clock.now(), &mut state.calls);
            due = state.take_due();
            Poll::Ready(Ok(Some(alive)))
        }),
    };
    match std::task::ready!(handled) {
        Err(error) => Poll::Ready(Read::Ended(stream.reason(&error))),
        Ok(None) => Poll::Ready(Read::Ended(CloseReason::ClosedByServer)),
        Ok(Some(alive)) => {
            let woken = due.as_ref().map_or(0, Due::callers);
            shared.wake(due);
            if R::IS_SHARED && alive && woken > 1 {
                // No caller need wake this task, which runs behind all of them and then writes what they have queued.
                shared.state.lock().drivers.expect(id);
                context.waker().wake_by_ref();
                return Poll::Ready(Read::Woke);
            }
            Poll::Ready(if alive { Read::Alive } else { Read::Gone })
        }
    }
}

/// What a read led to: whether the connection lives on; `None` at the end of the stream.
type Handled = Poll<std::io::Result<Option<bool>>>;

/// Reads into the memory of a large value. `due` gets the callers to wake.
///
/// # Errors
/// If the next bytes belong to no large value: how many of them one read may take.
#[inline(always)]
fn read_directly<R: Runtime>(
    shared: &ShardState<R>,
    id: ConnectionId,
    stream: &mut Stream<R::Socket>,
    context: &mut Context<'_>,
    due: &mut Option<Due<R>>,
) -> Result<Handled, usize> {
    let mut state = shared.state.lock();
    let state = &mut *state;
    let Some(target) = state.pool.connection(id).read_buffer() else { return Err(state.read_max) };
    Ok(stream.poll_read(context, target).map_ok(|count| {
        (count > 0).then(|| {
            let alive = state.pool.handle_filled(id, count, shared.clock.now(), &mut state.calls);
            *due = state.take_due();
            alive
        })
    }))
}

/// Registers the driver of this connection; false if the connection is gone.
fn register<R: Runtime>(shared: &ShardState<R>, id: ConnectionId, context: &Context<'_>) -> bool {
    let mut state = shared.state.lock();
    let alive = state.pool.connection(id).is_alive();
    if alive {
        state.drivers.register(id, context);
    }
    alive
}

/// Commands may be queued while the connection is still being dialed. Their time runs from now.
fn note_time<R: Runtime>(shared: &ShardState<R>, id: ConnectionId) {
    let mut state = shared.state.lock();
    let now = shared.clock.now();
    state.pool.connection(id).poll_transmit(now);
    let deadline = state.pool.connection(id).next_timeout();
    state.supervisor.arm(deadline, now);
    state.wake_supervisor();
}

/// A dial failed, or a socket ended.
fn closed<R: Runtime>(shared: &ShardState<R>, id: ConnectionId, reason: CloseReason) {
    let due = {
        let mut state = shared.state.lock();
        let state = &mut *state;
        state.pool.handle_closed(id, reason, shared.clock.now(), &mut state.calls);
        state.supervisor.wake();
        state.calls.take_due()
    };
    shared.wake(due);
}

thread_local! {
    /// Where drivers read to before the pool takes the bytes in. One buffer serves all connections of a thread: one driver at a
    /// time reads, and leaves nothing in it.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into_boxed_slice());
}
