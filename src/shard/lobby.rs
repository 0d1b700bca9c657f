//! [`Lobby`]: how the pools of clients come to a thread that runs shards, and when that thread has nothing left to do.
//!
//! A thread ends with its last tenant. Both sides decide that under one lock, so that no client comes to a thread that
//! has just decided to end. Nothing on the way of a command touches it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

use super::mailbox::Mailbox;
use super::{Member, ShardGroup};
use crate::config::ResolvedConfig;

/// What one client has running on one thread: a pool of connections, and the mailbox in front of it.
pub(crate) struct Tenant {
    pub(crate) config: ResolvedConfig,
    pub(crate) group: ShardGroup,
    /// Its place in the group, which it leaves when its executor dies, and takes again.
    pub(crate) member: Member,
    pub(crate) mailbox: Arc<Mailbox>,
}

pub(crate) struct Lobby {
    state: Mutex<State>,
    /// The thread's task that waits for tenants.
    arrival: AtomicWaker,
}

struct State {
    arriving: Vec<Tenant>,
    /// Those that are served or arriving.
    tenants: usize,
}

impl Lobby {
    pub(super) fn new(first: Tenant) -> Self {
        let state = State { arriving: vec![first], tenants: 1 };
        Lobby { state: Mutex::new(state), arrival: AtomicWaker::new() }
    }

    /// Has the thread serve one more; false if the thread is ending.
    pub(super) fn enter(&self, tenant: Tenant) -> bool {
        {
            let mut state = self.state();
            if state.tenants == 0 {
                return false;
            }
            state.tenants += 1;
            state.arriving.push(tenant);
        }
        self.arrival.wake();
        true
    }

    /// One that was served has ended.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.tenants = state.tenants.saturating_sub(1);
        if state.tenants == 0 {
            drop(state);
            self.arrival.wake();
        }
    }

    /// The thread serves no one any more. Gives back those that it has not begun to serve.
    pub(super) fn close(&self) -> Vec<Tenant> {
        let mut state = self.state();
        state.tenants = 0;
        std::mem::take(&mut state.arriving)
    }

    /// Whether the thread has ended, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.state().tenants == 0
    }

    /// Tenants that have arrived; `None` when the last one has left.
    pub(super) fn poll_arrivals(&self, context: &Context<'_>) -> Poll<Option<Vec<Tenant>>> {
        // Before the look: a tenant that arrives in between wakes this task.
        self.arrival.register(context.waker());
        let mut state = self.state();
        if !state.arriving.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut state.arriving)));
        }
        if state.tenants == 0 { Poll::Ready(None) } else { Poll::Pending }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::config::Config;

    fn tenant() -> Tenant {
        let group = ShardGroup::new(1);
        let (member, mailbox) = (group.join().unwrap(), Arc::new(Mailbox::new()));
        let config = Config::from_url("redis://127.0.0.1:1").unwrap().validate().unwrap();
        Tenant { config, group, member, mailbox }
    }

    #[test]
    fn a_thread_that_is_ending_takes_no_tenant() {
        let lobby = Lobby::new(tenant());
        let context = Context::from_waker(Waker::noop());
        assert!(lobby.enter(tenant()));
        let Poll::Ready(Some(arrived)) = lobby.poll_arrivals(&context) else { panic!("two have arrived") };
        assert_eq!(arrived.len(), 2);
        assert!(lobby.poll_arrivals(&context).is_pending());
        lobby.leave();
        assert!(lobby.poll_arrivals(&context).is_pending() && !lobby.is_over());
        lobby.leave();
        assert!(matches!(lobby.poll_arrivals(&context), Poll::Ready(None)));
        assert!(lobby.is_over() && !lobby.enter(tenant()));
    }

    #[test]
    fn a_thread_that_stays_dead_gives_its_arrivals_back() {
        let lobby = Lobby::new(tenant());
        assert!(lobby.enter(tenant()));
        assert_eq!(lobby.close().len(), 2);
        assert!(lobby.is_over() && !lobby.enter(tenant()));
    }
}
