//! `hitless`: from tasks on its shard, and through the door for other threads, from tasks on tokio.

use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::AsyncReadExt;
use hitless::{Client, ClientReply, Config, Shard};

use crate::crew::Crew;
use crate::pacer;
use crate::work::Peer;

use super::tokio as runtime;

/// Everything is on that is on without being asked for: deadlines, counters, maintenance, backpressure.
fn connect(crew: &Crew) -> Client {
    let plan = &crew.plan;
    let core = affinity();
    let config = Config::from_url(&plan.url()).expect("an address").shards(1).cores([core]);
    let config = config.connections_per_shard(plan.connections).spin_before_park(plan.spin);
    let client = Client::start(config).expect("a client");
    futures_lite::future::block_on(client.ready(Duration::from_secs(10))).expect("connections");
    client
}

pub fn on_the_shard(crew: Arc<Crew>, ready: mpsc::Sender<()>) {
    let client = connect(&crew);
    let run = client.run_on(0, move |shard| async move {
        for caller in 0..crew.plan.tasks {
            // Each clone is bound to the next connection.
            glommio::spawn_local(crew.clone().call(OnShard(shard.clone()), caller)).detach();
        }
        ready.send(()).expect("somebody waits");
        if crew.schedule.is_some() {
            arrivals(crew).await;
        }
    });
    futures_lite::future::block_on(run).expect("a shard");
    // The client has to live on.
    futures_lite::future::block_on(std::future::pending())
}

pub fn through_the_client(crew: Arc<Crew>, ready: mpsc::Sender<()>) {
    let client = connect(&crew);
    runtime::current_thread().block_on(async move {
        for caller in 0..crew.plan.tasks {
            tokio::spawn(crew.clone().call(ThroughClient(client.clone()), caller));
        }
        ready.send(()).expect("somebody waits");
        runtime::arrivals(crew).await;
    });
}

/// Hands arrivals out, until the run is over.
async fn arrivals(crew: Arc<Crew>) {
    let descriptor = pacer::start(&crew).into_raw_fd();
    // SAFETY: it was given away by its owner, is open, and a unix socket.
    let mut socket = unsafe { glommio::net::UnixStream::from_raw_fd(descriptor) };
    let mut bytes = [0; 256];
    while !crew.is_stopped() {
        let count = socket.read(&mut bytes).await.expect("an open socket");
        pacer::arrived(&crew, &bytes[..count]);
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

    /// Calls are on their way when they are made: several together are a pipeline.
    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let replies: Vec<ClientReply<Bytes>> = keys.iter().map(|key| self.0.get(key)).collect();
        let mut length = 0;
        for reply in replies {
            length += reply.await.expect("a value").len();
        }
        length
    }
}
