//! The driver on a runtime of several threads, turn by turn. The test says what other threads do while the driver writes.

mod turns;
mod wakers;
mod writes;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::broadcast::ShardGroup;
use super::calls::Answer;
use super::clock::Clock;
use super::runtime::StateCell;
use super::state::{ShardState, Shared, Submitted};
use super::testing::{PipeSocket, SharedRuntime, Wakes};
use super::transport::Stream;
use super::turn;
use crate::config::Config;
use crate::driver::subscriptions::SubscriptionHub;
use crate::proto::connection::{HandleId, ReadBudget};
use crate::proto::pool::{Action, ConnectionId, EntryId};
use crate::proto::resp::{Encoder, Frame};

type State = Shared<SharedRuntime>;

/// A shard with one connection, which is ready. No task of the shard runs.
struct Rig {
    shared: State,
    driver: Driver,
}

/// The driver of one connection, and the far end of its socket.
struct Driver {
    shared: State,
    id: ConnectionId,
    stream: Stream<PipeSocket>,
    far: PipeSocket,
    wakes: Arc<Wakes>,
}

/// A task that awaits the answer to a command.
struct Caller {
    shared: State,
    call: Submitted,
    wakes: Arc<Wakes>,
}

impl Rig {
    /// The socket has so much room.
    fn new(room: usize) -> Rig {
        // Without pings and short timeouts, so that nothing depends on the clock.
        let config = Config::from_url("redis://127.0.0.1").unwrap().shards(1).connections_per_shard(1);
        let config = config.idle_ping(None).command_timeout(Duration::from_secs(3600)).validate().unwrap();
        let member = Arc::new(ShardGroup::new(1).join().unwrap());
        let mut state = ShardState::new(SharedRuntime, config, member, SubscriptionHub::new(), None);
        state.clock = Clock::standing();
        let shared = Shared(Arc::new(state));
        let id = dialed(&shared).unwrap();
        shake_hands(&shared, id);
        act(&shared);
        let driver = Driver::new(&shared, id, room);
        Rig { shared, driver }
    }

    /// The server announces a move without grace, and the pool begins to dial the successor.
    fn move_away(&mut self) -> ConnectionId {
        self.driver.far.say(b">4\r\n+MOVING\r\n:1\r\n:0\r\n+127.0.0.1:7002\r\n");
        assert!(self.driver.turn().is_pending());
        dialed(&self.shared).expect("a successor")
    }
}

impl Driver {
    fn new(shared: &State, id: ConnectionId, room: usize) -> Self {
        let far = PipeSocket::with_room(room);
        let stream = Stream::plain(far.clone());
        Driver { shared: shared.clone(), id, stream, far, wakes: Arc::default() }
    }

    /// One turn, which registers the waker of the driver.
    fn turn(&mut self) -> Poll<()> {
        let waker = self.wakes.waker();
        let context = &mut Context::from_waker(&waker);
        turn::turn(&self.shared, self.id, &mut self.stream, &mut ReadBudget::default(), context)
    }
}

impl Caller {
    /// Queues `ECHO text` for a handle of its own, and awaits the answer.
    fn new(shared: &State, text: &str) -> Caller {
        let handle = shared.add_handle().1;
        Caller::of(shared, handle, text)
    }

    fn of(shared: &State, handle: HandleId, text: &str) -> Caller {
        let call = shared.submit(EntryId(0), handle, None, |out| {
            let mut command = Encoder::command(out, 2);
            command.bytes(b"ECHO");
            command.bytes(text.as_bytes());
        });
        let mut caller = Caller { shared: shared.clone(), call: call.unwrap(), wakes: Arc::default() };
        assert!(caller.answer().is_none());
        caller
    }

    fn answer(&mut self) -> Option<Answer> {
        let waker = self.wakes.waker();
        match self.shared.poll_call(self.call, None, &mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// The text that the server has sent.
    fn text(&mut self) -> String {
        match self.answer() {
            Some(Ok(Frame::Bulk(text))) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the caller was woken since the last call.
    fn is_woken(&self) -> bool {
        self.wakes.take() > 0
    }
}

/// `ECHO text` as it is sent, and the reply to it.
fn echo(text: &str) -> String {
    format!("*2\r\n$4\r\nECHO\r\n{}", bulk(text))
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Executes what the pool asks for, and returns the connection that it dials, if it dials one.
fn dialed(shared: &State) -> Option<ConnectionId> {
    let mut dialed = None;
    while let Some(action) = shared.next_action() {
        match action {
            Action::Dial { id, .. } => dialed = Some(id),
            Action::Wake { id } => shared.state.lock().drivers.wake(id),
            Action::Close { id, .. } => turn::remove(shared, id).into_iter().for_each(Waker::wake),
            _ => {}
        }
    }
    dialed
}

fn act(shared: &State) {
    assert_eq!(dialed(shared), None);
}

/// Answers every command of the handshake of this connection, until it is in use.
fn shake_hands(shared: &State, id: ConnectionId) {
    let now = shared.clock.now();
    let peer = Some(([127, 0, 0, 1], 7001).into());
    assert!(shared.state.lock().pool.connection(id).handle_connected(peer, None, now));
    for _ in 0..HANDSHAKE_TURNS {
        act(shared);
        let state = &mut *shared.state.lock();
        if state.pool.connection(id).negotiated().is_some() {
            return;
        }
        let mut written = Vec::new();
        state.pool.connection(id).take_transmit(now, &mut written);
        let written = String::from_utf8(written).unwrap();
        let answers = written.split('*').skip(1).map(|command| match command.contains("HELLO") {
            true => "%1\r\n$5\r\nproto\r\n:3\r\n",
            false => "+OK\r\n",
        });
        let answers: String = answers.collect();
        assert!(state.pool.handle_bytes(id, answers.as_bytes(), now, &mut state.calls));
    }
    panic!("the handshake does not end");
}

const HANDSHAKE_TURNS: usize = 4;
/// So much room that everything fits, and so little that a driver that writes forever ends.
const ROOMY: usize = 4 << 10;
