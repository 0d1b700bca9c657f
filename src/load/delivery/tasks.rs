//! The tasks of a run, where its options say: on the shards, on other threads, or in tokio.

use std::future::pending;
use std::sync::Arc;
use std::thread;

use futures_lite::future::block_on;

use super::place::{InTokio, OnThread, Place};
use super::plan::{DeliveryKind, DeliveryPlan, Role};
use super::pubsub::{self, Heard, Published};
use super::queue::{self, Pushed, Taken};
use crate::Client;
use crate::load::caller::executor::{self, Timers};
use crate::load::run::{LoadError, TokioRuntime};
use crate::load::workload::Via;

/// What one task returns.
#[derive(Debug)]
pub(super) enum Done {
    Pushed(Pushed),
    Taken(Taken),
    Published(Published),
    Heard(Heard),
}

/// Runs all tasks to completion. Each has a handle of its own, and so its own place among the connections.
pub(super) fn run_all(
    client: &Client,
    runtime: Option<&TokioRuntime>,
    plan: &Arc<DeliveryPlan>,
) -> Result<Vec<Done>, LoadError> {
    match (plan.delivery.via, runtime) {
        (Via::Shard, _) => on_shards(client, plan),
        (Via::Client, _) => on_threads(client, plan),
        (Via::Tokio, Some(runtime)) => in_tokio(client, runtime, plan),
        (Via::Tokio, None) => Err(LoadError::Via),
    }
}

fn on_shards(client: &Client, plan: &Arc<DeliveryPlan>) -> Result<Vec<Done>, LoadError> {
    let (plan, shards) = (plan.clone(), client.shards());
    let done = block_on(client.run_on_each_shard(move |shard| {
        let plan = plan.clone();
        async move {
            let roles = plan.roles(shard.index(), shards).into_iter();
            let tasks: Vec<_> =
                roles.map(|role| glommio::spawn_local(run(shard.clone(), plan.clone(), role))).collect();
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                done.push(task.await);
            }
            done
        }
    }))?;
    Ok(done.into_iter().flatten().collect())
}

/// One thread for each shard.
fn on_threads(client: &Client, plan: &Arc<DeliveryPlan>) -> Result<Vec<Done>, LoadError> {
    let threads = client.shards();
    let on_thread = |thread| {
        let timers = Timers::default();
        let task = |role| -> executor::Task<Done> {
            let place = OnThread { client: client.clone(), timers: timers.clone() };
            Box::pin(run(place, plan.clone(), role))
        };
        let tasks = plan.roles(thread, threads).into_iter().map(task).collect();
        executor::run(&timers, tasks, pending())
    };
    thread::scope(|scope| {
        let on_thread = &on_thread;
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || on_thread(thread))).collect();
        let mut done = Vec::new();
        for one in all {
            done.extend(one.join().map_err(|_| LoadError::Panicked)?);
        }
        Ok(done)
    })
}

fn in_tokio(
    client: &Client,
    runtime: &TokioRuntime,
    plan: &Arc<DeliveryPlan>,
) -> Result<Vec<Done>, LoadError> {
    runtime.runtime().block_on(async {
        let roles = plan.roles(0, 1).into_iter();
        let tasks: Vec<_> =
            roles.map(|role| tokio::spawn(run(InTokio(client.clone()), plan.clone(), role))).collect();
        let mut done = Vec::with_capacity(tasks.len());
        for task in tasks {
            done.push(task.await.map_err(|_| LoadError::Panicked)?);
        }
        Ok(done)
    })
}

async fn run<P: Place>(place: P, plan: Arc<DeliveryPlan>, role: Role) -> Done {
    match (plan.delivery.kind, role) {
        (DeliveryKind::Queue { queue, .. }, Role::Source(producer)) => {
            Done::Pushed(queue::produce(place, plan, queue, producer).await)
        }
        (DeliveryKind::Queue { queue, .. }, Role::Sink(consumer)) => {
            Done::Taken(queue::consume(place, plan, queue, consumer).await)
        }
        (DeliveryKind::PubSub { .. }, Role::Source(publisher)) => {
            Done::Published(pubsub::publish(place, plan, publisher).await)
        }
        (DeliveryKind::PubSub { .. }, Role::Sink(subscriber)) => {
            Done::Heard(pubsub::subscribe(place, plan, subscriber).await)
        }
    }
}
