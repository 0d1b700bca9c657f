//! [`Tokio`]: shards inside a tokio runtime of the application, without a thread of their own.
//!
//! The driver is that of all shards. Here its state is behind a lock, because callers and connections run on all workers of the
//! runtime. The lock is held while one command is encoded, or the bytes of one read are handled. It is never held across an
//! `await`, a system call on a socket (but for the parts of a large value, which are received into their place), or the wake-up
//! of a caller.
//!
//! A command that a task queues wakes the driver of its connection, once for all commands until the driver has run. Tokio runs
//! a task that was just woken next, so a driver that has woken several callers puts itself behind them. Then it writes what all
//! of them have queued with one system call.

mod socket;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use self::socket::TokioSocket;
use crate::config::ResolvedConfig;
use crate::driver::broadcast::Member;
use crate::driver::pushes::SharedFunction;
use crate::driver::run::run;
use crate::driver::runtime::{Runtime, StateCell};
use crate::driver::state::{ShardState, Shared};
use crate::driver::subscriptions::SubscriptionHub;
use crate::driver::tasks::{Spawn, Task};
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

/// A tokio runtime, in which shards run.
#[derive(Clone)]
pub(crate) struct Tokio(Handle);

/// Whether a tokio runtime runs the code that calls this.
pub(crate) fn is_current() -> bool {
    Handle::try_current().is_ok()
}

impl Tokio {
    /// The runtime that this is called in.
    ///
    /// # Errors
    /// If there is none, or it has no I/O or no timers.
    pub(crate) fn current() -> Result<Self> {
        let misuse = |detail| Err(Error::misuse(Outcome::Unsent, detail));
        let Ok(handle) = Handle::try_current() else {
            return misuse(
                "start_in_tokio needs a tokio runtime: call it in a task, or enter the runtime first",
            );
        };
        match catch_unwind(has_drivers) {
            Ok(Ok(())) => Ok(Tokio(handle)),
            Ok(Err(error)) => Err(Error::machine(format!("tokio cannot watch a socket: {error}"))),
            Err(_) => misuse("the tokio runtime has no I/O or no timers: build it with `enable_all`"),
        }
    }

    /// Waits for `future`, which waits for a timer, as a task of the runtime. A caller elsewhere must not poll such a timer: in a
    /// runtime that has shut down, or does so meanwhile, it panics. Tasks are dropped before that.
    ///
    /// # Errors
    /// Those of the future; or the runtime shuts down first.
    pub(crate) async fn complete<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = AbortsOnDrop(self.0.spawn(future));
        match (&mut task.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::shut_down(Outcome::Unsent)),
        }
    }

    /// Starts a shard, whose connections are made in the background.
    pub(crate) fn start_shard(&self, config: ResolvedConfig, member: Arc<Member>) -> Shared<Tokio> {
        let shared =
            Shared(Arc::new(ShardState::new(self.clone(), config, member, SubscriptionHub::new(), None)));
        self.spawn(Task::Supervise(shared.clone()));
        self.spawn(Task::Listen(shared.clone()));
        self.spawn(Task::Subscribe(shared.clone()));
        shared
    }
}

impl Spawn for Tokio {
    fn spawn(&self, task: Task<Self>) {
        // A runtime that shuts down drops its tasks. Without a supervisor no call would ever end.
        let ends = match &task {
            Task::Supervise(shared) => Some(EndsShard(shared.clone())),
            _ => None,
        };
        self.0.spawn(async move {
            let _ends = ends;
            run(task).await;
        });
    }
}

impl Runtime for Tokio {
    type Pointer<T: 'static> = Arc<T>;
    type Cell<T: 'static> = Lock<T>;
    type Socket = TokioSocket;
    type Timer = Pin<Box<Sleep>>;
    type PushFunction = SharedFunction;

    const IS_SHARED: bool = true;

    fn pointer<T: 'static>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn timer(&self, time: Duration) -> Pin<Box<Sleep>> {
        let _entered = self.0.enter();
        Box::pin(tokio::time::sleep(time))
    }

    fn register(&self, descriptor: OwnedFd) -> io::Result<TokioSocket> {
        let _entered = self.0.enter();
        TokioSocket::register(descriptor)
    }

    fn call(function: &Self::PushFunction, items: &[Frame]) {
        function(items);
    }

    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }
}

/// A lock that a panic does not close: what it protects is left valid by every line that may panic.
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> StateCell<T> for Lock<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Lock(Mutex::new(value))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// Uses a socket and a timer of the runtime. It panics if the runtime has none: there is no other way to ask it.
fn has_drivers() -> io::Result<()> {
    let (socket, _other) = UnixStream::pair()?;
    socket.set_nonblocking(true)?;
    TokioSocket::register(socket.into())?;
    drop(tokio::time::sleep(Duration::ZERO));
    Ok(())
}

/// A task that ends when its caller stops waiting for it.
struct AbortsOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortsOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends a shard whose supervisor is dropped before the shard is shut down.
struct EndsShard(Shared<Tokio>);

impl Drop for EndsShard {
    fn drop(&mut self) {
        self.0.end();
    }
}
