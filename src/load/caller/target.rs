//! What the callers send to: a shard, or a client from another thread. The one in tokio is in `in_tokio.rs`.
//!
//! Callers are written once, against [`Target`].

use std::future::Future;
use std::time::Duration;

use super::executor::Timers;
use super::recorders::{LocalRecorder, Recorders};
use super::wire::millis;
use crate::command::{Commands, Run};
use crate::{Client, Cmd, Shard, cmd};

/// Where a caller sends its commands, with the timer of the thread that the caller runs on.
pub(crate) trait Target: 'static {
    /// Whether replies arrive on another thread while the caller runs. If they do not, all replies of a batch that are
    /// ready at the same poll arrived at the same time.
    const ON_OTHER_THREADS: bool;

    /// What the commands are called on.
    type Commands: Commands;

    /// Where the callers record.
    type Recorders: Recorders;

    fn commands(&self) -> &Self::Commands;
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// Live connections of this target, if it can count them.
    fn connections(&self) -> Option<usize>;
}

/// The future of a reply from a target.
pub(crate) type ReplyOf<T, V> = <<T as Target>::Commands as Run>::Reply<V>;

impl Target for Shard {
    const ON_OTHER_THREADS: bool = false;

    type Commands = Shard;
    type Recorders = LocalRecorder;

    #[inline]
    fn commands(&self) -> &Shard {
        self
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(duration)
    }

    fn connections(&self) -> Option<usize> {
        Some(self.stats().connections.values().sum())
    }
}

/// A handle for a caller that runs outside the shards.
pub(crate) struct ClientTarget {
    client: Client,
    timers: Timers,
}

impl ClientTarget {
    pub(crate) fn new(client: Client, timers: Timers) -> ClientTarget {
        ClientTarget { client, timers }
    }
}

impl Target for ClientTarget {
    const ON_OTHER_THREADS: bool = true;

    type Commands = Client;
    type Recorders = LocalRecorder;

    #[inline]
    fn commands(&self) -> &Client {
        &self.client
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.timers.sleep(duration)
    }

    fn connections(&self) -> Option<usize> {
        None
    }
}

/// Writes a value that expires after `ttl`, if there is one.
#[inline]
pub(crate) fn set<C: Commands>(on: &C, key: &[u8], value: &[u8], ttl: Option<Duration>) -> C::Reply<()> {
    match ttl {
        None => on.set(key, value),
        Some(ttl) => on.run(&set_with_ttl(key, value, ttl)),
    }
}

fn set_with_ttl(key: &[u8], value: &[u8], ttl: Duration) -> Cmd {
    cmd("SET").arg(key).arg(value).arg("PX").arg(millis(ttl))
}
