//! How a client subscribes.

use bytes::Bytes;

use super::Client;
use crate::driver::subscriptions::{Opening, Subscription};
use crate::error::Result;
use crate::proto::subscriptions::SubscriptionKind;

impl Client {
    /// Subscribes to channels ([`SUBSCRIBE`](https://redis.io/docs/latest/commands/subscribe/)), and returns when the server has
    /// confirmed every one: see [`Subscription`], and [`manual::subscriptions`](crate::manual::subscriptions).
    ///
    /// ```no_run
    /// use futures_lite::StreamExt;
    ///
    /// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let mut messages = client.subscribe(&["news", "weather"]).await?.messages();
    /// while let Some(message) = messages.next().await {
    ///     println!("{}", String::from_utf8_lossy(&message.payload));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the server refuses a channel, which the error names; or does not confirm one within the command timeout; or the
    /// client is shut down.
    pub async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Channel, channels).await
    }

    /// The same for patterns ([`PSUBSCRIBE`](https://redis.io/docs/latest/commands/psubscribe/)), such as `news.*`.
    ///
    /// # Errors
    /// As [`Client::subscribe`].
    pub async fn psubscribe(&self, patterns: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Pattern, patterns).await
    }

    /// The same for channels of a cluster's shard ([`SSUBSCRIBE`](https://redis.io/docs/latest/commands/ssubscribe/)).
    ///
    /// # Errors
    /// As [`Client::subscribe`].
    pub async fn ssubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Sharded, channels).await
    }

    async fn subscribe_as(&self, kind: SubscriptionKind, names: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        let (destination, _guard) = self.route.destination(&self.shared, &[]);
        let (backend, config) = (&self.shared.backend, &self.shared.config);
        let timeout = config.command_timeout();
        let opening = Opening {
            hub: backend.hub(destination.shard)?,
            kind,
            buffer: config.subscription_buffer(),
            endpoint: config.endpoint().clone(),
            timeout,
        };
        let names = names.iter().map(|name| Bytes::copy_from_slice(name.as_ref())).collect();
        // A runtime that ends has shut the shard down, which ends the wait as well.
        let timer = async { drop(backend.pause(timeout).await) };
        opening.subscribe(names, timer).await
    }
}
