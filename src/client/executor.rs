//! [`Executors`]: the threads that shards run on.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use crate::config::Effective;
use crate::error::{Error, Result};
use crate::shard::Shard;
use crate::shard::mailbox::{self, Mailbox};

pub(super) struct Executors {
    mailboxes: Vec<Arc<Mailbox>>,
    /// Taken by whoever joins them. Nothing on the way of a command touches it.
    threads: Mutex<Vec<ExecutorJoinHandle<()>>>,
}

impl Executors {
    /// Starts one pinned thread for each shard.
    ///
    /// # Errors
    /// If one of them cannot run: those that could are ended again.
    pub(super) fn start(effective: &Effective) -> Result<Self> {
        let mut executors = Executors { mailboxes: Vec::new(), threads: Mutex::default() };
        for (index, core) in effective.shard_cores().iter().enumerate() {
            let mailbox = Arc::new(Mailbox::new());
            executors.mailboxes.push(mailbox.clone());
            let thread = spawn(effective, index, *core, mailbox)?;
            executors.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(executors)
    }

    pub(super) fn len(&self) -> usize {
        self.mailboxes.len()
    }

    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.mailboxes.get(shard).map(|mailbox| &**mailbox)
    }

    /// Waits until every thread has ended. They must have been told to.
    pub(super) async fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let (done, joined) = oneshot::channel();
        let join = move || {
            for thread in threads {
                // A thread that panicked has told its callers by closing its mailbox.
                let _ = thread.join();
            }
            // Whoever waits may have given up.
            let _ = done.send(());
        };
        // Joining blocks, and whoever calls this may be an executor.
        if thread::Builder::new().name("hitless-join".into()).spawn(join).is_ok() {
            // The sender is always used.
            let _ = joined.await;
        }
    }
}

impl Drop for Executors {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.close();
        }
    }
}

fn spawn(
    effective: &Effective,
    index: usize,
    core: Option<usize>,
    mailbox: Arc<Mailbox>,
) -> Result<ExecutorJoinHandle<()>> {
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let (started, start) = mpsc::channel();
    let main = {
        let effective = effective.clone();
        move || async move {
            let guard = Closing(mailbox);
            let shard = Shard::start(effective, index);
            // Whoever started this waits for it, and for nothing else.
            let _ = started.send(());
            mailbox::serve(&guard.0, shard).await;
        }
    };
    let builder = LocalExecutorBuilder::new(placement)
        .name(&format!("hitless-{index}"))
        .spin_before_park(effective.spin_before_park());
    let unable = |why: String| {
        let place = core.map_or_else(String::new, |core| format!(" on core {core}"));
        Error::machine(format!(
            "shard {index} cannot run{place}: {why}. Each shard needs an io_uring, some locked memory (`ulimit -l`), \
             open files (`ulimit -n`) and a core that this process may use"
        ))
    };
    let thread = builder.spawn(main).map_err(|error| unable(error.to_string()))?;
    if start.recv_timeout(START_TIMEOUT).is_ok() {
        return Ok(thread);
    }
    Err(match thread.join() {
        Err(error) => unable(error.to_string()),
        Ok(()) => unable("it ended at once".into()),
    })
}

/// However the thread ends, nobody waits for it any longer.
struct Closing(Arc<Mailbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
