//! The scenarios of a client that runs in tokio, to count their instructions. The runtime never runs, and neither do its tasks.

use bytes::Bytes;
use tokio::runtime::Builder;

use super::Client;
use super::backend::Backend;
use crate::config::Config;
use crate::driver::bare;
use crate::driver::bench::{Bench, Counted, KEY, TOGETHER, value};

/// Runs `rounds` rounds of a scenario, after some that warm it up, and returns the number of commands. `counted` is called before
/// and after each of the three parts of a round.
///
/// # Panics
/// If there is no such scenario, or a reply is not what it should be.
pub(crate) fn run(scenario: &str, rounds: usize, counted: Counted<'_>) -> usize {
    let together = match scenario {
        "get" => TOGETHER,
        "get-alone" => 1,
        _ => panic!("no scenario {scenario}-tokio"),
    };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let entered = runtime.enter();
    let config = Config::from_url("redis://127.0.0.1").expect("an address").connections_per_shard(1);
    let client = Client::start_in_tokio(config).expect("a client");
    let Backend::Tokio(pools) = &client.shared.backend else { panic!("it runs in tokio") };
    let shared = pools.get(0).expect("one pool").clone();
    let id = bare::shake_hands(&shared);
    let clients = (0..together).map(|_| client.clone()).collect();
    // Dropping the runtime would end the pool.
    drop(entered);
    std::mem::forget(runtime);
    let get = |client: &Client| client.get::<Bytes>(KEY);
    Bench::new(shared, id, clients, get, &value()).run(rounds, counted)
}
