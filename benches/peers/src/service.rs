//! An HTTP service that uses a client for each request, as services do. A process of its own loads it, so that all CPU of this
//! one belongs to requests.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use bytes::Bytes;
use tokio::net::TcpListener;

use crate::measure;

/// A client in the state of the service. Each request gets a clone.
pub trait Service: Clone + Send + Sync + 'static {
    /// GETs a key, then INCRs a counter: the value, and the count.
    fn hit(&self, key: &str, counter: &str) -> impl Future<Output = (Bytes, i64)> + Send;
}

/// Prints the port that it listens on, and serves until the process is killed.
pub async fn serve<S: Service>(service: S) {
    let router = Router::new().route("/hit/{key}", get(hit::<S>)).route("/cpu", get(cpu)).with_state(service);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    axum::serve(listener, router).await.expect("an open socket");
}

/// The response has the value, and the number of its requests.
async fn hit<S: Service>(State(service): State<S>, Path(key): Path<String>) -> String {
    let (value, count) = service.hit(&key, &format!("hits:{key}")).await;
    format!("{}\n{count}\n", std::str::from_utf8(&value).expect("letters"))
}

/// User and system time of this process, in nanoseconds.
async fn cpu() -> String {
    let cpu = measure::own_cpu();
    format!("{} {}", cpu.user.as_nanos(), cpu.system.as_nanos())
}
