//! Measures the memory and the allocations of `hitless`, against the server at the port in the only argument. Prints one
//! line of JSON.
//!
//! `heap` counts bytes of the allocator, `resident` pages of the process; only the latter includes stacks and rings. The client
//! has handled small values before the measurement, so its buffers have their usual size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::{block_on, yield_now};
use hitless::{Client, Config, Shard};
use serde_json::{Value, json};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call goes to the system's allocator unchanged, and so does what it gives; `realloc` is made of these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller promises what is asked here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller promises that it came from `alloc` with this layout, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() {
    let port = std::env::args().nth(1).expect("a port");
    let url = format!("redis://127.0.0.1:{port}");
    let config = Config::from_url(&url).expect("an address");
    // The first client also pays for what the process allocates once.
    let _first = Idle::start(&config, 1, 1);
    let one = Idle::start(&config, 1, 1);
    let connections = Idle::start(&config, 1, 1 + MORE_CONNECTIONS);
    let shards = Idle::start(&config, 1 + MORE_SHARDS, 1);
    let difference = |more: &Idle, count: usize| {
        json!({
            "heap": (more.heap - one.heap) / count as i64,
            "resident": (more.resident - one.resident) / count as i64,
        })
    };
    let get = block_on(one.client.run_on(0, |shard| allocations(shard, false))).expect("a shard");
    let set = block_on(one.client.run_on(0, |shard| allocations(shard, true))).expect("a shard");
    let report: Value = json!({
        "idle_client_of_one_shard_and_connection": { "heap": one.heap, "resident": one.resident },
        "another_connection": difference(&connections, MORE_CONNECTIONS),
        "another_shard": difference(&shards, MORE_SHARDS),
        "allocations_per_get": get,
        "allocations_per_set": set,
    });
    println!("{report}");
    std::process::exit(0);
}

/// A client that has handled commands, and the memory that it added.
struct Idle {
    client: Client,
    heap: i64,
    resident: i64,
}

impl Idle {
    fn start(config: &Config, shards: usize, connections: usize) -> Idle {
        let (heap, resident_before) = (LIVE.load(Ordering::Relaxed), resident());
        let config = config.clone().shards(shards).connections_per_shard(connections);
        let client = Client::start(config).expect("a client");
        block_on(client.ready(Duration::from_secs(10))).expect("connections");
        block_on(client.run_on_each_shard(move |shard| async move {
            for _ in 0..connections {
                let () = shard.clone().set("key", VALUE).await.expect("OK");
            }
        }))
        .expect("shards");
        let heap = LIVE.load(Ordering::Relaxed) - heap;
        Idle { client, heap, resident: resident() - resident_before }
    }
}

/// Allocations per command, including the value, with 64 tasks at once.
async fn allocations(shard: Shard, is_set: bool) -> f64 {
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let shard = shard.clone();
            glommio::spawn_local(async move {
                let mut counted = 0;
                for round in 0..ROUNDS * 2 {
                    // Buffers grow during the first half.
                    if round == ROUNDS {
                        counted = ALLOCATIONS.load(Ordering::Relaxed);
                    }
                    match is_set {
                        true => shard.set("key", VALUE).await.expect("OK"),
                        false => {
                            assert_eq!(shard.get::<Bytes>("key").await.expect("a value").len(), VALUE.len())
                        }
                    }
                }
                counted
            })
        })
        .collect();
    yield_now().await;
    let mut began = u64::MAX;
    for task in tasks {
        began = began.min(task.await);
    }
    (ALLOCATIONS.load(Ordering::Relaxed) - began) as f64 / (TASKS * ROUNDS) as f64
}

fn resident() -> i64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: i64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
const MORE_CONNECTIONS: usize = 100;
const MORE_SHARDS: usize = 1;
const TASKS: usize = 64;
const ROUNDS: usize = 1000;
