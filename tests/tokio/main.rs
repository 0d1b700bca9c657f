//! The driver inside tokio: what only a client of [`Client::start_in_tokio`] does. `client_calls_in_tokio` and others run the
//! tests of both drivers.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod handles;
mod life_cycle;
mod misuse;
#[cfg(feature = "cli")]
mod moves;

use std::time::Duration;

use hitless::{Client, Config};
use tokio::runtime::{Builder, Runtime};

use common::{Redis, WAIT_MAX};

/// The time in which a call times out that waits for nothing else.
const SHORT: Duration = Duration::from_millis(20);

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs the test in a runtime of each kind.
fn in_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for runtime in [multi_thread(), current_thread()] {
        runtime.block_on(test());
    }
}

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url()).expect("a URL").command_timeout(WAIT_MAX)
}

/// A client, in the runtime that this is called in, whose connections are ready.
async fn started(config: Config) -> Client {
    let client = Client::start_in_tokio(config).expect("it starts");
    client.ready(WAIT_MAX).await.expect("it is ready");
    client
}

/// Lets other tasks run until the client's shards have this many calls open.
async fn wait_for_open_calls(client: &Client, calls: usize) {
    let open = || async {
        let stats = client.stats().await.expect("it runs");
        stats.iter().map(|stats| stats.calls).sum::<usize>()
    };
    wait_until("calls are open", async || open().await == calls).await;
}

/// Lets other tasks run until the condition holds.
async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}
