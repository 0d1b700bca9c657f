//! Subscriptions on their connection: confirmations, losses, handoffs, and what shares the connection with them.

use super::*;
use crate::proto::subscriptions::{GapReason, PubSubEvent};

const FIRST: SubscriptionId = SubscriptionId(1);
const SECOND_ONE: SubscriptionId = SubscriptionId(2);

impl Story {
    fn subscribe(&mut self, id: SubscriptionId, names: &[&str]) {
        let names =
            names.iter().map(|name| (SubscriptionKind::Channel, Bytes::copy_from_slice(name.as_bytes())));
        self.pool.subscribe(id, names.collect(), self.now, &mut self.delivered);
        self.turn();
    }

    fn close_subscription(&mut self, id: SubscriptionId) {
        self.pool.close_subscription(id, self.now, &mut self.delivered);
        self.turn();
    }

    /// The events since the last call, as words.
    fn told(&mut self) -> Vec<String> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let told = std::mem::take(&mut self.delivered.events).into_iter().map(|(to, event)| {
            let what = match event {
                PubSubEvent::Message(message) => {
                    format!("{}={}", text(&message.channel), text(&message.payload))
                }
                PubSubEvent::Gap { name, reason, .. } => format!("gap {} {reason:?}", text(&name)),
                PubSubEvent::Confirmed { name, .. } => format!("on {}", text(&name)),
                PubSubEvent::Refused { name, .. } => format!("no {}", text(&name)),
                PubSubEvent::Unsubscribed { name, .. } => format!("off {}", text(&name)),
            };
            format!("{}: {what}", to.0)
        });
        told.collect()
    }

    /// A pool with a shared connection, and one that carries a subscription to `news`.
    fn subscribed() -> (Self, ConnectionId, ConnectionId) {
        let (mut story, shared) = Story::ready(config());
        story.subscribe(FIRST, &["news"]);
        let own = story.admit(7);
        assert_eq!(story.written(own), "SUBSCRIBE news");
        story.receive(own, confirmed("subscribe", "news"));
        assert_eq!(story.told(), ["1: on news"]);
        (story, shared, own)
    }
}

fn confirmed(verb: &str, name: &str) -> String {
    push('>', &[verb, name], ":1\r\n")
}

fn message(name: &str, payload: &str) -> String {
    push('>', &["message", name, payload], "")
}

fn push(kind: char, words: &[&str], last: &str) -> String {
    let count = words.len() + usize::from(!last.is_empty());
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("{kind}{count}\r\n{}{last}", words.collect::<String>())
}

#[test]
fn ps_one_subscribe_per_channel_and_shard() {
    let (mut story, _, own) = Story::subscribed();
    story.subscribe(SECOND_ONE, &["news"]);
    assert_eq!((story.written(own), story.told()), (String::new(), vec!["2: on news".to_owned()]));
    story.receive(own, message("news", "a"));
    assert_eq!(story.told(), ["1: news=a", "2: news=a"]);
    // The last one that leaves gives the channel up.
    story.close_subscription(FIRST);
    assert_eq!(story.written(own), "");
    story.close_subscription(SECOND_ONE);
    assert_eq!(story.written(own), "UNSUBSCRIBE news");
}

#[test]
fn subscriptions_have_one_connection_that_is_closed_without_use() {
    let (mut story, shared, own) = Story::subscribed();
    story.subscribe(SECOND_ONE, &["other"]);
    assert_eq!((story.written(own), story.next_dial()), ("SUBSCRIBE other".into(), None));
    story.receive(own, confirmed("subscribe", "other"));
    story.close_subscription(FIRST);
    story.close_subscription(SECOND_ONE);
    assert_eq!(story.written(own), "UNSUBSCRIBE news UNSUBSCRIBE other");
    story.receive(own, confirmed("unsubscribe", "news") + &confirmed("unsubscribe", "other"));
    story.run(SECOND * 59);
    assert!(story.pool.connection(own).is_alive());
    story.run(SECOND * 2);
    assert!(!story.pool.connection(own).is_alive() && story.pool.connection(shared).is_alive());
    story.subscribe(FIRST, &["news"]);
    let again = story.admit(8);
    assert_eq!(story.written(again), "SUBSCRIBE news");
}

#[test]
fn ps_refused_channel_named() {
    let (mut story, _, own) = Story::subscribed();
    story.subscribe(SECOND_ONE, &["fine", "secret"]);
    assert_eq!(story.written(own), "SUBSCRIBE fine secret");
    // The server refuses both with one error. Each is asked for by itself.
    story.receive(own, "-NOPERM No permissions to access a channel\r\n");
    assert_eq!(story.written(own), "SUBSCRIBE fine SUBSCRIBE secret");
    story.receive(own, confirmed("subscribe", "fine") + "-NOPERM No permissions to access a channel\r\n");
    assert_eq!(story.told(), ["2: on fine", "2: no secret"]);
    story.receive(own, message("news", "a"));
    assert_eq!(story.told(), ["1: news=a"]);
}

