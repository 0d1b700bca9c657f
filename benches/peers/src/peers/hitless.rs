//! `hitless`: `Shard` in tasks on its thread, and `Client` in tasks on tokio.

use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::AsyncReadExt;
use hitless::{Client, ClientReply, Config, Shard};

use crate::callers::Callers;
use crate::pacer;
use crate::work::Peer;

use super::tokio as runtime;

/// All defaults are on: deadlines, counters, maintenance, backpressure.
fn connect(callers: &Callers) -> Client {
    let plan = &callers.plan;
    let core = affinity();
    let config = Config::from_url(&plan.url()).expect("an address").shards(1).cores([core]);
    let config = config.connections_per_shard(plan.connections).spin_before_park(plan.spin);
    let client = Client::start(config).expect("a client");
    futures_lite::future::block_on(client.ready(Duration::from_secs(10))).expect("connections");
    client
}

pub fn on_the_shard(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let client = connect(&callers);
    let run = client.run_on(0, move |shard| async move {
        for caller in 0..callers.plan.tasks {
            // Each clone is bound to the next connection.
            glommio::spawn_local(callers.clone().call(OnShard(shard.clone()), caller)).detach();
        }
        ready.send(()).expect("the measurement waits");
        if callers.schedule.is_some() {
            arrivals(callers).await;
        }
    });
    futures_lite::future::block_on(run).expect("a shard");
    // Dropping the client would end its threads.
    futures_lite::future::block_on(std::future::pending())
}

pub fn through_the_client(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let client = connect(&callers);
    runtime::current_thread().block_on(async move {
        for caller in 0..callers.plan.tasks {
            tokio::spawn(callers.clone().call(ThroughClient(client.clone()), caller));
        }
        ready.send(()).expect("the measurement waits");
        runtime::arrivals(callers).await;
    });
}

/// Passes arrivals on until the run is over.
async fn arrivals(callers: Arc<Callers>) {
    let descriptor = pacer::start(&callers).into_raw_fd();
    // SAFETY: it was given away by its owner, is open, and a unix socket.
    let mut socket = unsafe { glommio::net::UnixStream::from_raw_fd(descriptor) };
    let mut bytes = [0; 256];
    while !callers.is_stopped() {
        let count = socket.read(&mut bytes).await.expect("an open socket");
        pacer::arrived(&callers, &bytes[..count]);
    }
}

/// The only core that this process may use.
fn affinity() -> usize {
    // SAFETY: it takes nothing, and gives a number.
    let core = unsafe { libc::sched_getcpu() };
    usize::try_from(core).expect("a core")
}

struct OnShard(Shard);

impl Peer for OnShard {
    async fn get(&mut self, key: &str) -> usize {
        self.0.get::<Bytes>(key).await.expect("a value").len()
    }

    async fn set(&mut self, key: &str, value: &Bytes) {
        self.0.set(key, value).await.expect("OK");
    }

    async fn mget(&mut self, keys: &[String]) -> usize {
        let values: Vec<Bytes> = self.0.mget(keys).await.expect("values");
        values.iter().map(Bytes::len).sum()
    }

    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let pipeline = self.0.pipeline();
        for key in keys {
            pipeline.get(key);
        }
        let values: Vec<Bytes> = pipeline.run().await.expect("values");
        values.iter().map(Bytes::len).sum()
    }
}

struct ThroughClient(Client);

impl Peer for ThroughClient {
    async fn get(&mut self, key: &str) -> usize {
        self.0.get::<Bytes>(key).await.expect("a value").len()
    }

    async fn set(&mut self, key: &str, value: &Bytes) {
        self.0.set(key, value).await.expect("OK");
    }

    async fn mget(&mut self, keys: &[String]) -> usize {
        let values: Vec<Bytes> = self.0.mget(keys).await.expect("values");
        values.iter().map(Bytes::len).sum()
    }

    /// A call is submitted when it is made, so several calls before the first await form a pipeline.
    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let replies: Vec<ClientReply<Bytes>> = keys.iter().map(|key| self.0.get(key)).collect();
        let mut length = 0;
        for reply in replies {
            length += reply.await.expect("a value").len();
        }
        length
    }
}
