//! Subscriptions against a real server.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::{block_on, poll_once};
use hitless::observe::ConnectionRole;
use hitless::pubsub::{GapReason, Overflow, PubSubEvent, Subscription, SubscriptionBuffer};
use hitless::{Client, ErrorKind, Frame, Outcome, cmd};

use crate::blocking::client;
use crate::common::Redis;
use crate::common::fixture::{eventually, stats};

/// The next event as words.
pub(crate) fn next(subscription: &mut Subscription) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match block_on(subscription.next()) {
        Some(PubSubEvent::Message(message)) => {
            let pattern = message.pattern.map_or(String::new(), |pattern| format!("{} ", text(&pattern)));
            format!("{pattern}{}={}", text(&message.channel), text(&message.payload))
        }
        Some(PubSubEvent::Gap { name, reason, .. }) => format!("gap {} {reason:?}", text(&name)),
        Some(PubSubEvent::Lagged(count)) => format!("{count} lagged"),
        other => format!("{other:?}"),
    }
}

fn publish(client: &Client, channel: &str, payload: &str) -> i64 {
    block_on(client.publish(channel, payload)).unwrap()
}

#[test]
fn ps_confirmed_before_resolved() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news", "weather"])).unwrap();
    assert_eq!((publish(&client, "news", "a"), publish(&client, "weather", "b")), (1, 1));
    assert_eq!([next(&mut news), next(&mut news)], ["news=a", "weather=b"]);
    assert_eq!(stats(&client)[0].roles.get(&ConnectionRole::Subscriber), Some(&1));
    let mut messages = news.messages();
    publish(&client, "news", "c");
    assert_eq!(block_on(messages.next()).unwrap().payload, "c");
}

#[test]
fn ps_one_subscribe_per_channel_and_shard_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut both = [0, 1].map(|_| block_on(client.subscribe(&["news"])).unwrap());
    assert_eq!(publish(&client, "news", "a"), 1, "the server knows of one subscriber");
    for subscription in &mut both {
        assert_eq!(next(subscription), "news=a");
    }
}

#[test]
fn ps_add_remove_live() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["a"])).unwrap();
    block_on(news.add(&["b", "c"])).unwrap();
    assert_eq!(["a", "b", "c"].map(|channel| publish(&client, channel, "1")), [1, 1, 1]);
    // A message that comes after its name was removed is dropped.
    let first: BTreeSet<String> = (0..3).map(|_| next(&mut news)).collect();
    assert_eq!(first, ["a=1", "b=1", "c=1"].map(str::to_owned).into());
    news.remove(&["a", "b"]);
    eventually("they are given up", || publish(&client, "a", "2") + publish(&client, "b", "2") == 0);
    publish(&client, "c", "3");
    let mut seen = BTreeSet::new();
    while !seen.contains("c=3") {
        seen.insert(next(&mut news));
    }
}

#[test]
fn ps_drop_unsubscribes_last() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let [one, other] = [0, 1].map(|_| block_on(client.subscribe(&["news"])).unwrap());
    drop(one);
    assert_eq!(publish(&client, "news", "a"), 1);
    drop(other);
    eventually("it is given up", || publish(&client, "news", "b") == 0);
    // A caller that leaves before the confirmation leaves nothing.
    for _ in 0..20 {
        let mut opening = Box::pin(client.subscribe(&["left"]));
        assert!(block_on(poll_once(&mut opening)).is_none_or(|opened| opened.is_ok()));
    }
    eventually("nothing is left", || publish(&client, "left", "c") == 0);
}

#[test]
fn ps_refused_channel_named_on_sockets() {
    let redis =
        Redis::start_with(&["--user", "app", "on", "nopass", "~*", "resetchannels", "&news.*", "+@all"]);
    let client = client(&redis, |config| config.username("app").password("any"));
    let error = block_on(client.subscribe(&["news.1", "secret", "news.2"])).unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.command()),
        (ErrorKind::Server, Some("NOPERM"), Some("SUBSCRIBE"))
    );
    assert!(error.to_string().contains("`secret`"), "{error}");
    let mut news = block_on(client.subscribe(&["news.1"])).unwrap();
    publish(&client, "news.1", "a");
    assert_eq!(next(&mut news), "news.1=a");
    let error = block_on(news.add(&["other"])).unwrap_err();
    assert!(error.to_string().contains("`other`"), "{error}");
    publish(&client, "news.1", "b");
    assert_eq!(next(&mut news), "news.1=b", "the subscription goes on");
}

#[test]
fn ps_gap_announced_on_reconnect_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    publish(&client, "news", "a");
    assert_eq!(next(&mut news), "news=a");
    let killed: i64 = block_on(client.run(&cmd("CLIENT").args(["KILL", "TYPE", "pubsub"]))).unwrap();
    assert_eq!(killed, 1);
    let gap = block_on(news.next());
    let Some(PubSubEvent::Gap { name, since, until, reason }) = gap else { panic!("{gap:?}") };
    assert_eq!((&name[..], reason), (&b"news"[..], GapReason::ConnectionLost));
    assert!(until >= since);
    assert_eq!(publish(&client, "news", "b"), 1, "it is confirmed again");
    assert_eq!(next(&mut news), "news=b");
    assert_eq!(stats(&client)[0].subscriptions.gaps, 1);
}

