//! Names to addresses, without stopping the executor: a resolver blocks, for seconds if it is unlucky, and runs on a
//! thread of its own.
//!
//! Connections of one shard that want the same name share one look-up, and its answer for a short time. A shard has so
//! many threads for the look-ups of its own endpoint, and as many for those that servers cause: names that they announce
//! must not keep a client, this one or another of the process, from finding its own server.

mod names;
mod permits;

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use futures_channel::oneshot;

use self::names::{Answer, Asked, Lookup, Names, Wanted};
use self::permits::Permits;
use super::{Clock, Inner};
use crate::config::{ResolvedConfig, Resolver};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::{ConnectionId, LookupId};

/// What a shard asks for addresses.
#[derive(Clone)]
pub(super) struct Lookups {
    names: Rc<RefCell<Names>>,
    resolver: Resolver,
    clock: Clock,
    /// For the configured endpoint, and for what servers cause. Threads hold them longer than anybody waits.
    own: Arc<Permits>,
    caused: Arc<Permits>,
}

/// On whose account a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    /// The user's, who configured it.
    Own,
    /// A server's, which named it, or announced something for which it has to be looked up.
    Server,
}

impl Lookups {
    pub(super) fn new(config: &ResolvedConfig, clock: Clock) -> Self {
        let names = Names::new(config.dns_cache(), config.connect_timeout());
        let names = Rc::new(RefCell::new(names));
        let [own, caused] = [(); 2].map(|()| Arc::new(Permits::new(LOOKUPS_MAX / 2)));
        Lookups { names, resolver: config.resolver().clone(), clock, own, caused }
    }

    /// A connection to this endpoint has ended: its name is looked up anew for the next.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        self.names.borrow_mut().forget(endpoint);
    }

    /// All addresses of an endpoint's name, in the resolver's order.
    ///
    /// # Errors
    /// Why there is none, as text.
    async fn find(&self, endpoint: &Endpoint, wanted: Wanted, account: Account) -> Answer {
        let asked = self.names.borrow_mut().ask(endpoint, wanted, self.clock.now());
        let answer = match asked {
            Asked::Known(addresses) => return Ok(addresses),
            Asked::Waits(answer) => answer,
            Asked::Begins(lookup, answer) => {
                self.begin(lookup, endpoint, account);
                answer
            }
        };
        answer.await.unwrap_or_else(|_| Err(format!("looking up {} was broken off", endpoint.host())))
    }

    /// In a task of its own: whoever asked first may leave before the others.
    fn begin(&self, lookup: Lookup, endpoint: &Endpoint, account: Account) {
        let (lookups, endpoint) = (self.clone(), endpoint.clone());
        let task = async move {
            let permits = match account {
                Account::Own => &lookups.own,
                Account::Server => &lookups.caused,
            };
            let answer = look_up(&endpoint, &lookups.resolver, permits).await;
            lookups.names.borrow_mut().answered(lookup, answer, lookups.clock.now());
        };
        glommio::spawn_local(task).detach();
    }
}

/// The addresses of an endpoint that this connection may be dialed at, as they were a moment ago.
///
/// # Errors
/// Why there is none.
pub(super) async fn admitted(
    inner: &Inner,
    id: ConnectionId,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, CloseReason> {
    let found = match endpoint.socket_addr() {
        Some(address) => vec![address],
        None => {
            let is_sent = inner.core.borrow_mut().pool.is_sent(id);
            let account = if is_sent { Account::Server } else { Account::Own };
            let found = inner.lookups.find(endpoint, Wanted::Recent, account).await;
            found.map_err(|text| CloseReason::Dial(text.into()))?
        }
    };
    inner.core.borrow_mut().pool.admit(id, found, inner.clock.now())
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
    let timeout = inner.config.connect_timeout();
    // A name is watched because of what a server announced.
    let mut found = pin!(inner.lookups.find(endpoint, Wanted::New, Account::Server));
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
async fn look_up(endpoint: &Endpoint, resolver: &Resolver, permits: &Arc<Permits>) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let (host, port, resolver) = (endpoint.host().to_owned(), endpoint.port(), resolver.clone());
    let permit = permits.take().ok_or("too many look-ups of names are under way")?;
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

/// How many threads of one shard may look names up at once, including those that are waited for no longer. Half of them
/// are for names that servers cause to be looked up.
const LOOKUPS_MAX: usize = 16;
