//! Steady load, every command of which says who sent it and which one it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_lite::future::block_on;
use hitless::{Client, Error, Shard, cmd};

use crate::common::stage::eventually;

/// Tasks on each shard of a client that go on until they are told to stop.
pub(crate) struct Load {
    shared: Arc<Shared>,
    shards: std::thread::JoinHandle<Vec<Sums>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Replies so far.
    done: AtomicU64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// Commands that say who sent them.
    pub(crate) tagged: u64,
    /// `INCR counter`s.
    pub(crate) counted: u64,
    pub(crate) errors: Vec<Error>,
}

/// How many calls a task has open.
const DEPTH: usize = 8;
/// Of so many tasks, one sends pipelines, and one sends much: so much that a part of it is still on its way when what
/// follows could be there by another.
const KINDS: usize = 4;
const MUCH: usize = 4 << 20;

impl Load {
    /// So many tasks on each shard, each with a handle of its own.
    pub(crate) fn start(client: &Client, tasks: usize) -> Load {
        let shared = Arc::new(Shared::default());
        let (client, own) = (client.clone(), shared.clone());
        let shards = std::thread::spawn(move || {
            let run = move |shard: Shard| {
                let shared = own.clone();
                async move {
                    let tasks: Vec<_> = (0..tasks)
                        .map(|task| {
                            let name = format!("audit:{}.{task}", shard.index());
                            let (shard, shared) = (shard.clone(), shared.clone());
                            glommio::spawn_local(async move {
                                match task % KINDS {
                                    0 => send_pipelines(shard, &shared, name).await,
                                    1 => send(shard, &shared, name, &vec![b'x'; MUCH]).await,
                                    _ => send(shard, &shared, name, b"x").await,
                                }
                            })
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
        });
        Load { shared, shards }
    }

    pub(crate) fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until there were so many more replies.
    #[track_caller]
    pub(crate) fn goes_on(&self, replies: u64) {
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
    fn goes_on(&self) -> bool {
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

/// What is sent is of the given size every now and then.
async fn send(shard: Shard, shared: &Shared, name: String, payload: &[u8]) -> Sums {
    let (mut sums, mut open) = (Sums::default(), VecDeque::new());
    while shared.goes_on() || !open.is_empty() {
        while shared.goes_on() && open.len() < DEPTH {
            sums.tagged += 1;
            sums.counted += 1;
            let payload = if sums.tagged % DEPTH as u64 == 1 { payload } else { b"" };
            let tagged = cmd("HSET").arg(&name).arg("payload").arg(payload).arg("number").arg(sums.tagged);
            let tagged = shard.run::<i64>(&tagged);
            open.push_back((tagged, shard.incr("counter")));
        }
        if let Some((tagged, counted)) = open.pop_front() {
            sums.errors.extend(tagged.await.err());
            sums.errors.extend(counted.await.err());
            shared.done.fetch_add(2, Ordering::Relaxed);
        }
    }
    sums
}

async fn send_pipelines(shard: Shard, shared: &Shared, name: String) -> Sums {
    let mut sums = Sums::default();
    while shared.goes_on() {
        let pipeline = shard.pipeline();
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
