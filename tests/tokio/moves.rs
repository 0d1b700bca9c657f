//! MOVING under load from tasks that also cancel: no command fails, is lost, runs twice or changes its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hitless::{Client, Error, cmd};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::common::WAIT_MAX;
use crate::common::fixture::{
    ENDLESS, Fixture, connected_to, eventually, is_disconnected, is_handed_off, stats,
};
use crate::{current_thread, multi_thread};

const TASKS: usize = 64;
/// The number of open calls of a task.
const DEPTH: usize = 4;
const MOVES: usize = 4;

/// Stops the tasks, and counts the replies so far.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    done: AtomicU64,
}

/// The totals of one task.
#[derive(Default)]
struct Sums {
    tagged: u64,
    cancelled: u64,
    errors: Vec<Error>,
}

#[test]
fn moves_on_a_multi_thread_runtime_lose_nothing() {
    assert_loses_nothing(multi_thread(), &Fixture::new(2));
}

#[test]
fn moves_on_a_current_thread_runtime_lose_nothing() {
    assert_loses_nothing(current_thread(), &Fixture::new(2));
}

#[test]
fn moves_over_tls_on_a_multi_thread_runtime_lose_nothing() {
    assert_loses_nothing(multi_thread(), &Fixture::certified(&[&["127.0.0.1"], &["127.0.0.1"]]));
}

#[test]
fn moves_over_tls_on_a_current_thread_runtime_lose_nothing() {
    assert_loses_nothing(current_thread(), &Fixture::certified(&[&["127.0.0.1"], &["127.0.0.1"]]));
}

/// Moves the clients of 64 tasks back and forth. The runtime has a thread of its own, so that a current-thread runtime is driven
/// while this one waits.
fn assert_loses_nothing(runtime: Runtime, fixture: &Fixture) {
    let entered = runtime.enter();
    let config = fixture.config().shards(2).connections_per_shard(4);
    let client = Client::start_in_tokio(config).expect("it starts");
    drop(entered);
    let load: &'static Load = Box::leak(Box::default());
    let sums = std::thread::scope(|scope| {
        let driving = scope.spawn(|| runtime.block_on(run(&client, load)));
        // A panic of this thread must end the other one.
        let _stop = StopsAtEnd(load);
        wait_for_replies(load, 200);
        for index in 0..MOVES {
            let (from, to) = (index % 2, (index + 1) % 2);
            fixture.moves((from, to), ENDLESS, "");
            fixture.events.wait("handed off", 8 * (index + 1), is_handed_off);
            eventually("the predecessors are closed", || connected_to(&client, fixture.address(from)) == 0);
            wait_for_replies(load, 200);
        }
        load.stop.store(true, Ordering::Relaxed);
        driving.join().expect("no panic")
    });
    let errors: Vec<_> = sums.iter().flat_map(|sums| &sums.errors).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(sums.iter().map(|sums| sums.cancelled).sum::<u64>() > 0);
    assert_eq!(fixture.assert_audit(), sums.iter().map(|sums| sums.tagged).sum::<u64>());
    assert_eq!(fixture.events.results().len(), 8 * MOVES, "{:#?}", fixture.events.results());
    let lost = fixture.events.count(is_disconnected(fixture.address(0)));
    assert_eq!(lost, 4 * MOVES, "each predecessor closed once");
    for stats in stats(&client) {
        assert_eq!((stats.lost, stats.maintenance.orphaned, stats.calls), (0, 0, 0), "{stats:#?}");
    }
    runtime.block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
}

struct StopsAtEnd(&'static Load);

impl Drop for StopsAtEnd {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn wait_for_replies(load: &Load, more: u64) {
    let before = load.done.load(Ordering::Relaxed);
    eventually("replies", || load.done.load(Ordering::Relaxed) >= before + more);
}

async fn run(client: &Client, load: &'static Load) -> Vec<Sums> {
    client.ready(WAIT_MAX).await.expect("it is ready");
    let tasks: Vec<JoinHandle<Sums>> =
        (0..TASKS).map(|task| tokio::spawn(send(client.clone(), load, task))).collect();
    let mut sums = Vec::new();
    for task in tasks {
        sums.push(task.await.expect("no panic"));
    }
    sums
}

/// Sends commands with numbers, which the server checks, and a counter, whose replies this task checks. In between it calls, and
/// then leaves at once, after one poll, after a moment, or with an aborted task.
async fn send(handle: Client, load: &Load, task: usize) -> Sums {
    let (mut sums, mut open, mut counted) = (Sums::default(), VecDeque::new(), 0);
    let (name, counter) = (format!("audit:{task}"), format!("counter:{task}"));
    let mut random = fastrand::Rng::with_seed(task as u64);
    let is_running = || !load.stop.load(Ordering::Relaxed);
    while is_running() || !open.is_empty() {
        while is_running() && open.len() < DEPTH {
            sums.tagged += 1;
            let tagged = handle.run::<()>(&cmd("SET").arg(&name).arg(sums.tagged));
            cancel(&handle, &mut random, &mut sums).await;
            open.push_back((tagged, handle.incr(&counter)));
        }
        let Some((tagged, reply)) = open.pop_front() else { continue };
        sums.errors.extend(tagged.await.err());
        match reply.await {
            Ok(count) => {
                counted += 1;
                assert_eq!(count, counted, "each command runs once, and each reply belongs to its call");
            }
            Err(error) => sums.errors.push(error),
        }
        load.done.fetch_add(2, Ordering::Relaxed);
    }
    sums
}

async fn cancel(handle: &Client, random: &mut fastrand::Rng, sums: &mut Sums) {
    let mut reply = handle.incr("cancelled");
    sums.cancelled += 1;
    match random.u8(..8) {
        0 => drop(reply),
        1 => drop(futures_lite::future::poll_once(&mut reply).await),
        2 => drop(tokio::time::timeout(Duration::from_micros(50), reply).await),
        3 => {
            let own = tokio::spawn(async move { reply.await.map(drop) });
            tokio::task::yield_now().await;
            own.abort();
            // It may have been answered before that.
            drop(own.await);
        }
        _ => sums.errors.extend(reply.await.err()),
    }
}
