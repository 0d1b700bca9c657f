//! A pool without a socket and without tasks, for tests and counts that run each turn of the driver themselves.

use super::runtime::{Runtime, StateCell};
use super::state::ShardState;
use crate::proto::pool::{Action, ConnectionId};

/// Answers every command of the handshake, until the only connection is ready. No task of the shard may run.
///
/// # Panics
/// If the pool does not dial, or its handshake does not end.
pub(crate) fn shake_hands<R: Runtime>(shared: &ShardState<R>) -> ConnectionId {
    let (now, state) = (shared.clock.now(), &mut *shared.state.lock());
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
        assert!(state.pool.handle_bytes(id, answers.as_bytes(), now, &mut state.calls));
    }
    assert_eq!(state.pool.ready(), (1, 1), "the handshake");
    while state.pool.poll_action().is_some() || state.pool.poll_event().is_some() {}
    id.expect("the pool dials at once")
}

const HANDSHAKE_TURNS: usize = 8;
