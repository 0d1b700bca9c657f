//! `redis-rs`: one multiplexed connection for each connection of the plan.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, TlsCertificates};
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
        service::serve(RedisService(Connections::new(connect(plan).await))).await;
    });
}

async fn connect(plan: &Plan) -> Vec<MultiplexedConnection> {
    let client = match plan.ca_pem() {
        None => redis::Client::open(plan.url()),
        Some(ca) => {
            let trusted = TlsCertificates { client_tls: None, root_cert: Some(ca) };
            redis::Client::build_with_tls(plan.url(), trusted)
        }
    };
    let client = client.expect("an address");
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(client.get_multiplexed_async_connection().await.expect("a connection"));
    }
    connections
}

fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>, runtime: &Runtime) {
    runtime.block_on(async move {
        let connections = connect(&callers.plan).await;
        for caller in 0..callers.plan.tasks {
            let connection = connections[caller % connections.len()].clone();
            tokio::spawn(callers.clone().call(Redis(connection), caller));
        }
        ready.send(()).expect("the measurement waits");
        runtime::arrivals(callers).await;
    });
}

struct Redis(MultiplexedConnection);

impl Peer for Redis {
    async fn get(&mut self, key: &str) -> usize {
        let value: Vec<u8> = self.0.get(key).await.expect("a value");
        value.len()
    }

    async fn set(&mut self, key: &str, value: &Bytes) {
        let () = self.0.set(key, &value[..]).await.expect("OK");
    }

    async fn mget(&mut self, keys: &[String]) -> usize {
        let values: Vec<Vec<u8>> = self.0.mget(keys).await.expect("values");
        values.iter().map(Vec::len).sum()
    }

    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.get(key);
        }
        let values: Vec<Vec<u8>> = pipeline.query_async(&mut self.0).await.expect("values");
        values.iter().map(Vec::len).sum()
    }
}

#[derive(Clone)]
struct RedisService(Connections<MultiplexedConnection>);

impl Service for RedisService {
    async fn hit(&self, key: &str, counter: &str) -> (Bytes, i64) {
        let mut connection = self.0.next();
        let value: Vec<u8> = connection.get(key).await.expect("a value");
        (value.into(), connection.incr(counter, 1).await.expect("a count"))
    }
}
