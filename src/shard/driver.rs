//! The driver: one task per connection that moves bytes between its socket and the pool. It decides nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::transport::{self, Stream};
use super::{Inner, credentials, resolve};
use crate::proto::connection::{Credentials, ReadBudget};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;

/// Dials, and drives the connection until the pool closes it.
pub(super) fn spawn(inner: &Rc<Inner>, id: ConnectionId, endpoint: Endpoint, timeout: Duration) {
    let inner = inner.clone();
    let task = async move {
        // Whoever is to take another's place goes where the name leads now: that it has changed may be the reason.
        if inner.core.borrow().pool.is_successor(id) {
            inner.lookups.forget(&endpoint);
        }
        let addresses = resolve::admitted(&inner, id, &endpoint);
        let dial = transport::dial(&endpoint, addresses, timeout, &inner.config, &inner.poller);
        let both = futures_lite::future::try_zip(dial, credentials::ask(&inner.config, timeout));
        match unless_closed(&inner, id, both).await {
            Some(Ok((stream, login))) => drive(&inner, id, stream, &endpoint, login).await,
            Some(Err(reason)) => inner.closed(id, reason),
            None => {}
        }
        // Where it was, or was not to be had, its server may be no more.
        inner.lookups.forget(&endpoint);
    };
    glommio::spawn_local(task).detach();
}

/// Waits for `future`, or for the pool to lose interest in the connection.
pub(super) async fn unless_closed<T>(
    inner: &Rc<Inner>,
    id: ConnectionId,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if !inner.take_seat(id, context) {
            return Poll::Ready(None);
        }
        inner.note_the_time(id);
        future.as_mut().poll(context).map(Some)
    })
    .await
}

pub(super) async fn drive(
    inner: &Rc<Inner>,
    id: ConnectionId,
    mut stream: Stream,
    endpoint: &Endpoint,
    login: Option<Credentials>,
) {
    let connected = {
        let mut core = inner.core.borrow_mut();
        let peer = stream.peer();
        core.peers.insert(id, peer.map_or_else(|| endpoint.to_string(), |peer| peer.to_string()));
        let connected = core.pool.handle_connected(id, peer, login, inner.clock.now());
        core.ask_pilot();
        connected
    };
    if connected {
        let mut budget = ReadBudget::default();
        poll_fn(|context| turn(inner, id, &mut stream, &mut budget, context)).await;
    }
    stream.end();
    inner.core.borrow_mut().peers.remove(id);
}

/// One turn: write what is queued, read what has come, tell the callers, and ask to be woken.
pub(super) fn turn(
    inner: &Inner,
    id: ConnectionId,
    stream: &mut Stream,
    budget: &mut ReadBudget,
    context: &mut Context<'_>,
) -> Poll<()> {
    if !inner.take_seat(id, context) {
        return Poll::Ready(());
    }
    budget.begin();
    loop {
        let now = inner.clock.now();
        if let Err(error) = write(inner, id, stream, now, context) {
            inner.closed(id, stream.reason(&error));
            return Poll::Ready(());
        }
        if !budget.allows(now) {
            // Others have to run, too: the callers of what was read, to begin with.
            inner.poller.run_later(context);
            return Poll::Pending;
        }
        match read(inner, id, stream, budget.read_max(), context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Read::Alive) => {}
            Poll::Ready(Read::Gone) => return Poll::Ready(()),
            Poll::Ready(Read::Ended(reason)) => {
                inner.closed(id, reason);
                return Poll::Ready(());
            }
        }
    }
}

fn write(
    inner: &Inner,
    id: ConnectionId,
    stream: &mut Stream,
    now: Instant,
    context: &mut Context<'_>,
) -> std::io::Result<()> {
    let mut core = inner.core.borrow_mut();
    let core = &mut *core;
    while let Some(bytes) = core.pool.poll_transmit(id, now).filter(|bytes| !bytes.is_empty()) {
        match stream.poll_write(context, bytes)? {
            Poll::Ready(count) => core.pool.handle_written(id, count),
            Poll::Pending => break,
        }
    }
    // What is left of it has a waker of its own.
    let _ = stream.poll_flush(context)?;
    let deadline = core.pool.next_timeout_of(id.entry);
    core.pilot.arm(deadline, now);
    core.pilot.arm(core.calls.forget_at(), now);
    core.ask_pilot();
    Ok(())
}

enum Read {
    /// Something was read and taken in.
    Alive,
    /// The pool has closed the connection because of it.
    Gone,
    /// The socket ended or broke.
    Ended(CloseReason),
}

fn read(
    inner: &Inner,
    id: ConnectionId,
    stream: &mut Stream,
    most: usize,
    context: &mut Context<'_>,
) -> Poll<Read> {
    let (due, read) = {
        let mut core = inner.core.borrow_mut();
        let core = &mut *core;
        let direct = core.pool.read_buffer(id);
        let is_direct = direct.is_some();
        let most = most.min(core.read_buffer.len());
        let target = direct.unwrap_or_else(|| core.read_buffer.get_mut(..most).unwrap_or_default());
        let count = match std::task::ready!(stream.poll_read(context, target)) {
            Ok(0) => return Poll::Ready(Read::Ended(CloseReason::ClosedByServer)),
            Ok(count) => count,
            Err(error) => return Poll::Ready(Read::Ended(stream.reason(&error))),
        };
        let now = inner.clock.now();
        let alive = if is_direct {
            core.pool.handle_filled(id, count, now, &mut core.calls)
        } else {
            let received = core.read_buffer.get(..count).unwrap_or_default();
            core.pool.handle_bytes(id, received, now, &mut core.calls)
        };
        core.ask_pilot();
        (core.calls.take_due(), if alive { Read::Alive } else { Read::Gone })
    };
    inner.wake(due);
    Poll::Ready(read)
}

impl Inner {
    /// Takes the driver's seat of this connection; false if the connection is no more.
    fn take_seat(&self, id: ConnectionId, context: &Context<'_>) -> bool {
        let mut core = self.core.borrow_mut();
        let alive = core.pool.is_alive(id);
        if alive {
            core.seats.take(id, context);
        }
        alive
    }

    /// Nobody drives this connection any more: what a driver was told of is the pilot's to see to.
    pub(super) fn empty_seat(&self, id: ConnectionId) -> Option<Waker> {
        let mut core = self.core.borrow_mut();
        let (waker, untold) = core.seats.clear(id);
        if untold {
            core.pilot.wake();
        }
        waker
    }

    /// Commands may have been submitted while there is nothing to write them to: their time runs all the same.
    fn note_the_time(&self, id: ConnectionId) {
        let mut core = self.core.borrow_mut();
        let now = self.clock.now();
        core.pool.poll_transmit(id, now);
        let deadline = core.pool.next_timeout_of(id.entry);
        core.pilot.arm(deadline, now);
        core.ask_pilot();
    }

    /// A dial failed, or a socket ended.
    fn closed(&self, id: ConnectionId, reason: CloseReason) {
        let due = {
            let mut core = self.core.borrow_mut();
            let core = &mut *core;
            core.pool.handle_closed(id, reason, self.clock.now(), &mut core.calls);
            core.pilot.wake();
            core.calls.take_due()
        };
        self.wake(due);
    }
}
