//! Names to addresses, without stopping the executor: a resolver blocks, for seconds if it is unlucky, and runs on a
//! thread of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use futures_channel::oneshot;

use super::Inner;
use crate::config::Resolver;
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::LookupId;

/// Looks a name up for the pool, within the connect timeout, and tells it what came of it.
pub(super) fn spawn(inner: &Rc<Inner>, lookup: LookupId, endpoint: Endpoint) {
    let inner = inner.clone();
    let task = async move {
        let Some(result) = resolve_in_time(&inner, &endpoint).await else { return };
        let now = inner.clock.now();
        let mut core = inner.core.borrow_mut();
        core.pool.handle_resolved(lookup, result, now);
        core.pilot.wake();
    };
    glommio::spawn_local(task).detach();
}

/// What came of it; `None` if the pool was shut down meanwhile.
async fn resolve_in_time(inner: &Inner, endpoint: &Endpoint) -> Option<Result<Vec<SocketAddr>, String>> {
    if let Some(address) = endpoint.socket_addr() {
        return Some(Ok(vec![address]));
    }
    let timeout = inner.effective.connect_timeout();
    let mut found = pin!(look_up(endpoint, inner.effective.resolver()));
    let mut timer = pin!(glommio::timer::Timer::new(timeout));
    poll_fn(|context| {
        if let Poll::Ready(result) = found.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        if timer.as_mut().poll(context).is_ready() {
            let problem = format!("looking up {} took longer than {timeout:?}", endpoint.host());
            return Poll::Ready(Some(Err(problem)));
        }
        let mut core = inner.core.borrow_mut();
        if core.pilot.landed {
            return Poll::Ready(None);
        }
        core.watchers.push(context.waker().clone());
        Poll::Pending
    })
    .await
}

/// All addresses of an endpoint's name, in the resolver's order.
///
/// # Errors
/// Why there is none, as text.
pub(super) async fn look_up(endpoint: &Endpoint, resolver: &Resolver) -> Result<Vec<SocketAddr>, String> {
    let (sender, receiver) = oneshot::channel();
    let (host, port, resolver) = (endpoint.host().to_owned(), endpoint.port(), resolver.clone());
    let permit = LEFT.take().ok_or("too many name look-ups are under way")?;
    let look_up = move || {
        let addresses = resolver.resolve(&host, port);
        drop(permit);
        // Whoever asked may have stopped waiting.
        let _ = sender.send(addresses);
    };
    thread::Builder::new()
        .name("hitless-resolve".into())
        .spawn(look_up)
        .map_err(|error| format!("no thread for looking up {}: {error}", endpoint.host()))?;
    let addresses = match receiver.await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(format!("looking up {}: {error}", endpoint.host())),
        Err(_) => return Err(format!("looking up {} was broken off", endpoint.host())),
    };
    if addresses.is_empty() { Err(format!("{} has no address", endpoint.host())) } else { Ok(addresses) }
}

/// How many more look-ups may be under way. Each dial holds at most one, so that the count is only ever contended
/// when connections are being made.
struct Permits(AtomicUsize);

/// One of them.
struct Permit<'a>(&'a Permits);

/// Those of this process.
static LEFT: Permits = Permits::new(LOOKUPS_MAX);

impl Permits {
    const fn new(count: usize) -> Self {
        Permits(AtomicUsize::new(count))
    }

    fn take(&self) -> Option<Permit<'_>> {
        let one_less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok().map(|_| Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

const LOOKUPS_MAX: usize = 256;

#[cfg(test)]
mod across_threads;
