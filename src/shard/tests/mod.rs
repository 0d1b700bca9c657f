//! The tasks of a shard, taken turn by turn without an executor: what wakes whom, and what is given back.

mod callers;
mod dialing;
mod driver;
mod endings;
mod executor;
mod letters;
mod pilot;
mod watchers;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::pilot::{self as pilots, Turn};
use super::transport::Stream;
use super::{Reply, Shard, bare, driver as turns};
use crate::command::FromReply;
use crate::config::Config;
use crate::error::Result;
use crate::proto::connection::ReadBudget;
use crate::proto::pool::ConnectionId;

/// A shard that no executor runs, and both ends of the socket of its only connection. Nothing in it waits, and no clock
/// decides anything: the test takes the turns.
struct Rig {
    shard: Shard,
    id: ConnectionId,
    near: Stream,
    /// What the server would hold.
    far: UnixStream,
    /// Of the driver.
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
        let near = Stream::plain(shard.inner.poller.register(near.into()).unwrap());
        let rig = Rig { shard, id, near, far, wakes: Arc::default() };
        rig.shard.inner.poller.ask();
        rig
    }

    /// Reads so little at once from now on.
    fn read_at_once(&self, bytes: usize) {
        self.shard.inner.core.borrow_mut().read_buffer = vec![0; bytes].into();
    }

    /// One turn of the driver. It has registered its waker by then if it is to be woken.
    fn turn(&mut self) -> Poll<()> {
        let waker = Waker::from(self.wakes.clone());
        let context = &mut Context::from_waker(&waker);
        turns::turn(&self.shard.inner, self.id, &mut self.near, &mut ReadBudget::default(), context)
    }

    /// Lets the poller wake the driver if its socket has something. Whether it was woken since the last call.
    fn is_woken(&self) -> bool {
        self.shard.inner.poller.ask();
        self.wakes.take() > 0
    }

    fn say(&mut self, bytes: &str) {
        self.far.write_all(bytes.as_bytes()).unwrap();
    }

    /// The server closes. It has read everything.
    fn hang_up(&mut self) {
        drop(std::mem::replace(&mut self.far, UnixStream::pair().unwrap().0));
    }

    /// What the far end has received, all of it.
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

    /// Whether the pilot was told to run since it was last seen to.
    fn is_pilot_notified(&self) -> bool {
        self.shard.inner.core.borrow().pilot.is_notified()
    }
}

/// How often a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Has the pilot run for as long as it is told to. How long it would sleep then; `None` is until it is woken.
fn run_pilot(rig: &Rig) -> Option<Duration> {
    loop {
        match pilots::turn(&rig.shard.inner) {
            Turn::Sleep(time) if !rig.is_pilot_notified() => return time,
            Turn::Sleep(_) => {}
            Turn::Done => panic!("nothing shuts the shard down"),
        }
    }
}

/// One connection that says nothing of its own accord, so that no timer runs for it; and time enough for a machine that
/// stands still in the middle of a test.
fn config(url: &str) -> Config {
    let config = Config::from_url(url).unwrap().shards(1).connections_per_shard(1);
    config.idle_ping(None).command_timeout(Duration::from_secs(3600))
}

/// Polls a call as a task does; who is woken when it is answered.
fn await_answer<T: FromReply>(reply: &mut Reply<T>) -> Arc<Wakes> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
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
