//! [`Tenancies`]: the pools that one thread serves, through the ends of its executors.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use slab::Slab;

use super::Shard;
use super::mailbox::{self, Mailbox};
use super::reactor::{self, IdleConfig};
use super::runtime::Glommio;
use super::tenant_queue::{Tenant, TenantQueue};
use crate::config::ResolvedConfig;
use crate::driver::broadcast::{Member, ShardGroup};
use crate::driver::state::ShardState;
use crate::driver::subscriptions::SubscriptionHub;

/// The pools of one thread, which outlive an executor that ends by a panic.
pub(super) struct Tenancies {
    served: RefCell<Slab<Rc<Tenancy>>>,
    tenants: Arc<TenantQueue>,
    pinned_to: Option<usize>,
}

struct Tenancy {
    config: ResolvedConfig,
    group: ShardGroup,
    mailbox: Arc<Mailbox>,
    hub: Arc<SubscriptionHub>,
    index: usize,
    /// Its place in the group, until the pool takes it over.
    member: Cell<Option<Member>>,
    /// The state of the pool, while an executor runs it.
    shared: RefCell<Weak<ShardState<Glommio>>>,
}

impl Tenancies {
    pub(super) fn new(tenants: Arc<TenantQueue>, pinned_to: Option<usize>) -> Rc<Self> {
        Rc::new(Tenancies { served: RefCell::default(), tenants, pinned_to })
    }

    /// Serves the pools of a dead executor on the one that runs now.
    pub(super) fn resume(self: &Rc<Self>) {
        let keys: Vec<usize> = self.served.borrow().iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.clone().serve(key));
    }

    /// Serves one more pool.
    pub(super) fn admit(self: &Rc<Self>, tenant: Tenant) {
        let Tenant { config, group, member, mailbox, hub } = tenant;
        let index = member.index();
        let (member, shared) = (Cell::new(Some(member)), RefCell::default());
        let tenancy = Rc::new(Tenancy { config, group, mailbox, hub, index, member, shared });
        let key = self.served.borrow_mut().insert(tenancy);
        self.clone().serve(key);
    }

    /// The executor has died: tells the callers, and keeps only pools that a client may still call. True if there are any, or
    /// new ones have arrived.
    pub(super) fn drop_dead(&self) -> bool {
        self.served.borrow_mut().retain(|_, tenancy| {
            if let Some(shared) = tenancy.shared.take().upgrade() {
                shared.die();
                shared.runtime.closures.end_all();
            }
            let is_wanted = !tenancy.mailbox.is_closed();
            if !is_wanted {
                tenancy.mailbox.abandon();
                self.tenants.leave();
            }
            is_wanted
        });
        // An executor that dies never drops the tasks that wait for something, and they hold sockets.
        reactor::close_all();
        !self.tenants.is_over()
    }

    /// The thread ends: tells every caller that still waits for it.
    pub(super) fn abandon(&self) {
        self.served.borrow().iter().for_each(|(_, tenancy)| tenancy.mailbox.abandon());
        self.tenants.close().iter().for_each(|tenant| tenant.mailbox.abandon());
    }

    /// Runs a pool until its client is shut down or gone.
    fn serve(self: Rc<Self>, key: usize) {
        let Some(tenancy) = self.served.borrow().get(key).cloned() else { return };
        let task = async move {
            let end = match tenancy.start(self.pinned_to) {
                Some(shard) => mailbox::serve(&tenancy.mailbox, shard).await,
                // Another shard has taken its place in the group, so no shard serves this mailbox.
                None => None,
            };
            tenancy.mailbox.abandon();
            self.served.borrow_mut().try_remove(key);
            self.tenants.leave();
            // Last, because the caller joins a thread that has no tenant left.
            if let Some(end) = end {
                end.report();
            }
        };
        glommio::spawn_local(task).detach();
    }
}

impl Tenancy {
    fn start(&self, pinned_to: Option<usize>) -> Option<Shard> {
        let member = self.member.take().or_else(|| self.group.join_at(self.index))?;
        let spin = self.config.spin_before_park();
        let wait_before_park = self.config.wait_before_park().unwrap_or(true);
        let idle = IdleConfig { spin, wait_before_park };
        let shard = Shard::start(self.config.clone(), Arc::new(member), self.hub.clone(), pinned_to, idle);
        self.shared.replace(shard.downgrade());
        Some(shard)
    }
}
