//! [`TenantQueue`]: how the pools of clients reach a thread that runs shards, and when that thread ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

use super::mailbox::Mailbox;
use super::{Member, ShardGroup};
use crate::config::ResolvedConfig;
use crate::driver::subscriptions::SubscriptionHub;

/// What one client has running on one thread: a pool of connections, and the mailbox in front of it.
pub(crate) struct Tenant {
    pub(crate) config: ResolvedConfig,
    pub(crate) group: ShardGroup,
    /// Its membership. The place is left when the executor dies, and taken again by the next one.
    pub(crate) member: Member,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) hub: Arc<SubscriptionHub>,
}

/// The tenants of one thread: those on their way to it, and how many it has.
///
/// A thread ends with its last tenant. The client that adds one and the thread that ends decide under one lock, so that no
/// tenant reaches a thread that has just decided to end. No command touches this lock.
pub(crate) struct TenantQueue {
    state: Mutex<Tenants>,
    /// The thread's task that waits for tenants.
    arrival: AtomicWaker,
}

struct Tenants {
    arriving: Vec<Tenant>,
    /// How many are served or arriving.
    count: usize,
}

impl TenantQueue {
    pub(super) fn new(first: Tenant) -> Self {
        let state = Tenants { arriving: vec![first], count: 1 };
        TenantQueue { state: Mutex::new(state), arrival: AtomicWaker::new() }
    }

    /// Has the thread serve one more tenant; false if the thread is ending.
    pub(super) fn enter(&self, tenant: Tenant) -> bool {
        {
            let mut state = self.state();
            if state.count == 0 {
                return false;
            }
            state.count += 1;
            state.arriving.push(tenant);
        }
        self.arrival.wake();
        true
    }

    /// A tenant that was served has ended.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.count = state.count.saturating_sub(1);
        if state.count == 0 {
            drop(state);
            self.arrival.wake();
        }
    }

    /// The thread serves no tenant any more. Returns those that it has not begun to serve.
    pub(super) fn close(&self) -> Vec<Tenant> {
        let mut state = self.state();
        state.count = 0;
        std::mem::take(&mut state.arriving)
    }

    /// Whether the thread has ended, or is about to.
    pub(super) fn is_over(&self) -> bool {
        self.state().count == 0
    }

    /// Tenants that have arrived; `None` when the last one has left.
    pub(super) fn poll_arrivals(&self, context: &Context<'_>) -> Poll<Option<Vec<Tenant>>> {
        // Register first: a tenant that arrives in between wakes this task.
        self.arrival.register(context.waker());
        let mut state = self.state();
        if !state.arriving.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut state.arriving)));
        }
        if state.count == 0 { Poll::Ready(None) } else { Poll::Pending }
    }

    fn state(&self) -> MutexGuard<'_, Tenants> {
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
        Tenant { config, group, member, mailbox, hub: SubscriptionHub::new() }
    }

    #[test]
    fn thread_that_is_ending_takes_no_tenant() {
        let tenants = TenantQueue::new(tenant());
        let context = Context::from_waker(Waker::noop());
        assert!(tenants.enter(tenant()));
        let Poll::Ready(Some(arrived)) = tenants.poll_arrivals(&context) else { panic!("two have arrived") };
        assert_eq!(arrived.len(), 2);
        assert!(tenants.poll_arrivals(&context).is_pending());
        tenants.leave();
        assert!(tenants.poll_arrivals(&context).is_pending() && !tenants.is_over());
        tenants.leave();
        assert!(matches!(tenants.poll_arrivals(&context), Poll::Ready(None)));
        assert!(tenants.is_over() && !tenants.enter(tenant()));
    }

    #[test]
    fn thread_that_is_not_restarted_returns_its_arrivals() {
        let tenants = TenantQueue::new(tenant());
        assert!(tenants.enter(tenant()));
        assert_eq!(tenants.close().len(), 2);
        assert!(tenants.is_over() && !tenants.enter(tenant()));
    }
}
