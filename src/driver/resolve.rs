//! The addresses of names, for connections that are to be dialed and for the pool, which follows a name as it changes.

pub(crate) mod lookups;
pub(crate) mod names;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use self::lookups::Account;
use self::names::{Answer, Asked, Wanted};
use super::runtime::StateCell;
use super::state::{ShardState, Shared};
use super::tasks::{Spawn, Task};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::{ConnectionId, LookupId};

/// The addresses of an endpoint that this connection may be dialed at. They may come from the cache.
///
/// # Errors
/// Why there is none.
pub(crate) async fn admitted<R: Spawn>(
    shared: &ShardState<R>,
    id: ConnectionId,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, CloseReason> {
    let found = match endpoint.socket_addr() {
        Some(address) => vec![address],
        None => {
            let is_sent = shared.state.lock().pool.connection(id).is_redirected();
            let account = if is_sent { Account::Server } else { Account::Own };
            let found = find(shared, endpoint, Wanted::Recent, account).await;
            found.map_err(|text| CloseReason::Dial(text.into()))?
        }
    };
    shared.state.lock().pool.connection(id).admit(found, shared.clock.now())
}

/// Looks a name up for the pool, within the connect timeout, and hands it the result. The pool watches for a change, so it
/// never gets an answer from the cache.
pub(super) async fn run<R: Spawn>(shared: &Shared<R>, lookup: LookupId, endpoint: &Endpoint) {
    let Some(result) = resolve_in_time(shared, endpoint).await else { return };
    let now = shared.clock.now();
    let state = &mut *shared.state.lock();
    state.pool.handle_resolved(lookup, result, now, &mut state.calls);
    state.supervisor.wake();
}

/// All addresses of an endpoint's name, in the order of the resolver.
///
/// # Errors
/// Why there is none, as text.
async fn find<R: Spawn>(
    shared: &ShardState<R>,
    endpoint: &Endpoint,
    wanted: Wanted,
    account: Account,
) -> Answer {
    let answer = match shared.lookups.ask(endpoint, wanted) {
        Asked::Known(addresses) => return Ok(addresses),
        Asked::Waits(answer) => answer,
        Asked::Begins(lookup, answer) => {
            // A task of its own, because its first caller may leave before the others.
            let (lookups, endpoint) = (shared.lookups.clone(), endpoint.clone());
            shared.runtime.spawn(Task::LookUp { lookups, lookup, endpoint, account });
            answer
        }
    };
    answer.await.unwrap_or_else(|_| Err(format!("looking up {} was interrupted", endpoint.host())))
}

/// The result of a look-up; `None` if the pool was shut down meanwhile.
async fn resolve_in_time<R: Spawn>(shared: &ShardState<R>, endpoint: &Endpoint) -> Option<Answer> {
    if let Some(address) = endpoint.socket_addr() {
        return Some(Ok(vec![address]));
    }
    let timeout = shared.config.connect_timeout();
    // The pool follows a name only because a server announced something.
    let mut found = pin!(find(shared, endpoint, Wanted::New, Account::Server));
    let mut timer = shared.runtime.timer(timeout);
    poll_fn(|context| {
        if let Poll::Ready(result) = found.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        if pin!(&mut timer).poll(context).is_ready() {
            let problem = format!("looking up {} took longer than {timeout:?}", endpoint.host());
            return Poll::Ready(Some(Err(problem)));
        }
        let mut state = shared.state.lock();
        if state.supervisor.finished {
            return Poll::Ready(None);
        }
        state.watchers.push(context.waker().clone());
        Poll::Pending
    })
    .await
}
