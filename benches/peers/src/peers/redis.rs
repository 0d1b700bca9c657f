//! `redis-rs`: one multiplexed connection for each connection of the plan.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use crate::callers::Callers;
use crate::work::Peer;

use super::tokio as runtime;

pub fn current_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    drive(callers, ready, &runtime::current_thread());
}

pub fn multi_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    drive(callers, ready, &runtime::multi_thread());
}

fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>, runtime: &Runtime) {
    runtime.block_on(async move {
        let client = redis::Client::open(callers.plan.url()).expect("an address");
        let mut connections = Vec::new();
        for _ in 0..callers.plan.connections {
            connections.push(client.get_multiplexed_async_connection().await.expect("a connection"));
        }
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
