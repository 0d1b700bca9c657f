//! Steady load whose commands carry the name of their sender and a sequence number.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_lite::future::block_on;
use hitless::command::Commands;
use hitless::{Client, Error, Shard, cmd};

#[cfg(feature = "tokio")]
use crate::common::drivers;
use crate::common::fixture::eventually;

/// Tasks on each shard of a client that run until they are stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    shards: std::thread::JoinHandle<Vec<Sums>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// The number of replies so far.
    done: AtomicU64,
}

/// The totals of the load.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// Commands with a sender and a sequence number.
    pub(crate) tagged: u64,
    /// `INCR counter` commands.
    pub(crate) counted: u64,
    pub(crate) errors: Vec<Error>,
}

/// The number of open calls of a task.
const DEPTH: usize = 8;
/// Of this many tasks, one sends pipelines and one sends large values. Parts of a large value are still in transit
/// when later commands could overtake it on another connection.
const TASK_KINDS: usize = 4;
const LARGE_VALUE_BYTES: usize = 4 << 20;

impl Load {
    /// Starts this many tasks for each shard, each with its own handle: on the shard itself, or in tokio.
    pub(crate) fn start(client: &Client, tasks: usize) -> Load {
        let shared = Arc::new(Shared::default());
        let (client, own) = (client.clone(), shared.clone());
        let shards = std::thread::spawn(move || {
            #[cfg(feature = "tokio")]
            if drivers::is_in_tokio() {
                return in_tokio(&client, tasks, &own);
            }
            on_shards(&client, tasks, own)
        });
        Load { shared, shards }
    }

    pub(crate) fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits for this many more replies.
    #[track_caller]
    pub(crate) fn wait_for_replies(&self, replies: u64) {
        let before = self.done();
        eventually("replies", || self.done() >= before + replies);
    }

    pub(crate) fn stop(self) -> Sums {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sums = Sums::default();
        for shard in self.shards.join().expect("no panic") {
            sums.add(shard);
        }
        sums
    }
}

impl Shared {
    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.tagged += other.tagged;
        self.counted += other.counted;
        self.errors.extend(other.errors);
    }
}

fn on_shards(client: &Client, tasks: usize, shared: Arc<Shared>) -> Vec<Sums> {
    let run = move |shard: Shard| {
        let shared = shared.clone();
        async move {
            let tasks: Vec<_> = (0..tasks)
                .map(|task| {
                    let (name, shared) = (format!("audit:{}.{task}", shard.index()), shared.clone());
                    let shard = shard.clone();
                    glommio::spawn_local(async move { run_task(shard, &shared, name, task).await })
                })
                .collect();
            let mut sums = Sums::default();
            for task in tasks {
                sums.add(task.await);
            }
            sums
        }
    };
    block_on(client.run_on_each_shard(run)).expect("no panic")
}

/// Handles are bound to the shards in turn, so each shard gets as many tasks.
#[cfg(feature = "tokio")]
fn in_tokio(client: &Client, tasks: usize, shared: &Arc<Shared>) -> Vec<Sums> {
    let tasks: Vec<_> = (0..tasks * client.shards())
        .map(|task| {
            let (name, shared, client) = (format!("audit:{task}"), shared.clone(), client.clone());
            drivers::runtime().spawn(async move { run_task(client, &shared, name, task).await })
        })
        .collect();
    tasks.into_iter().map(|task| block_on(task).expect("no panic")).collect()
}

async fn run_task(handle: impl Commands, shared: &Shared, name: String, task: usize) -> Sums {
    match task % TASK_KINDS {
        0 => send_pipelines(handle, shared, name).await,
        1 => send(handle, shared, name, &vec![b'x'; LARGE_VALUE_BYTES]).await,
        _ => send(handle, shared, name, b"x").await,
    }
}

/// Every eighth command carries the payload.
async fn send(handle: impl Commands, shared: &Shared, name: String, payload: &[u8]) -> Sums {
    let (mut sums, mut open) = (Sums::default(), VecDeque::new());
    while shared.is_running() || !open.is_empty() {
        while shared.is_running() && open.len() < DEPTH {
            sums.tagged += 1;
            sums.counted += 1;
            let payload = if sums.tagged % DEPTH as u64 == 1 { payload } else { b"" };
            let tagged = cmd("HSET").arg(&name).arg("payload").arg(payload).arg("number").arg(sums.tagged);
            let tagged = handle.run::<i64>(&tagged);
            open.push_back((tagged, handle.incr("counter")));
        }
        if let Some((tagged, counted)) = open.pop_front() {
            sums.errors.extend(tagged.await.err());
            sums.errors.extend(counted.await.err());
            shared.done.fetch_add(2, Ordering::Relaxed);
        }
    }
    sums
}

async fn send_pipelines(handle: impl Commands, shared: &Shared, name: String) -> Sums {
    let mut sums = Sums::default();
    while shared.is_running() {
        let pipeline = handle.pipeline();
        for _ in 0..DEPTH {
            sums.tagged += 1;
            sums.counted += 1;
            pipeline.cmd(&cmd("SET").arg(&name).arg(sums.tagged)).incr("counter");
        }
        sums.errors.extend(pipeline.run::<Vec<hitless::Frame>>().await.err());
        shared.done.fetch_add(2 * DEPTH as u64, Ordering::Relaxed);
    }
    sums
}
