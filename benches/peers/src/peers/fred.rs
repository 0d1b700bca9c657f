//! `fred`: its pool, which takes its connections in turn.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use fred::prelude::{Builder, ClientLike, Config, KeysInterface, Pool, TlsConnector};
use tokio::runtime::Runtime;

use crate::callers::Callers;
use crate::plan::Plan;
use crate::service::{self, Service};
use crate::work::Peer;

use super::tokio as runtime;

pub fn current_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    drive(callers, ready, &runtime::current_thread());
}

pub fn multi_thread(callers: Arc<Callers>, ready: mpsc::Sender<()>) {
    let runtime = runtime::multi_thread(&callers.plan);
    drive(callers, ready, &runtime);
}

pub fn serve(plan: &Plan) {
    runtime::multi_thread(plan).block_on(async { service::serve(Fred(connect(plan).await)).await });
}

async fn connect(plan: &Plan) -> Pool {
    let mut config = Config::from_url(&plan.url()).expect("an address");
    if let Some(tls) = runtime::tls(plan) {
        config.tls = Some(TlsConnector::from(tls).into());
    }
    let pool = Builder::from_config(config).build_pool(plan.connections).expect("a pool");
    pool.init().await.expect("connections");
    pool
}

fn drive(callers: Arc<Callers>, ready: mpsc::Sender<()>, runtime: &Runtime) {
    runtime.block_on(async move {
        let pool = connect(&callers.plan).await;
        for caller in 0..callers.plan.tasks {
            tokio::spawn(callers.clone().call(Fred(pool.clone()), caller));
        }
        ready.send(()).expect("the measurement waits");
        runtime::arrivals(callers).await;
    });
}

#[derive(Clone)]
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

impl Service for Fred {
    async fn hit(&self, key: &str, counter: &str) -> (Bytes, i64) {
        let value = self.0.get::<Bytes, _>(key.to_owned()).await.expect("a value");
        (value, self.0.incr(counter.to_owned()).await.expect("a count"))
    }
}
