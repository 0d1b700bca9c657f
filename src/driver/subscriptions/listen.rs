//! The task of a shard that passes on what its subscriptions ask for.

use std::time::Instant;

use super::hub::Request;
use super::outbox::SubscriptionOutbox;
use crate::driver::runtime::{Runtime, StateCell};
use crate::driver::state::Shared;

/// Passes what subscriptions ask for to the pool, until the shard is shut down.
pub(crate) async fn listen<R: Runtime>(shared: &Shared<R>) {
    let hub = shared.hub.clone();
    // Those of an executor that has died. What they have asked for since is asked for twice, which changes nothing.
    let before: Vec<_> = hub.inboxes().iter().map(|(id, inbox)| (*id, inbox.clone())).collect();
    for (id, inbox) in before {
        let names = inbox.restart(Instant::now());
        handle(shared, Request::Want(id, inbox, names));
    }
    while let Some(request) = hub.next().await {
        handle(shared, request);
    }
}

fn handle<R: Runtime>(shared: &Shared<R>, request: Request) {
    let now = shared.clock.now();
    let (due, _dropped) = {
        let mut state = shared.state.lock();
        let state = &mut *state;
        let mut dropped = None;
        match request {
            Request::Want(id, inbox, names) => {
                let outbox = state.calls.subscriptions.entry(id);
                outbox.or_insert_with(|| SubscriptionOutbox::new(inbox));
                state.pool.subscribe(id, names, now, &mut state.calls);
            }
            Request::Leave(id, names) => state.pool.unsubscribe(id, names, now, &mut state.calls),
            Request::End(id) => {
                dropped = state.calls.subscriptions.remove(&id);
                state.pool.close_subscription(id, now, &mut state.calls);
            }
        }
        // Its timer may have to be set.
        state.supervisor.wake();
        (state.calls.take_due(), dropped)
    };
    shared.wake(due);
}
