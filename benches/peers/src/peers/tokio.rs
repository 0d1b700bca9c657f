//! Shared by the clients on tokio: the runtime, and the socket of an open loop.

use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::callers::Callers;
use crate::pacer;

pub fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// One worker for each core that the process may use.
pub fn multi_thread() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// Passes the arrivals of an open loop on until the run is over.
pub async fn arrivals(callers: Arc<Callers>) {
    if callers.schedule.is_none() {
        return std::future::pending().await;
    }
    let socket = UnixStream::from_std(pacer::start(&callers)).expect("a socket");
    let mut bytes = [0; 256];
    while !callers.is_stopped() {
        socket.readable().await.expect("an open socket");
        if let Ok(count) = socket.try_read(&mut bytes) {
            pacer::arrived(&callers, &bytes[..count]);
        }
    }
}
