//! How tasks on a shard subscribe.

use bytes::Bytes;

use super::Shard;
use crate::driver::runtime::Runtime;
use crate::driver::subscriptions::{Opening, Subscription};
use crate::error::Result;
use crate::proto::subscriptions::SubscriptionKind;

impl Shard {
    /// Subscribes to channels: as [`Client::subscribe`](crate::Client::subscribe).
    ///
    /// # Errors
    /// As there.
    pub async fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Channel, channels).await
    }

    /// Subscribes to patterns: as [`Client::psubscribe`](crate::Client::psubscribe).
    ///
    /// # Errors
    /// As there.
    pub async fn psubscribe(&self, patterns: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Pattern, patterns).await
    }

    /// Subscribes to channels of a cluster's shard: as [`Client::ssubscribe`](crate::Client::ssubscribe).
    ///
    /// # Errors
    /// As there.
    pub async fn ssubscribe(&self, channels: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        self.subscribe_as(SubscriptionKind::Sharded, channels).await
    }

    async fn subscribe_as(&self, kind: SubscriptionKind, names: &[impl AsRef<[u8]>]) -> Result<Subscription> {
        let (shared, config) = (&self.shared, &self.shared.config);
        let timeout = config.command_timeout();
        let opening = Opening {
            hub: shared.hub.clone(),
            kind,
            buffer: config.subscription_buffer(),
            endpoint: config.endpoint().clone(),
            timeout,
        };
        let names = names.iter().map(|name| Bytes::copy_from_slice(name.as_ref())).collect();
        let timer = shared.runtime.timer(timeout);
        let timer = async {
            timer.await;
        };
        opening.subscribe(names, timer).await
    }
}
