//! What the clients on tokio have in common: the runtime, and the socket of an open loop.

use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::crew::Crew;
use crate::pacer;

pub fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// As many workers as the process may use cores.
pub fn multi_thread() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

/// Hands arrivals out, if it is an open loop, until the run is over.
pub async fn arrivals(crew: Arc<Crew>) {
    if crew.schedule.is_none() {
        return std::future::pending().await;
    }
    let socket = UnixStream::from_std(pacer::start(&crew)).expect("a socket");
    let mut bytes = [0; 256];
    while !crew.is_stopped() {
        socket.readable().await.expect("an open socket");
        if let Ok(count) = socket.try_read(&mut bytes) {
            pacer::arrived(&crew, &bytes[..count]);
        }
    }
}
