//! The addresses of names, for connections that are to be dialed and for the pool, which follows a name as it changes.

pub(super) mod lookups;
mod names;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use self::lookups::Account;
use self::names::{Answer, Wanted};
use super::state::ShardState;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::{ConnectionId, LookupId};

/// The addresses of an endpoint that this connection may be dialed at. They may come from the cache.
///
/// # Errors
/// Why there is none.
pub(super) async fn admitted(
    shared: &ShardState,
    id: ConnectionId,
    endpoint: &Endpoint,
) -> Result<Vec<SocketAddr>, CloseReason> {
    let found = match endpoint.socket_addr() {
        Some(address) => vec![address],
        None => {
            let is_sent = shared.state.borrow_mut().pool.connection(id).is_redirected();
            let account = if is_sent { Account::Server } else { Account::Own };
            let found = shared.lookups.find(endpoint, Wanted::Recent, account).await;
            found.map_err(|text| CloseReason::Dial(text.into()))?
        }
    };
    shared.state.borrow_mut().pool.connection(id).admit(found, shared.clock.now())
}

/// Looks a name up for the pool, within the connect timeout, and hands it the result. The pool watches for a change, so it
/// never gets an answer from the cache.
pub(super) fn spawn(shared: &Rc<ShardState>, lookup: LookupId, endpoint: Endpoint) {
    let shared = shared.clone();
    let task = async move {
        let Some(result) = resolve_in_time(&shared, &endpoint).await else { return };
        let now = shared.clock.now();
        let state = &mut *shared.state.borrow_mut();
        state.pool.handle_resolved(lookup, result, now, &mut state.calls);
        state.supervisor.wake();
    };
    glommio::spawn_local(task).detach();
}

/// The result of a look-up; `None` if the pool was shut down meanwhile.
async fn resolve_in_time(shared: &ShardState, endpoint: &Endpoint) -> Option<Answer> {
    if let Some(address) = endpoint.socket_addr() {
        return Some(Ok(vec![address]));
    }
    let timeout = shared.config.connect_timeout();
    // The pool follows a name only because a server announced something.
    let mut found = pin!(shared.lookups.find(endpoint, Wanted::New, Account::Server));
    let mut timer = pin!(glommio::timer::Timer::new(timeout));
    poll_fn(|context| {
        if let Poll::Ready(result) = found.as_mut().poll(context) {
            return Poll::Ready(Some(result));
        }
        if timer.as_mut().poll(context).is_ready() {
            let problem = format!("looking up {} took longer than {timeout:?}", endpoint.host());
            return Poll::Ready(Some(Err(problem)));
        }
        let mut state = shared.state.borrow_mut();
        if state.supervisor.finished {
            return Poll::Ready(None);
        }
        state.watchers.push(context.waker().clone());
        Poll::Pending
    })
    .await
}
