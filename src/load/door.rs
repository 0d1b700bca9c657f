//! What the callers send to: a shard, or a client from another thread.
//!
//! Callers are written once, against [`Target`].

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::crew::Timers;
use super::wire::{Received, millis};
use crate::{Client, ClientReply, Cmd, FromReply, Reply, Result, Shard, cmd};

/// Where a caller sends its commands. A command is queued when its method is called.
pub(crate) trait Door: 'static {
    /// Whether replies arrive on another thread while the caller runs. If they do not, all replies of a batch that are
    /// ready at the same poll arrived at the same time.
    const ON_OTHER_THREADS: bool;

    /// The future of a reply.
    type Reply<T: FromReply>: Future<Output = Result<T>> + Unpin;

    fn get(&self, key: &[u8]) -> Self::Reply<Option<Bytes>>;
    /// Writes a value that expires after `ttl`, if there is one.
    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Self::Reply<()>;
    fn incr(&self, key: &[u8]) -> Self::Reply<i64>;
    /// Sends any command; only the size of its reply is kept, and whether it is null.
    fn run(&self, command: &Cmd) -> Self::Reply<Received>;
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// Live connections of this target, if it can count them.
    fn connections(&self) -> Option<usize>;
}

impl Door for Shard {
    const ON_OTHER_THREADS: bool = false;

    type Reply<T: FromReply> = Reply<T>;

    #[inline]
    fn get(&self, key: &[u8]) -> Reply<Option<Bytes>> {
        Shard::get(self, key)
    }

    #[inline]
    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Reply<()> {
        match ttl {
            None => Shard::set(self, key, value),
            Some(ttl) => Shard::run(self, &set_with_ttl(key, value, ttl)),
        }
    }

    #[inline]
    fn incr(&self, key: &[u8]) -> Reply<i64> {
        Shard::incr(self, key)
    }

    fn run(&self, command: &Cmd) -> Reply<Received> {
        Shard::run(self, command)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(duration)
    }

    fn connections(&self) -> Option<usize> {
        Some(self.stats().connections.values().sum())
    }
}

/// A handle for a caller that runs outside the shards.
pub(crate) struct ClientDoor {
    client: Client,
    timers: Timers,
}

impl ClientDoor {
    pub(crate) fn new(client: Client, timers: Timers) -> ClientDoor {
        ClientDoor { client, timers }
    }
}

impl Door for ClientDoor {
    const ON_OTHER_THREADS: bool = true;

    type Reply<T: FromReply> = ClientReply<T>;

    fn get(&self, key: &[u8]) -> ClientReply<Option<Bytes>> {
        self.client.get(key)
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> ClientReply<()> {
        match ttl {
            None => self.client.set(key, value),
            Some(ttl) => self.client.run(&set_with_ttl(key, value, ttl)),
        }
    }

    fn incr(&self, key: &[u8]) -> ClientReply<i64> {
        self.client.incr(key)
    }

    fn run(&self, command: &Cmd) -> ClientReply<Received> {
        self.client.run(command)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.timers.sleep(duration)
    }

    fn connections(&self) -> Option<usize> {
        None
    }
}

fn set_with_ttl(key: &[u8], value: &[u8], ttl: Duration) -> Cmd {
    cmd("SET").arg(key).arg(value).arg("PX").arg(millis(ttl))
}