#[test]
fn refusal_read_with_later_confirmations_is_of_its_command() {
    let (mut story, _, own) = Story::subscribed();
    story.subscribe(SECOND_ONE, &["secret"]);
    story.subscribe(FIRST, &["fine"]);
    assert_eq!(story.written(own), "SUBSCRIBE secret SUBSCRIBE fine");
    story.receive(
        own,
        "-NOPERM No permissions to access a channel\r\n".to_owned() + &confirmed("subscribe", "fine"),
    );
    assert_eq!(story.told(), ["2: no secret", "1: on fine"]);
    story.subscribe(SECOND_ONE, &["later"]);
    assert_eq!(story.written(own), "SUBSCRIBE later");
    story.receive(own, confirmed("subscribe", "later") + &message("later", "a"));
    assert_eq!(story.told(), ["2: on later", "2: later=a"]);
}

#[test]
fn ps_gap_announced_on_reconnect() {
    let (mut story, _, own) = Story::subscribed();
    story.receive(own, message("news", "a"));
    story.close(own);
    assert_eq!(story.told(), ["1: news=a"]);
    let again = story.redial();
    story.shake_hands(again);
    assert_eq!(story.written(again), "SUBSCRIBE news");
    story.receive(again, confirmed("subscribe", "news") + &message("news", "c"));
    let gap = format!("1: gap news {:?}", GapReason::ConnectionLost);
    assert_eq!(story.told(), [gap, "1: news=c".into()]);
}

#[test]
fn mv_pubsub_no_gap_no_dup() {
    let (mut story, shared, own) = Story::subscribed();
    story.receive(own, message("news", "1"));
    let (_, successor) = story.handed_off(shared);
    assert_eq!(story.written(successor), "SUBSCRIBE news");
    // Both connections receive what is published from the confirmation on.
    story.receive(own, message("news", "2") + &message("news", "3"));
    story.receive(successor, confirmed("subscribe", "news") + &message("news", "3"));
    assert_eq!(story.written(own), "UNSUBSCRIBE news");
    assert!(story.pool.connection(own).is_alive(), "it is read to its fence");
    story.receive(own, message("news", "4") + &confirmed("unsubscribe", "news"));
    // The successor has to be read as far as the predecessor was.
    assert_eq!(story.written(successor), "SUBSCRIBE news");
    story.receive(successor, message("news", "4") + &message("news", "5") + &confirmed("subscribe", "news"));
    let news = story.told();
    assert_eq!(news, ["1", "2", "3", "4", "5"].map(|number| format!("1: news={number}")));
    assert!(!story.pool.connection(own).is_alive());
    story.receive(successor, message("news", "6"));
    assert_eq!(story.told(), ["1: news=6"]);
}

#[test]
fn predecessor_delivers_until_a_lost_successor_is_replaced() {
    let (mut story, shared, own) = Story::subscribed();
    let (_, successor) = story.handed_off(shared);
    assert_eq!(story.written(successor), "SUBSCRIBE news");
    story.close(successor);
    story.receive(own, message("news", "1"));
    let again = loop {
        story.run(SECOND / 10);
        if let Some(dial) = story.dial() {
            break story.admit_dial(dial, 10);
        }
    };
    assert_eq!((again.entry, story.written(again)), (own.entry, "SUBSCRIBE news".into()));
    story.receive(again, confirmed("subscribe", "news") + &message("news", "2"));
    assert_eq!(story.written(own), "UNSUBSCRIBE news");
    story.receive(own, message("news", "2") + &confirmed("unsubscribe", "news"));
    assert_eq!(story.written(again), "SUBSCRIBE news");
    story.receive(again, confirmed("subscribe", "news") + &message("news", "3"));
    assert_eq!(story.told(), ["1", "2", "3"].map(|number| format!("1: news={number}")));
}

#[test]
fn next_handoff_of_subscriptions_waits_for_the_one_before() {
    let (mut story, shared, own) = Story::subscribed();
    let (next, successor) = story.handed_off(shared);
    story.written(successor);
    // The fence on the predecessor does not come.
    story.receive(successor, confirmed("subscribe", "news"));
    assert_eq!(story.written(own), "UNSUBSCRIBE news");
    story.receive(next, moving(2, 15, Some("10.0.0.3:6379")));
    let mut later = Vec::new();
    for _ in 0..20 {
        story.run(SECOND / 10);
        while let Some(dial) = story.dial() {
            later.push(story.admit_dial(dial, 9));
        }
    }
    let third = later.iter().find(|id| id.entry == own.entry).copied().expect("a successor");
    // The overlap has a bound of two seconds, after which the next handoff goes on.
    story.run(SECOND * 3);
    assert!(story.written(third).contains("SUBSCRIBE news"));
    assert!(!story.pool.connection(own).is_alive());
}

