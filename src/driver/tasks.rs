//! [`Task`]: the tasks that drive a shard, beside those of the application.

use std::time::Duration;

use super::resolve::lookups::{Account, Lookups};
use super::resolve::names::Lookup;
use super::runtime::Runtime;
use super::state::Shared;
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::{ConnectionId, LookupId};

/// A task of a shard.
pub(crate) enum Task<R: Runtime> {
    /// Executes what the pool asks for, and keeps the shard's one timer.
    Supervise(Shared<R>),
    /// Takes in the announcements that other shards of the group have read.
    Listen(Shared<R>),
    /// Passes what subscriptions ask for to the pool.
    Subscribe(Shared<R>),
    /// Dials a connection, and drives it until the pool closes it.
    Drive { shared: Shared<R>, id: ConnectionId, endpoint: Endpoint, timeout: Duration },
    /// Looks a name up for the pool.
    Resolve { shared: Shared<R>, lookup: LookupId, endpoint: Endpoint },
    /// Looks a name up for all connections that want it.
    LookUp { lookups: Lookups<R>, lookup: Lookup, endpoint: Endpoint, account: Account },
    /// Asks the provider for new credentials, and passes them to the pool.
    AskCredentials(Shared<R>),
}

/// A runtime that runs the tasks of shards.
pub(crate) trait Spawn: Runtime {
    /// Runs a task: see [`run`](super::run::run).
    fn spawn(&self, task: Task<Self>);
}
