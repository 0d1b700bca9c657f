//! The clients of a run, and the tokio runtime that they run in with `--via tokio`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use futures_lite::future::block_on;
use tokio::runtime::Builder;

use super::resolved::Resolved;
use crate::cli::exit::Failure;
use crate::cli::terminal::stop;
use crate::cli::topology;
use crate::load::{
    self, Delivery, DeliveryReport, HandoffWatch, LoadError, Moves, Progress, Report, TokioRuntime, Via,
    Workload,
};
use crate::{Client, Config, ResolvedConfig};

/// One client for each server, and where they run.
pub(super) struct Started {
    pub(super) clients: Vec<Client>,
    /// The runtime of callers and connections. It ends after the clients.
    runtime: Option<TokioRuntime>,
}

impl Started {
    /// Starts one client per server. The handoff watch numbers the shards of all clients consecutively.
    pub(super) fn new(resolved: &Resolved, watch: &Arc<HandoffWatch>) -> Result<Started, Failure> {
        let runtime = match resolved.workload.via {
            Via::Tokio => Some(runtime(resolved.cores())?),
            _ => None,
        };
        let mut first = 0;
        let start = |(config, effective): (&Config, &ResolvedConfig)| {
            let (listener, offset) = (watch.clone(), first);
            first += effective.shard_cores().len();
            let config = config.clone().on_event(move |shard, event| listener.note(offset + shard, event));
            let client = match &runtime {
                Some(runtime) => runtime.start(config),
                None => Client::start(config),
            };
            client.map_err(|error| Failure::Unreachable(error.into()))
        };
        let clients = resolved.servers().map(start).collect::<Result<_, _>>()?;
        Ok(Started { clients, runtime })
    }

    /// Waits until every client is connected, and checks the kind of each server.
    pub(super) fn wait_until_ready(&self, resolved: &Resolved, stop: &AtomicBool) -> Result<(), Failure> {
        for (client, (_, effective)) in self.clients.iter().zip(resolved.servers()) {
            let deadline = effective.connect_timeout() + topology::CONNECT_SLACK;
            match stop::unless_stopped(stop, client.ready(deadline)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(Failure::Unreachable(error.into())),
                None => return Err(Failure::Interrupted("while connecting")),
            }
            // The endpoints in this process need no check.
            if resolved.embedded.is_none() {
                topology::check(client, stop)?;
            }
        }
        Ok(())
    }

    /// Runs the load.
    pub(super) fn run(
        &self,
        workload: &Workload,
        watch: &Arc<HandoffWatch>,
        moves: Option<&Moves<'_>>,
        stop: &Arc<AtomicBool>,
        observe: impl FnMut(Progress) + Send,
    ) -> Result<Report, LoadError> {
        match &self.runtime {
            Some(runtime) => {
                load::run_in_tokio(runtime, &self.clients, workload, watch, moves, stop, observe)
            }
            None => load::run_over(&self.clients, workload, watch, moves, stop, observe),
        }
    }

    /// Runs a queue or subscriptions on the first server.
    pub(super) fn deliver(
        &self,
        delivery: &Delivery,
        watch: &Arc<HandoffWatch>,
        moves: Option<&Moves<'_>>,
        stop: &Arc<AtomicBool>,
    ) -> Result<DeliveryReport, LoadError> {
        let client = self.clients.first().ok_or(LoadError::Panicked)?;
        load::deliver(client, self.runtime.as_ref(), delivery, watch, moves, stop)
    }

    /// Closes the connections.
    pub(super) fn shut_down(self) {
        for client in self.clients {
            // The result is complete. A connection that does not close in time does not change it.
            if let Err(error) = block_on(client.shutdown(CLOSE_GRACE)) {
                tracing::debug!(%error, "the client did not shut down cleanly");
            }
        }
    }
}

/// Why a run returned no report, as the command's failure.
pub(super) fn failure(error: LoadError) -> Failure {
    match error {
        LoadError::Workload(error) => Failure::Usage(error.to_string()),
        LoadError::Preparing(error) => topology::redirected(&error)
            .unwrap_or_else(|| Failure::Failed(LoadError::Preparing(error).into())),
        error => Failure::Failed(error.into()),
    }
}

/// A runtime with one worker for each shard.
fn runtime(cores: Vec<Option<usize>>) -> Result<TokioRuntime, Failure> {
    let runtime = TokioRuntime::build(Builder::new_multi_thread().thread_name("hitless-tokio"), cores);
    runtime.context("could not start the tokio runtime").map_err(Failure::Unreachable)
}

/// How long the end of a run waits for connections to close cleanly.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