#[test]
fn ps_lag_counted_in_band() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    let buffer = SubscriptionBuffer::new().messages(1000);
    news.set_buffer(buffer);
    let mut newest = block_on(client.subscribe(&["news"])).unwrap();
    newest.set_buffer(buffer.overflow(Overflow::DropNewest));
    let mut closing = block_on(client.subscribe(&["news"])).unwrap();
    closing.set_buffer(buffer.overflow(Overflow::Close));
    for round in 0..100 {
        let pipeline = client.pipeline();
        for number in 0..1000 {
            pipeline.publish("news", round * 1000 + number);
        }
        assert_eq!(block_on(pipeline.run::<Vec<i64>>()).unwrap(), vec![1; 1000]);
    }
    eventually("all have come", || stats(&client)[0].subscriptions.messages == 100_000);
    assert_eq!([next(&mut news), next(&mut news)], ["99000 lagged", "news=99000"]);
    assert_eq!(next(&mut newest), "news=0");
    for number in 1..1000 {
        assert_eq!(next(&mut newest), format!("news={number}"));
    }
    assert_eq!(next(&mut newest), "99000 lagged");
    let rest = block_on((&mut closing).count());
    assert_eq!((rest, next(&mut closing).as_str()), (1001, "None"));
}

/// 100 MB for a subscriber that reads nothing: three times what the server keeps for a client that does not read.
#[test]
fn ps_slow_consumer_never_killed_by_server() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    let payload = "x".repeat(100_000);
    for round in 1..=100 {
        let pipeline = client.pipeline();
        for _ in 0..10 {
            pipeline.publish("news", payload.as_str());
        }
        assert_eq!(block_on(pipeline.run::<Vec<i64>>()).unwrap(), vec![1; 10], "in round {round}");
        // The client reads, and the subscriber does not.
        eventually("they have come", || stats(&client)[0].subscriptions.messages == 10 * round);
    }
    let kept = (16 << 20) / (payload.len() + "news".len());
    assert_eq!(next(&mut news), format!("{} lagged", 1000 - kept));
    assert_eq!(stats(&client)[0].lost, 0);
}

#[test]
fn ps_resp2_on_sockets() {
    let redis = Redis::start_with(&["--rename-command", "HELLO", ""]);
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    let mut all = block_on(client.psubscribe(&["n*"])).unwrap();
    assert_eq!(publish(&client, "news", "a"), 2);
    assert_eq!((next(&mut news), next(&mut all)), ("news=a".into(), "n* news=a".into()));
    block_on(client.rpush("list", &["message", "news", "b"])).unwrap();
    let list: Vec<String> = block_on(client.lrange("list", 0, -1)).unwrap();
    assert_eq!(list, ["message", "news", "b"], "a reply is none of the messages");
}

#[test]
fn ps_patterns_and_channels_overlap() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut channel = block_on(client.subscribe(&["news.a"])).unwrap();
    let mut patterns = block_on(client.psubscribe(&["news.*", "*.a"])).unwrap();
    assert_eq!(publish(&client, "news.a", "1"), 3);
    assert_eq!(next(&mut channel), "news.a=1");
    let both = BTreeSet::from([next(&mut patterns), next(&mut patterns)]);
    assert_eq!(both, BTreeSet::from(["news.* news.a=1".to_owned(), "*.a news.a=1".to_owned()]));
    let mut sharded = block_on(client.ssubscribe(&["news.a"])).unwrap();
    assert_eq!(block_on(client.run::<i64>(&cmd("SPUBLISH").arg("news.a").arg("2"))).unwrap(), 1);
    assert_eq!(next(&mut sharded), "news.a=2");
}

#[test]
fn ps_10k_channels() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let names: Vec<_> = (0..10_000).map(|number| format!("channel:{number}")).collect();
    let mut all = block_on(client.subscribe(&names)).unwrap();
    for name in names.iter().step_by(997) {
        assert_eq!(publish(&client, name, "x"), 1);
        assert_eq!(next(&mut all), format!("{name}=x"));
    }
    drop(all);
    eventually("all are given up", || {
        let channels: Frame = block_on(client.pubsub_channels("*")).unwrap();
        channels == Frame::Array(Vec::new())
    });
}

#[test]
fn ex_shutdown_ends_subscriptions() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let mut news = block_on(client.subscribe(&["news"])).unwrap();
    publish(&client, "news", "a");
    eventually("it has come", || stats(&client)[0].subscriptions.messages == 1);
    block_on(client.shutdown(Duration::from_secs(10))).unwrap();
    assert_eq!([next(&mut news), next(&mut news)], ["news=a", "None"]);
    let error = block_on(client.subscribe(&["news"])).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Unsent), "{error}");
}

#[test]
fn name_that_no_server_confirms_is_named() {
    let port = crate::common::free_port();
    let config = hitless::Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap().shards(1);
    let client = crate::common::drivers::start(config.command_timeout(Duration::from_millis(200))).unwrap();
    let error = block_on(client.subscribe(&["news"])).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unsent), "{error}");
    assert!(error.to_string().contains("`news`"), "{error}");
}
