//! Names to addresses, without stopping the executor: a resolver blocks, for seconds if it is unlucky, and runs on a
//! thread of its own.
//!
//! Connections of one shard that want the same name share one look-up, and its answer for a short time.

mod names;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use futures_channel::oneshot;

use self::names::{Answer, Asked, Lookup, Names, Wanted};
use super::{Clock, Inner};
use crate::config::{Effective, Resolver};
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::LookupId;

/// What a shard asks for addresses.
#[derive(Clone)]
pub(super) struct Lookups {
    names: Rc<RefCell<Names>>,
    resolver: Resolver,
    clock: Clock,
}

impl Lookups {
    pub(super) fn new(effective: &Effective, clock: Clock) -> Self {
        let names = Names::new(effective.dns_cache(), effective.connect_timeout());
        Lookups { names: Rc::new(RefCell::new(names)), resolver: effective.resolver().clone(), clock }
    }

    /// All addresses of an endpoint's name, in the resolver's order, as they were a moment ago.
    ///
    /// # Errors
    /// Why there is none, as text.
    pub(super) async fn recent(&self, endpoint: &Endpoint) -> Answer {
        self.find(endpoint, Wanted::Recent).await
    }

    /// A connection to this endpoint has ended: its name is looked up anew for the next.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.names.borrow_mut().forget(endpoint);
    }

    async fn find(&self, endpoint: &Endpoint, wanted: Wanted) -> Answer {
        let asked = self.names.borrow_mut().ask(endpoint, wanted, self.clock.now());
        let answer = match asked {
            Asked::Known(addresses) => return Ok(addresses),
            Asked::Waits(answer) => answer,
            Asked::Begins(lookup, answer) => {
                self.begin(lookup, endpoint);
                answer
            }
        };
        answer.await.unwrap_or_else(|_| Err(format!("looking up {} was broken off", endpoint.host())))
    }

    /// In a task of its own: whoever asked first may leave before the others.
    fn begin(&self, lookup: Lookup, endpoint: &Endpoint) {
        let (lookups, endpoint) = (self.clone(), endpoint.clone());
        let task = async move {
            let answer = look_up(&endpoint, &lookups.resolver).await;
            lookups.names.borrow_mut().answered(lookup, answer, lookups.clock.now());
        };
        glommio::spawn_local(task).detach();
    }
}

/// Looks a name up for the pool, within the connect timeout, and tells it what came of it. The pool watches for a
/// change: what is remembered is of no use to it.
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
async fn resolve_in_time(inner: &Inner, endpoint: &Endpoint) -> Option<Answer> {
    if let Some(address) = endpoint.socket_addr() {
        return Some(Ok(vec![address]));
    }
    let timeout = inner.effective.connect_timeout();
    let mut found = pin!(inner.lookups.find(endpoint, Wanted::New));
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
async fn look_up(endpoint: &Endpoint, resolver: &Resolver) -> Answer {
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
