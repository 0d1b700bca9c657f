//! `hitless`: `Shard` in tasks on its thread; `Client` in tasks on tokio, with a thread of its own or inside that runtime.

use std::os::fd::{FromRawFd, IntoRawFd};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::AsyncReadExt;
use hitless::net::Tls;
use hitless::{Client, ClientReply, Config, Shard};
use tokio::runtime::Runtime;

use crate::callers::Callers;
use crate::pacer;
use crate::plan::Plan;
use crate::service::{self, Service};
use crate::work::Peer;

use super::tokio as runtime;

/// All defaults are on: deadlines, counters, maintenance, backpressure.
fn config(plan: &Plan) -> Config {
    let config = Config::from_url(&plan.url()).expect("an address");
    match plan.ca_pem() {
        None => config,
        Some(ca) => config.tls(Tls::new().ca_pem(ca)),
    }
}

/// A client with one thread, on this core.
fn connect(plan: &Plan) -> Client {
    let config = config(plan).shards(1).cores([affinity()]);
    let config = config.connections_per_shard(plan.connections).spin_before_park(plan.spin);
    let config = config.sockets(plan.sockets);
    let client = Client::start(config).expect("a client");
    futures_lite::future::block_on(client.ready(Duration::from_secs(10))).expect("connections");
    client
}

pub fn on_the_shard(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let client = connect(&callers.plan);
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
    let client = connect(&callers.plan);
    runtime::current_thread().block_on(call(client, callers, ready));
}

pub fn through_the_client_mt(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let client = connect(&callers.plan);
    runtime::multi_thread(&callers.plan).block_on(call(client, callers, ready));
}

pub fn in_tokio(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    drive_in(&runtime::current_thread(), callers, ready);
}

pub fn in_tokio_mt(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let runtime = runtime::multi_thread(&callers.plan);
    drive_in(&runtime, callers, ready);
}

pub fn serve_with_threads(plan: &Plan) {
    let client = connect(plan);
    runtime::multi_thread(plan).block_on(async { service::serve(ThroughClient(client)).await });
}

pub fn serve_in_tokio(plan: &Plan) {
    runtime::multi_thread(plan).block_on(async {
        let client = start_in_tokio(plan).await;
        service::serve(ThroughClient(client)).await;
    });
}

async fn start_in_tokio(plan: &Plan) -> Client {
    let config = config(plan).shards(plan.pools).connections_per_shard(plan.connections / plan.pools);
    let client = Client::start_in_tokio(config).expect("a client");
    client.ready(Duration::from_secs(10)).await.expect("connections");
    client
}

fn drive_in(runtime: &Runtime, callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    runtime.block_on(async move {
        let client = start_in_tokio(&callers.plan).await;
        call(client, callers, ready).await;
    });
}

/// Starts a task for each caller, and runs until the run is over.
async fn call(client: Client, callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    for caller in 0..callers.plan.tasks {
        tokio::spawn(callers.clone().call(ThroughClient(client.clone()), caller));
    }
    ready.send(()).expect("the measurement waits");
    runtime::arrivals(callers).await;
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

#[derive(Clone)]
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

impl Service for ThroughClient {
    async fn hit(&self, key: &str, counter: &str) -> (Bytes, i64) {
        let value: Bytes = self.0.get(key).await.expect("a value");
        (value, self.0.incr(counter).await.expect("a count"))
    }
}
