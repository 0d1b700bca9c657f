//! [`Neighbors`]: the shards of all clients of this process that are configured for the same endpoint.
//!
//! A program may have several clients of one server. The server announces a move to each connection, but an idle connection may
//! read its copy too late. So the clients tell each other, as the shards of one client do. Only clients with the same endpoint
//! and the same protection do: what anyone on the path can write into a connection without TLS must not reach one with TLS.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::inbox::Inbox;
use crate::config::ResolvedConfig;
use crate::proto::endpoint::Endpoint;

/// The groups of shards of these clients. It is locked when a client starts, and when a server announces something.
pub(super) struct Neighbors(Mutex<Vec<Weak<[Inbox]>>>);

/// What such clients have in common: the endpoint, and whether they use TLS.
type Key = (Endpoint, bool);

static ALL: Mutex<Vec<(Key, Weak<Neighbors>)>> = Mutex::new(Vec::new());

impl Neighbors {
    /// The neighbors of a client with this configuration, to which it belongs from now on with this group.
    pub(super) fn join(config: &ResolvedConfig, group: &Arc<[Inbox]>) -> Arc<Neighbors> {
        let key = (config.endpoint().clone(), config.is_tls());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, neighbors)| neighbors.strong_count() > 0);
        let known = all.iter().find(|(of, _)| *of == key).and_then(|(_, neighbors)| neighbors.upgrade());
        let neighbors = known.unwrap_or_else(|| {
            let neighbors = Arc::new(Neighbors(Mutex::default()));
            all.push((key, Arc::downgrade(&neighbors)));
            neighbors
        });
        drop(all);
        neighbors.lock().push(Arc::downgrade(group));
        neighbors
    }

    /// The groups of the other clients.
    pub(super) fn others(&self, own: &Arc<[Inbox]>) -> Vec<Arc<[Inbox]>> {
        let mut groups = self.lock();
        groups.retain(|group| group.strong_count() > 0);
        groups.iter().filter_map(Weak::upgrade).filter(|group| !Arc::ptr_eq(group, own)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<[Inbox]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
