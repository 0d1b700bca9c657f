//! Host names: when the resolver is called, how often, and what runs meanwhile.

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use common::{Redis, run_on_executor};
use hitless::{Config, Shard, cmd};

const GRACE: Duration = common::WAIT_MAX;

/// A resolver that counts its calls and blocks from the second call on until it is released.
///
/// The release holds for all calls: on a slow machine an attempt to connect times out while the
/// resolver is silent, and the next attempt asks again.
struct Resolver {
    asked: Arc<AtomicUsize>,
    /// Nothing is ever sent: dropping the sender ends the wait of every call.
    silence: mpsc::Sender<()>,
}

impl Resolver {
    fn new(
        address: SocketAddr,
    ) -> (Resolver, impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync) {
        let (silence, released) = mpsc::channel();
        let (asked, released) = (Arc::new(AtomicUsize::new(0)), Mutex::new(released));
        let count = asked.clone();
        let resolve = move |_: &str, _: u16| {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                assert!(released.lock().unwrap().recv().is_err(), "nothing is ever sent");
            }
            Ok(vec![address])
        };
        (Resolver { asked, silence }, resolve)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn release(self) {
        drop(self.silence);
    }
}

fn address(redis: &Redis) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], redis.port()))
}

fn config(connections: usize) -> Config {
    let config = Config::from_url("redis://cache.invalid").unwrap().connections_per_shard(connections);
    config.reconnect_backoff(Duration::from_millis(1), Duration::from_millis(10))
}

async fn id(shard: &Shard) -> String {
    shard.run::<i64>(&cmd("CLIENT").arg("ID")).await.unwrap().to_string()
}

#[test]
fn a_silent_resolver_does_not_stop_live_connections() {
    let redis = Redis::start();
    let address = address(&redis);
    run_on_executor(move || async move {
        let (resolver, resolve) = Resolver::new(address);
        let lost = Shard::connect(config(2).resolver(resolve)).await.unwrap();
        let live = lost.clone();
        let (lost_id, live_id) = (id(&lost).await, id(&live).await);
        assert_ne!(lost_id, live_id, "each handle has its own connection");
        assert_eq!(resolver.asked(), 1, "both connections share a look-up");

        let killed = live.run::<i64>(&cmd("CLIENT").arg("KILL").arg("ID").arg(&lost_id)).await;
        assert_eq!(killed.unwrap(), 1);
        while resolver.asked() < 2 {
            live.ping().await.unwrap();
        }
        // The resolver is released after all of these replies.
        let mut longest = Duration::ZERO;
        for expected in 1..=10_000 {
            let begin = Instant::now();
            assert_eq!(live.incr("counter").await.unwrap(), expected);
            longest = longest.max(begin.elapsed());
        }
        // Shown with --nocapture only: the figure depends on the machine.
        eprintln!("longest gap while the resolver is silent: {longest:?}");
        resolver.release();
        assert_ne!(id(&lost).await, lost_id);
        assert_eq!(id(&live).await, live_id);
        lost.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_shard_resolves_a_name_once_for_all_connections() {
    let redis = Redis::start();
    let address = address(&redis);
    run_on_executor(move || async move {
        let (resolver, resolve) = Resolver::new(address);
        let shard = Shard::connect(config(16).resolver(resolve)).await.unwrap();
        shard.ping().await.unwrap();
        assert_eq!(resolver.asked(), 1);
        shard.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_unreachable_address_is_not_cached() {
    let redis = Redis::start();
    let there = address(&redis);
    run_on_executor(move || async move {
        // A port that was free a moment ago has no listener.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], common::free_port()));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let resolve = move |_: &str, _: u16| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![nowhere]),
            _ => Ok(vec![there]),
        };
        // With a cached answer the shard would dial this port for an hour.
        let config = config(1).resolver(resolve).dns_cache(Duration::from_secs(3600));
        let shard = Shard::connect(config).await.unwrap();
        shard.ping().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        shard.shutdown(GRACE).await.unwrap();
    });
}
