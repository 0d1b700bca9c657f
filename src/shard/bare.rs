//! A shard without an executor: the test runs each turn of the driver itself.

use std::sync::Arc;

use super::{Shard, ShardGroup};
use crate::config::Config;
use crate::proto::pool::{Action, ConnectionId};

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
    let shard = Shard::at_rest(config, Arc::new(member), None);
    let id = shake_hands(&shard);
    (shard, id)
}

/// A shard whose only connection is about to be dialed.
#[cfg(test)]
pub(super) fn dialing(config: Config) -> (Shard, ConnectionId) {
    let config = config.validate().expect("valid settings");
    let member = ShardGroup::new(1).join().expect("a free place");
    let shard = Shard::at_rest(config, Arc::new(member), None);
    let action = shard.shared.state.borrow_mut().pool.poll_action();
    match action {
        Some(Action::Dial { id, .. }) => (shard, id),
        other => panic!("{other:?}"),
    }
}

/// Answers every command of the handshake, until the connection is ready.
fn shake_hands(shard: &Shard) -> ConnectionId {
    let (now, state) = (shard.shared.clock.now(), &mut *shard.shared.state.borrow_mut());
    let mut id = None;
    for _ in 0..HANDSHAKE_TURNS {
        while let Some(action) = state.pool.poll_action() {
            if let Action::Dial { id: dialed, .. } = action {
                id = Some(dialed);
                assert!(state.pool.connection(dialed).handle_connected(None, None, now));
            }
        }
        let id = id.expect("the pool dials at once");
        let written =
            String::from_utf8_lossy(state.pool.connection(id).poll_transmit(now).expect("a live connection"))
                .into_owned();
        state.pool.connection(id).handle_written(written.len());
        let answers = written.split('*').skip(1).map(|command| match command.contains("HELLO") {
            true => "%1\r\n$5\r\nproto\r\n:3\r\n",
            false => "+OK\r\n",
        });
        let answers: String = answers.collect();
        assert!(state.pool.connection(id).handle_bytes(answers.as_bytes(), now, &mut state.calls));
    }
    assert_eq!(state.pool.entries().ready(), (1, 1), "the handshake");
    while state.pool.poll_action().is_some() || state.pool.poll_event().is_some() {}
    id.expect("the pool dials at once")
}

const HANDSHAKE_TURNS: usize = 8;
