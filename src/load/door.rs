//! The two ways into the client: on a shard, or from another thread.
//!
//! Callers are written once, against [`Door`].

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::crew::Timers;
use super::wire::{Received, millis};
use crate::{Client, ClientReply, Cmd, FromReply, Reply, Result, Shard, cmd};

/// Where a caller hands its commands in. A command is queued when its method is called.
pub(crate) trait Door: 'static {
    /// Whether replies come in while their caller runs. If they do not, those of a batch that were
    /// there at the same look came at the same time.
    const ON_OTHER_THREADS: bool;

    /// The wait for a reply.
    type Reply<T: FromReply>: Future<Output = Result<T>> + Unpin;

    fn get(&self, key: &[u8]) -> Self::Reply<Option<Bytes>>;
    /// With `ttl` the value stays for so long.
    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Self::Reply<()>;
    fn incr(&self, key: &[u8]) -> Self::Reply<i64>;
    /// Any command; of its reply only its size is told, and whether it is null.
    fn run(&self, command: &Cmd) -> Self::Reply<Received>;
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// Live connections behind this door, where it can know of them.
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

/// A handle of a caller outside the shards.
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