/// It counts for no command, so that later replies reach theirs.
#[test]
fn ps_unsolicited_sunsubscribe_keeps_reply_order() {
    let (mut story, _, own) = Story::subscribed();
    story.pool.renew(crate::proto::connection::Credentials::password("new"), story.now);
    story.subscribe(SECOND_ONE, &["other"]);
    assert_eq!(story.written(own), "AUTH new SUBSCRIBE other");
    story.receive(own, confirmed("sunsubscribe", "shard") + "+OK\r\n");
    story.receive(own, confirmed("sunsubscribe", "shard") + &confirmed("subscribe", "other"));
    assert_eq!(story.told(), ["2: on other"]);
    assert!(story.pool.connection(own).is_alive());
}

#[test]
fn ps_resp2() {
    let (mut story, shared) = Story::ready(config());
    story.subscribe(FIRST, &["news"]);
    let (id, endpoint, _) = story.dial().expect("a dial");
    assert!(story.pool.connection(id).handle_connected(endpoint.socket_addr(), None, story.now));
    story.written(id);
    story.receive(id, "-ERR unknown command 'HELLO'\r\n");
    story.written(id);
    story.receive(id, "+OK\r\n+OK\r\n");
    assert_eq!(story.written(id), "SUBSCRIBE news");
    story
        .receive(id, push('*', &["subscribe", "news"], ":1\r\n") + &push('*', &["message", "news", "a"], ""));
    assert_eq!(story.told(), ["1: on news", "1: news=a"]);
    // Arrays of other connections are replies, whatever they begin with.
    story.submit("LRANGE");
    story.written(shared);
    story.receive(shared, push('*', &["message", "news", "a"], ""));
    assert!(matches!(story.delivered.replies[..], [(1, Frame::Array(_))]) && story.told().is_empty());
}

#[test]
fn dead_subscriber_is_found_and_replaced() {
    let mut config = config();
    config.connection.idle_ping = SECOND * 5;
    let (mut story, shared) = Story::ready(config);
    story.subscribe(FIRST, &["news"]);
    let own = story.admit(7);
    story.written(own);
    story.receive(own, confirmed("subscribe", "news"));
    for _ in 0..20 {
        story.run(SECOND / 2);
        story.written(own);
        if story.written(shared).contains("PING") {
            story.receive(shared, "+PONG\r\n");
        }
    }
    assert!(!story.pool.connection(own).is_alive(), "it was silent although it was asked");
}

/// A message that arrives in one read takes a short path, and one that is cut does not.
#[test]
fn messages_are_delivered_and_counted_wherever_reads_end() {
    let (mut story, _, own) = Story::subscribed();
    let wire = [
        message("news", "a"),
        message("other", "b"),
        message("news", "c"),
        push('*', &["message", "news", "d"], ""),
    ]
    .concat();
    for cut in 0..wire.len() {
        let before = (story.pool.counters().pushes, story.pool.subscriptions());
        story.receive(own, &wire[..cut]);
        story.receive(own, &wire[cut..]);
        assert_eq!(story.told(), ["1: news=a", "1: news=c", "1: news=d"], "cut at {cut}");
        let after = story.pool.subscriptions();
        assert_eq!(story.pool.counters().pushes, before.0 + 4);
        assert_eq!((after.messages, after.strays), (before.1.messages + 3, before.1.strays + 1));
    }
}

#[test]
fn messages_that_no_subscription_wants_are_a_flood() {
    let (mut story, _, own) = Story::subscribed();
    let many = message("other", "x").repeat(10_000);
    assert!(!story.receive(own, many));
    let (mut story, _, own) = Story::subscribed();
    assert!(story.receive(own, message("news", "x").repeat(10_000)));
    assert_eq!(story.told().len(), 10_000);
}

#[test]
fn subscriptions_go_before_callers_that_wait() {
    let (mut story, _) = Story::ready(config());
    let first = story.block_once("BLPOP a 0");
    story.block_once("BLPOP b 0");
    story.submit_exclusive(EntryId::EXCLUSIVE, &["BLPOP c 0"]).unwrap();
    story.subscribe(FIRST, &["news"]);
    story.written(first);
    story.receive(first, "+a\r\n");
    story.turn();
    assert_eq!((story.written(first), story.pool.exclusive().waiting), ("SUBSCRIBE news".into(), 1));
    story.close_subscription(FIRST);
    assert_eq!(story.pool.exclusive().waiting, 1);
}
