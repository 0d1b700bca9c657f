//! `rustis`: one multiplexed client for each connection of the plan.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use rustis::client::{BatchPreparedCommand, Client};
use rustis::commands::StringCommands;
use rustis::resp::BulkString;

use crate::callers::Callers;
use crate::work::Peer;

use super::tokio as runtime;

pub fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    runtime::current_thread().block_on(async move {
        let mut clients = Vec::new();
        for _ in 0..callers.plan.connections {
            clients.push(Client::connect(callers.plan.url()).await.expect("a connection"));
        }
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
