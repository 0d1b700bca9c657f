//! `fred`: its pool, which takes its connections in turn.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use fred::prelude::{Builder, ClientLike, Config, KeysInterface, Pool};

use crate::callers::Callers;
use crate::work::Peer;

use super::tokio as runtime;

pub fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    runtime::current_thread().block_on(async move {
        let config = Config::from_url(&callers.plan.url()).expect("an address");
        let pool = Builder::from_config(config).build_pool(callers.plan.connections).expect("a pool");
        pool.init().await.expect("connections");
        for caller in 0..callers.plan.tasks {
            tokio::spawn(callers.clone().call(Fred(pool.clone()), caller));
        }
        ready.send(()).expect("the measurement waits");
        runtime::arrivals(callers).await;
    });
}

struct Fred(Pool);

impl Peer for Fred {
    async fn get(&mut self, key: &str) -> usize {
        self.0.get::<Bytes, _>(key.to_owned()).await.expect("a value").len()
    }

    async fn set(&mut self, key: &str, value: &Bytes) {
        let () = self.0.set(key.to_owned(), value.clone(), None, None, false).await.expect("OK");
    }

    async fn mget(&mut self, keys: &[String]) -> usize {
        let values: Vec<Bytes> = self.0.mget(keys.to_vec()).await.expect("values");
        values.iter().map(Bytes::len).sum()
    }

    async fn pipeline(&mut self, keys: &[String]) -> usize {
        let pipeline = self.0.next().pipeline();
        for key in keys {
            let () = pipeline.get(key.to_owned()).await.expect("it is queued");
        }
        let values: Vec<Bytes> = pipeline.all().await.expect("values");
        values.iter().map(Bytes::len).sum()
    }
}
