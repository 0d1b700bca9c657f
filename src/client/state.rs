//! [`ClientState`]: what the handles and replies of one client share.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::backend::Backend;
use super::counters::Unserved;
#[cfg(feature = "glommio")]
use super::overflow::WaitingRoom;
use crate::config::ResolvedConfig;
use crate::driver::state::FOREIGN_HANDLES;
use crate::error::Error;
use crate::proto::connection::HandleId;

/// What the calls of one handle share with it.
///
/// Each call counts itself in here. All calls of a client would count themselves in one word, to which all threads would write.
pub(super) struct HandleState {
    client: Arc<ClientState>,
}

/// What the handles and replies of one client share. Its threads end when the last of them is dropped.
pub(super) struct ClientState {
    pub(super) backend: Backend,
    pub(super) config: ResolvedConfig,
    /// The calls that wait for room in mailboxes.
    #[cfg(feature = "glommio")]
    pub(super) waiting: Arc<WaitingRoom>,
    handles: AtomicUsize,
    /// How often a handle has chosen a route anew.
    turns: AtomicUsize,
    /// For each shard, the open calls of handles that choose the least loaded.
    loads: Box<[AtomicUsize]>,
    /// For each shard, the calls that failed before it accepted them.
    unserved: Box<[Unserved]>,
}

impl HandleState {
    pub(super) fn new(client: Arc<ClientState>) -> Arc<Self> {
        Arc::new(HandleState { client })
    }

    /// The state of the client, for what outlives the handle and its calls.
    pub(super) fn client(&self) -> Arc<ClientState> {
        self.client.clone()
    }
}

impl Deref for HandleState {
    type Target = ClientState;

    #[inline]
    fn deref(&self) -> &ClientState {
        &self.client
    }
}

impl ClientState {
    pub(super) fn new(backend: Backend, config: ResolvedConfig) -> Self {
        let shards = backend.shards();
        ClientState {
            backend,
            #[cfg(feature = "glommio")]
            waiting: Arc::new(WaitingRoom::new(config.waiting_max())),
            config,
            handles: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            loads: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            unserved: (0..shards).map(|_| Unserved::default()).collect(),
        }
    }

    /// The number of a new handle, and an ordering key for it.
    pub(super) fn next_handle(&self) -> (usize, HandleId) {
        let number = self.handles.fetch_add(1, Ordering::Relaxed);
        let handle = u32::try_from(number % FOREIGN_HANDLES as usize).unwrap_or(0) | FOREIGN_HANDLES;
        (number, HandleId(handle))
    }

    /// The number of this choice of a route.
    pub(super) fn next_turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// How many calls of handles that choose the least loaded shard are open on this one.
    pub(super) fn load(&self, shard: usize) -> usize {
        self.loads.get(shard).map_or(0, |load| load.load(Ordering::Relaxed))
    }

    pub(super) fn count_in(&self, shard: usize) {
        if let Some(load) = self.loads.get(shard) {
            load.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_out(&self, shard: usize) {
        if let Some(load) = self.loads.get(shard) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A call failed before this shard accepted it.
    pub(super) fn count_unserved(&self, shard: usize, error: &Error) {
        if let Some(unserved) = self.unserved.get(shard) {
            unserved.count(error);
        }
    }

    /// The counts of failed calls, in the order of the shards.
    pub(super) fn unserved(&self) -> &[Unserved] {
        &self.unserved
    }
}
