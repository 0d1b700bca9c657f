//! `redis-rs`: its multiplexed connection, as many of them as there are to be connections.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use crate::crew::Crew;
use crate::work::Peer;

use super::tokio as runtime;

pub fn current_thread(crew: Arc<Crew>, ready: mpsc::Sender<()>) {
    drive(crew, ready, &runtime::current_thread());
}

pub fn multi_thread(crew: Arc<Crew>, ready: mpsc::Sender<()>) {
    drive(crew, ready, &runtime::multi_thread());
}

fn drive(crew: Arc<Crew>, ready: mpsc::Sender<()>, runtime: &Runtime) {
    runtime.block_on(async move {
        let client = redis::Client::open(crew.plan.url()).expect("an address");
        let mut connections = Vec::new();
        for _ in 0..crew.plan.connections {
            connections.push(client.get_multiplexed_async_connection().await.expect("a connection"));
        }
        for caller in 0..crew.plan.tasks {
            let connection = connections[caller % connections.len()].clone();
            tokio::spawn(crew.clone().call(Redis(connection), caller));
        }
        ready.send(()).expect("somebody waits");
        runtime::arrivals(crew).await;
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
