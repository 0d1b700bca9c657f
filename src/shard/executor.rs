//! [`Executor`]: the pinned thread that a client's shard runs on.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::mailbox::{self, Mailbox};
use super::{Member, Shard};
use crate::config::Effective;
use crate::error::{Error, Result};

pub(crate) struct Executor(ExecutorJoinHandle<()>);

impl Executor {
    /// Waits until the thread has ended.
    pub(crate) fn join(self) {
        // A thread that panicked has told its callers by closing its mailbox.
        let _ = self.0.join();
    }
}

/// Starts the thread of the shard that has this seat, which serves the mailbox until it is closed.
///
/// # Errors
/// If the thread, or the executor on it, cannot be had.
pub(crate) fn start(effective: &Effective, member: Member, mailbox: Arc<Mailbox>) -> Result<Executor> {
    let (index, member) = (member.index(), Arc::new(member));
    let core = effective.shard_cores().get(index).copied().flatten();
    let (started, start) = mpsc::channel();
    let main = {
        let effective = effective.clone();
        move || async move {
            let guard = Closing { mailbox, member: member.clone() };
            let shard = Shard::start(effective, member, core);
            // Whoever started this waits for it, and for nothing else.
            let _ = started.send(());
            mailbox::serve(&guard.mailbox, shard).await;
        }
    };
    let builder = LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("hitless-{index}"))
        .spin_before_park(effective.spin_before_park());
    let thread = builder.spawn(main).map_err(|error| unable(index, core, &error.to_string()))?;
    match start.recv_timeout(START_TIMEOUT) {
        Ok(()) => Ok(Executor(thread)),
        Err(RecvTimeoutError::Timeout) => Err(unable(index, core, &format!("not within {START_TIMEOUT:?}"))),
        Err(RecvTimeoutError::Disconnected) => Err(match thread.join() {
            Err(error) => unable(index, core, &error.to_string()),
            Ok(()) => unable(index, core, "it ended at once"),
        }),
    }
}

fn unable(index: usize, core: Option<usize>, why: &str) -> Error {
    let place = core.map_or_else(String::new, |core| format!(" on core {core}"));
    Error::machine(format!(
        "shard {index} cannot run{place}: {why}. Each shard needs an io_uring, some locked memory (`ulimit -l`), open \
         files (`ulimit -n`) and a core that this process may use"
    ))
}

/// However the thread ends, nobody waits for it any longer.
struct Closing {
    mailbox: Arc<Mailbox>,
    member: Arc<Member>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.member.leave();
        self.mailbox.abandon();
    }
}

/// An executor is there within milliseconds, or not at all.
const START_TIMEOUT: Duration = Duration::from_secs(30);
