//! [`TokioRuntime`]: a tokio runtime with the callers and the connections of a run.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use crate::load::machine::RuntimeThreads;
use crate::{Client, Config, Error};

/// A multi-thread tokio runtime for callers and connections; see [`run_in_tokio`](crate::load::run_in_tokio).
///
/// It knows its threads: their CPU time is part of the report, and each worker records on its own.
pub struct TokioRuntime {
    runtime: Runtime,
    threads: Arc<RuntimeThreads>,
}

impl TokioRuntime {
    /// Builds a runtime with one worker for each element of `cores`, pinned to that core if there is one. Pass
    /// `Builder::new_multi_thread()`, with the names that the threads should have. The functions that run when its threads
    /// start and stop are replaced, and I/O and time are enabled.
    ///
    /// # Errors
    /// If the system cannot start the threads.
    pub fn build(builder: &mut Builder, cores: Vec<Option<usize>>) -> io::Result<TokioRuntime> {
        let threads = RuntimeThreads::of(builder, cores);
        let runtime = builder.enable_all().build()?;
        if !threads.wait_for_workers() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the workers of the runtime did not start"));
        }
        Ok(TokioRuntime { runtime, threads })
    }

    /// Starts a client whose connections run in this runtime; see `Client::start_in_tokio`.
    ///
    /// # Errors
    /// As `Client::start_in_tokio`.
    pub fn start(&self, config: Config) -> Result<Client, Error> {
        let _entered = self.runtime.enter();
        Client::start_in_tokio(config)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(super) fn threads(&self) -> &RuntimeThreads {
        &self.threads
    }
}

impl fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioRuntime").field("workers", &self.threads.workers()).finish_non_exhaustive()
    }
}
