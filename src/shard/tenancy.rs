//! [`Tenancies`]: the pools that one thread serves, through the deaths of its executors.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use slab::Slab;

use super::lobby::{Lobby, Tenant};
use super::mailbox::{self, Mailbox};
use super::poller::{self, Idling};
use super::{Inner, Member, Shard, ShardGroup};
use crate::config::ResolvedConfig;

/// What outlives an executor that dies.
pub(super) struct Tenancies {
    served: RefCell<Slab<Rc<Tenancy>>>,
    lobby: Arc<Lobby>,
    pinned_to: Option<usize>,
}

struct Tenancy {
    config: ResolvedConfig,
    group: ShardGroup,
    mailbox: Arc<Mailbox>,
    index: usize,
    /// Its place in the group, until the pool has it.
    member: Cell<Option<Member>>,
    /// The pool, while an executor runs it.
    inner: RefCell<Weak<Inner>>,
}

impl Tenancies {
    pub(super) fn new(lobby: Arc<Lobby>, pinned_to: Option<usize>) -> Rc<Self> {
        Rc::new(Tenancies { served: RefCell::default(), lobby, pinned_to })
    }

    /// Serves those that a dead executor has left, on the one that runs now.
    pub(super) fn resume(self: &Rc<Self>) {
        let keys: Vec<usize> = self.served.borrow().iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.clone().serve(key));
    }

    /// Serves one more.
    pub(super) fn admit(self: &Rc<Self>, tenant: Tenant) {
        let Tenant { config, group, member, mailbox } = tenant;
        let index = member.index();
        let (member, inner) = (Cell::new(Some(member)), RefCell::default());
        let tenancy = Rc::new(Tenancy { config, group, mailbox, index, member, inner });
        let key = self.served.borrow_mut().insert(tenancy);
        self.clone().serve(key);
    }

    /// The executor has died: callers are told, and those pools are kept that a client may still call. Whether there
    /// are any, or new ones have arrived.
    pub(super) fn bury(&self) -> bool {
        self.served.borrow_mut().retain(|_, tenancy| {
            if let Some(inner) = tenancy.inner.take().upgrade() {
                inner.die();
            }
            let is_wanted = !tenancy.mailbox.is_closed();
            if !is_wanted {
                tenancy.mailbox.abandon();
                self.lobby.leave();
            }
            is_wanted
        });
        // Tasks that wait for something when their executor dies are never dropped, and they hold sockets.
        poller::end_all();
        !self.lobby.is_over()
    }

    /// The thread ends, however that came about: no caller waits for it any longer.
    pub(super) fn abandon(&self) {
        self.served.borrow().iter().for_each(|(_, tenancy)| tenancy.mailbox.abandon());
        self.lobby.close().iter().for_each(|tenant| tenant.mailbox.abandon());
    }

    /// Runs a pool until its client is shut down or gone.
    fn serve(self: Rc<Self>, key: usize) {
        let Some(tenancy) = self.served.borrow().get(key).cloned() else { return };
        let task = async move {
            let end = match tenancy.start(self.pinned_to) {
                Some(shard) => mailbox::serve(&tenancy.mailbox, shard).await,
                // Another shard has its place in the group: there is none to serve it.
                None => None,
            };
            tenancy.mailbox.abandon();
            self.served.borrow_mut().try_remove(key);
            self.lobby.leave();
            // The caller finds the thread's last tenant gone.
            if let Some(end) = end {
                end.tell();
            }
        };
        glommio::spawn_local(task).detach();
    }
}

impl Tenancy {
    fn start(&self, pinned_to: Option<usize>) -> Option<Shard> {
        let member = self.member.take().or_else(|| self.group.join_at(self.index))?;
        let spin = self.config.spin_before_park();
        let idling = Idling { spin, naps: self.config.wait_before_park().unwrap_or(true) };
        let shard = Shard::start(self.config.clone(), Arc::new(member), pinned_to, idling);
        self.inner.replace(shard.downgrade());
        Some(shard)
    }
}
