//! A shard without an executor: the test runs each turn of the driver itself.

use std::sync::Arc;

use super::Shard;
use crate::config::Config;
use crate::driver::bare;
use crate::driver::broadcast::ShardGroup;
#[cfg(test)]
use crate::driver::runtime::StateCell;
use crate::driver::subscriptions::SubscriptionHub;
#[cfg(test)]
use crate::proto::pool::Action;
use crate::proto::pool::ConnectionId;

/// A shard whose only connection is ready, without a socket. No task of the shard runs.
///
/// # Panics
/// If the pool does not dial, or its handshake does not end.
#[cfg(benching)]
pub(super) fn shard() -> (Shard, ConnectionId) {
    let config = Config::from_url("redis://127.0.0.1").expect("an address").connections_per_shard(1);
    shard_of(config)
}

/// The same with other settings, for one connection.
pub(super) fn shard_of(config: Config) -> (Shard, ConnectionId) {
    shard_in(&ShardGroup::new(1), config)
}

/// The same for one of several shards.
pub(super) fn shard_in(group: &ShardGroup, config: Config) -> (Shard, ConnectionId) {
    let config = config.validate().expect("valid settings");
    let member = group.join().expect("a free place");
    let shard = Shard::at_rest(config, Arc::new(member), SubscriptionHub::new(), None);
    let id = bare::shake_hands(&shard.shared);
    (shard, id)
}

/// A shard whose only connection is about to be dialed.
#[cfg(test)]
pub(super) fn dialing(config: Config) -> (Shard, ConnectionId) {
    let config = config.validate().expect("valid settings");
    let member = ShardGroup::new(1).join().expect("a free place");
    let shard = Shard::at_rest(config, Arc::new(member), SubscriptionHub::new(), None);
    let action = shard.shared.state.lock().pool.poll_action();
    match action {
        Some(Action::Dial { id, .. }) => (shard, id),
        other => panic!("{other:?}"),
    }
}
