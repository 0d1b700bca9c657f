//! `rustis`: one multiplexed client for each connection of the plan.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use rustis::client::{BatchPreparedCommand, Client, Config, TlsConfig};
use rustis::commands::StringCommands;
use rustis::resp::BulkString;
use tokio::runtime::Runtime;

use crate::callers::Callers;
use crate::plan::Plan;
use crate::service::{self, Service};
use crate::work::Peer;

use super::tokio::{self as runtime, Connections};

pub fn current_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    drive(callers, ready, &runtime::current_thread());
}

pub fn multi_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let runtime = runtime::multi_thread(&callers.plan);
    drive(callers, ready, &runtime);
}

pub fn serve(plan: &Plan) {
    runtime::multi_thread(plan).block_on(async {
        service::serve(RustisService(Connections::new(connect(plan).await))).await;
    });
}

async fn connect(plan: &Plan) -> Vec<Client> {
    let mut config: Config = plan.url().parse().expect("an address");
    if let Some(tls) = runtime::tls(plan) {
        config.tls_config = Some(TlsConfig::new(Arc::new(tls)));
    }
    let mut clients = Vec::new();
    for _ in 0..plan.connections {
        clients.push(Client::connect(config.clone()).await.expect("a connection"));
    }
    clients
}

fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>, runtime: &Runtime) {
    runtime.block_on(async move {
        let clients = connect(&callers.plan).await;
        for caller in 0..callers.plan.tasks {
            let client = clients[caller % clients.len()].clone();
            tokio::spawn(callers.clone().call(Rustis(client), caller));
        }
        ready.send(()).expect("the measurement waits");
        runtime::arrivals(callers).await;
    });
}

struct Rustis(Client);

impl Peer for Rustis {
    async fn get(&mut self, key: &str) -> usize {
        self.0.get::<BulkString>(key).await.expect("a value").len()
    }

    async fn set(&mut self, key: &str, value: &Bytes) {
        // rustis encodes a slice of bytes as a list of numbers.
        let text = std::str::from_utf8(value).expect("letters");
        self.0.set(key, text).await.expect("OK");
    }

    async fn mget(&mut self, keys: &[String]) -> usize {
        let values: Vec<BulkString> = self.0.mget(keys).await.expect("values");
        values.iter().map(|value| value.len()).sum()
    }

    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let mut pipeline = self.0.create_pipeline();
        for key in keys {
            pipeline.get::<()>(key).queue();
        }
        let values: Vec<BulkString> = pipeline.execute().await.expect("values");
        values.iter().map(|value| value.len()).sum()
    }
}

#[derive(Clone)]
struct RustisService(Connections<Client>);

impl Service for RustisService {
    async fn hit(&self, key: &str, counter: &str) -> (Bytes, i64) {
        let client = self.0.next();
        let value = client.get::<BulkString>(key).await.expect("a value");
        (Bytes::copy_from_slice(&value), client.incr(counter).await.expect("a count"))
    }
}
