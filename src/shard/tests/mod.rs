//! The tasks of a shard, turn by turn and without an executor: which task wakes which, and what is released.

mod callers;
mod dialing;
mod driver;
mod events;
mod executor;
mod requests;
mod shutdown;
mod supervisor;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::reactor::Socket;
use super::{Reply, Shard, bare};
use crate::command::FromReply;
use crate::config::Config;
use crate::driver::runtime::StateCell;
use crate::driver::supervisor::{self as tasks, Turn};
use crate::driver::testing::Wakes;
use crate::driver::transport::Stream;
use crate::driver::turn as turns;
use crate::error::Result;
use crate::proto::connection::ReadBudget;
use crate::proto::pool::ConnectionId;

/// A shard without an executor, and both ends of the socket of its only connection. Nothing in it waits, and nothing depends on a
/// clock: the test runs every turn.
struct Rig {
    shard: Shard,
    id: ConnectionId,
    near: Stream<Socket>,
    /// The server's end.
    far: UnixStream,
    /// The wakes of the driver.
    wakes: Arc<Wakes>,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(config("redis://127.0.0.1"))
    }

    fn with(config: Config) -> Rig {
        let (shard, id) = bare::shard_of(config);
        let (near, far) = UnixStream::pair().unwrap();
        for end in [&near, &far] {
            end.set_nonblocking(true).unwrap();
        }
        let near = Stream::plain(Socket::register(&shard.shared.runtime.reactor, near.into()).unwrap());
        let rig = Rig { shard, id, near, far, wakes: Arc::default() };
        rig.shard.shared.runtime.reactor.poll_now();
        rig
    }

    /// Makes every further read so short.
    fn read_at_once(&self, bytes: usize) {
        self.shard.shared.state.lock().read_max = bytes;
    }

    /// One turn of the driver, which registers its waker.
    fn turn(&mut self) -> Poll<()> {
        let waker = self.wakes.waker();
        let context = &mut Context::from_waker(&waker);
        turns::turn(&self.shard.shared, self.id, &mut self.near, &mut ReadBudget::default(), context)
    }

    /// Lets the reactor wake the driver if its socket has something. True if the driver was woken since the last call.
    fn is_woken(&self) -> bool {
        self.shard.shared.runtime.reactor.poll_now();
        self.wakes.take() > 0
    }

    fn say(&mut self, bytes: &str) {
        self.far.write_all(bytes.as_bytes()).unwrap();
    }

    /// The server closes, after it has read everything.
    fn hang_up(&mut self) {
        drop(std::mem::replace(&mut self.far, UnixStream::pair().unwrap().0));
    }

    /// Everything that the server has received.
    fn heard(&mut self) -> String {
        let (mut heard, mut buffer) = (Vec::new(), [0; 4 << 10]);
        loop {
            match self.far.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8(heard).unwrap()
    }

    /// Whether the supervisor was notified since its last turn.
    fn is_supervisor_notified(&self) -> bool {
        self.shard.shared.state.lock().supervisor.is_notified()
    }
}

/// Runs the supervisor for as long as it is notified. How long it sleeps then; `None` means until it is woken.
fn run_supervisor(rig: &Rig) -> Option<Duration> {
    loop {
        match tasks::supervise(&rig.shard.shared) {
            Turn::Sleep(time) if !rig.is_supervisor_notified() => return time,
            Turn::Sleep(_) => {}
            Turn::Done => panic!("nothing shuts the shard down"),
        }
    }
}

/// One connection that sends no pings, so that it has no timer; and timeouts that a machine that pauses in the middle of a test
/// does not reach.
fn config(url: &str) -> Config {
    let config = Config::from_url(url).unwrap().shards(1).connections_per_shard(1);
    config.idle_ping(None).command_timeout(Duration::from_secs(3600))
}

/// Polls a call as a task does. Returns what counts the wakes of that task.
fn await_answer<T: FromReply>(reply: &mut Reply<T>) -> Arc<Wakes> {
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.waker();
    assert!(Pin::new(reply).poll(&mut Context::from_waker(&waker)).is_pending());
    wakes
}

/// The answer, if there is one.
fn answer<T: FromReply>(reply: &mut Reply<T>) -> Option<Result<T>> {
    match Pin::new(reply).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
