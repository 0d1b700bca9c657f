//! [`Lookups`]: names to addresses without stopping the executor. A resolver may block for seconds, so each look-up runs on a
//! thread of its own.

use std::sync::Arc;
use std::thread;

use futures_channel::oneshot;

use super::names::{Answer, Asked, Lookup, Names, Wanted};
use crate::config::{ResolvedConfig, Resolver};
use crate::driver::clock::Clock;
use crate::driver::permits::Permits;
use crate::driver::runtime::{Runtime, StateCell};
use crate::proto::endpoint::Endpoint;

/// The look-ups of one shard.
///
/// Connections that want the same name share one look-up, and its answer for a short time. Threads are bounded by permits,
/// half of them for the configured endpoint and half for names that servers cause to be looked up. One bound for both would
/// let a server that announces many slow names keep the client from finding its own server.
pub(crate) struct Lookups<R: Runtime> {
    names: R::Pointer<R::Cell<Names>>,
    resolver: Resolver,
    clock: Clock,
    /// For the configured endpoint, and for names that servers cause. A thread keeps its permit until the resolver returns,
    /// which may be long after the last caller has stopped waiting.
    own: Arc<Permits>,
    caused: Arc<Permits>,
}

/// On whose account a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user's, who configured it.
    Own,
    /// A server's, which named it, or whose announcement is the reason for the look-up.
    Server,
}

impl<R: Runtime> Lookups<R> {
    pub(crate) fn new(config: &ResolvedConfig, clock: Clock) -> Self {
        let names = Names::new(config.dns_cache(), config.connect_timeout());
        let names = R::pointer(R::Cell::new(names));
        let [own, caused] = [(); 2].map(|()| Arc::new(Permits::new(LOOKUPS_MAX / 2)));
        Lookups { names, resolver: config.resolver().clone(), clock, own, caused }
    }

    /// A connection to this endpoint has ended: the next one looks its name up again.
    pub(crate) fn forget(&self, endpoint: &Endpoint) {
        self.names.lock().forget(endpoint);
    }

    /// Asks for the addresses of an endpoint's name: the answer, or what it will come from.
    pub(super) fn ask(&self, endpoint: &Endpoint, wanted: Wanted) -> Asked {
        self.names.lock().ask(endpoint, wanted, self.clock.now())
    }

    /// Looks a name up, and tells every caller that waits for it.
    pub(crate) async fn look_up(&self, lookup: Lookup, endpoint: &Endpoint, account: Account) {
        let permits = match account {
            Account::Own => &self.own,
            Account::Server => &self.caused,
        };
        let answer = look_up(endpoint, &self.resolver, permits).await;
        self.names.lock().answered(lookup, answer, self.clock.now());
    }
}

impl<R: Runtime> Clone for Lookups<R> {
    fn clone(&self) -> Self {
        let Lookups { names, resolver, clock, own, caused } = self;
        let (names, resolver, clock) = (names.clone(), resolver.clone(), *clock);
        Lookups { names, resolver, clock, own: own.clone(), caused: caused.clone() }
    }
}

/// All addresses of an endpoint's name, in the order of the resolver.
///
/// # Errors
/// Why there is none, as text.
async fn look_up(endpoint: &Endpoint, resolver: &Resolver, permits: &Arc<Permits>) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let (host, port, resolver) = (endpoint.host().to_owned(), endpoint.port(), resolver.clone());
    let permit = Permits::take(permits.clone()).ok_or("too many names are being looked up at this moment")?;
    let look_up = move || {
        let addresses = resolver.resolve(&host, port);
        drop(permit);
        // The caller may have stopped waiting.
        let _ = sender.send(addresses);
    };
    thread::Builder::new()
        .name("hitless-resolve".into())
        .spawn(look_up)
        .map_err(|error| format!("no thread for looking up {}: {error}", endpoint.host()))?;
    let addresses = match receiver.await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(format!("looking up {}: {error}", endpoint.host())),
        Err(_) => return Err(format!("looking up {} was interrupted", endpoint.host())),
    };
    if addresses.is_empty() { Err(format!("{} has no address", endpoint.host())) } else { Ok(addresses) }
}

/// How many threads of one shard may look names up at a time, including those whose callers have stopped waiting. Half of
/// them are for names that servers cause to be looked up.
const LOOKUPS_MAX: usize = 16;
