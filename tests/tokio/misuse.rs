//! Misuse is an error that names the remedy, not a hang and not a panic.

use futures_lite::future::block_on;
use hitless::{Client, Error, ErrorKind, Outcome};

use crate::common::{Redis, WAIT_MAX};
use crate::{config, in_both, multi_thread, started};

#[track_caller]
fn assert_misuse(error: &Error, remedy: &str) {
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    assert!(error.to_string().contains(remedy), "{error}");
}

#[test]
fn start_needs_a_runtime() {
    let redis = Redis::start();
    let error = Client::start_in_tokio(config(&redis)).map(drop).expect_err("there is no runtime");
    assert_misuse(&error, "enter the runtime first");
    assert_eq!(error.outcome(), Outcome::Unsent);
    let runtime = multi_thread();
    let entered = runtime.enter();
    let client = Client::start_in_tokio(config(&redis)).expect("it is entered");
    drop(entered);
    assert_eq!(client.incr("counter").wait().expect("the workers serve it"), 1);
}

#[test]
fn wait_is_for_plain_threads() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis)).await;
        client.set("counter", 0).await.expect("it serves");
        let error = client.incr("counter").wait().expect_err("the runtime's thread must not wait");
        assert_misuse(&error, "await the reply instead");
        assert!(error.to_string().contains("INCR"), "{error}");
        let other = client.clone();
        let (done, waited) = futures_channel::oneshot::channel();
        std::thread::spawn(move || done.send(other.decr("below").wait()));
        let below = waited.await.expect("no panic").expect("a plain thread may wait");
        assert!(below < 0, "{below}");
        client.shutdown(WAIT_MAX).await.expect("nothing is open");
    });
}

#[test]
fn closures_need_shards_with_threads() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis)).await;
        let error = client.run_on(0, |_| async {}).await.expect_err("there is no thread");
        assert_misuse(&error, "call the client itself");
        let error = client.run_on_each_shard(|_| async {}).await.expect_err("there is no thread");
        assert_misuse(&error, "call the client itself");
        client.ping().await.expect("it serves");
    });
}

#[test]
fn wrong_settings_are_named() {
    let redis = Redis::start();
    let runtime = multi_thread();
    let _entered = runtime.enter();
    let error = Client::start_in_tokio(config(&redis).connections_per_shard(0)).map(drop).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("connections_per_shard"), "{error}");
}

#[test]
fn polling_a_taken_reply_is_an_error() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis)).await;
        let mut reply = client.incr("counter");
        (&mut reply).await.expect("it serves");
        assert_misuse(&reply.await.expect_err("it is taken"), "INCR");
    });
    // No runtime is left, and an error is still an error.
    let client = multi_thread().block_on(started(config(&redis)));
    assert_eq!(block_on(client.ping()).expect_err("its runtime has ended").kind(), ErrorKind::ShutDown);
}
