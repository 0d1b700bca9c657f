//! Where a task of a run is: on a shard, on a thread of its own, or in tokio. Tasks are written once, against [`Place`].

use std::future::Future;
use std::time::Duration;

use crate::command::{Commands, Run};
use crate::driver::subscriptions::Subscription;
use crate::load::caller::executor::Timers;
use crate::{Client, FromReply, Result, Shard};

/// What a task needs of the place where it runs.
pub(super) trait Place: 'static {
    /// What its commands are called on.
    type Commands: Commands;

    fn commands(&self) -> &Self::Commands;
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    fn subscribe(&self, channels: Vec<String>) -> impl Future<Output = Result<Subscription>>;
    /// Ends the wait of a blocking command, and returns what it has taken by then.
    fn cancel<T: FromReply>(reply: ReplyAt<Self, T>) -> impl Future<Output = Result<Option<T>>>;
}

/// The future of a reply at a place.
pub(super) type ReplyAt<P, T> = <<P as Place>::Commands as Run>::Reply<T>;

impl Place for Shard {
    type Commands = Shard;

    fn commands(&self) -> &Shard {
        self
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        glommio::timer::sleep(duration)
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<Subscription> {
        Shard::subscribe(self, &channels).await
    }

    fn cancel<T: FromReply>(reply: ReplyAt<Shard, T>) -> impl Future<Output = Result<Option<T>>> {
        reply.cancel()
    }
}

/// A thread outside the shards.
pub(super) struct OnThread {
    pub(super) client: Client,
    pub(super) timers: Timers,
}

impl Place for OnThread {
    type Commands = Client;

    fn commands(&self) -> &Client {
        &self.client
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.timers.sleep(duration)
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<Subscription> {
        self.client.subscribe(&channels).await
    }

    fn cancel<T: FromReply>(reply: ReplyAt<OnThread, T>) -> impl Future<Output = Result<Option<T>>> {
        reply.cancel()
    }
}

/// A task of a tokio runtime.
pub(super) struct InTokio(pub(super) Client);

impl Place for InTokio {
    type Commands = Client;

    fn commands(&self) -> &Client {
        &self.0
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<Subscription> {
        self.0.subscribe(&channels).await
    }

    fn cancel<T: FromReply>(reply: ReplyAt<InTokio, T>) -> impl Future<Output = Result<Option<T>>> {
        reply.cancel()
    }
}
