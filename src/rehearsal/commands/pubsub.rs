//! Publish and subscribe.
//!
//! Channels belong to the server, not to a node or a database: a message reaches the subscribers at all nodes. It is in
//! their output when `PUBLISH` has its reply, so all subscribers get messages in the order of publication. A session that
//! publishes to itself gets the message behind the reply, as in Redis 7.2; Redis 7.0 sends it first.

use super::command::{Command, CommandContext, CommandResult, fits, lossy, unknown_subcommand, wrong_arity};
use crate::rehearsal::data::glob;
use crate::rehearsal::data::subscribers::SubscriptionKind;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::session::Session;
use crate::rehearsal::session::subscriptions::{SUBSCRIPTION_NAME_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::rehearsal::state::ServerState;
use crate::rehearsal::wire::reply::ReplyBuffer;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("subscribe", -2, |context, args| subscribe(context, args, &CHANNEL)),
    Command::session("unsubscribe", -1, |context, args| unsubscribe(context, args, &CHANNEL)),
    Command::session("psubscribe", -2, |context, args| subscribe(context, args, &PATTERN)),
    Command::session("punsubscribe", -1, |context, args| unsubscribe(context, args, &PATTERN)),
    Command::session("ssubscribe", -2, |context, args| match context.session.denies_blocking {
        true => Err("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client".into()),
        false => subscribe(context, args, &SHARD_CHANNEL),
    }),
    Command::session("sunsubscribe", -1, |context, args| unsubscribe(context, args, &SHARD_CHANNEL)),
    Command::session("publish", 3, publish),
    Command::session("spublish", 3, spublish),
    Command::session("pubsub", -2, pubsub),
];

/// Ends all subscriptions of a session, without confirmations. It must be called for each session that ends.
pub(crate) fn unsubscribe_all(state: &mut ServerState, session: &mut Session) {
    let subscriptions = std::mem::take(&mut session.subscriptions);
    for Family { kind, .. } in [CHANNEL, PATTERN, SHARD_CHANNEL] {
        for name in subscriptions.names(kind) {
            state.subscribers.remove(kind, name, session.id);
        }
    }
}

/// One kind of subscription, and the names of its commands, which confirmations repeat.
struct Family {
    kind: SubscriptionKind,
    subscribe: &'static str,
    unsubscribe: &'static str,
}

/// Subscribes to each name, and confirms each.
fn subscribe(context: &mut CommandContext<'_>, args: Args<'_>, family: &Family) -> CommandResult {
    let (session, names) = (&mut *context.session, args.from(1));
    if session.subscriptions.total() + names.len() > SUBSCRIPTIONS_MAX {
        return Err("ERR too many subscriptions".into());
    }
    if names.iter().any(|name| name.len() > SUBSCRIPTION_NAME_BYTES_MAX) {
        return Err("ERR the name of a channel or pattern is too long".into());
    }
    for name in names.iter() {
        if session.subscriptions.insert(family.kind, name) {
            context.state.subscribers.add(family.kind, name, session.id);
        }
        confirm(session, family.kind, family.subscribe, Some(name));
    }
    Ok(())
}

/// Unsubscribes from each name, or from all names of this kind, and confirms each.
fn unsubscribe(context: &mut CommandContext<'_>, args: Args<'_>, family: &Family) -> CommandResult {
    let session = &mut *context.session;
    let names: Vec<Box<[u8]>> = match args.len() {
        1 => session.subscriptions.names(family.kind).iter().cloned().collect(),
        _ => args.from(1).iter().map(Box::from).collect(),
    };
    if names.is_empty() {
        confirm(session, family.kind, family.unsubscribe, None);
    }
    for name in names {
        if session.subscriptions.remove(family.kind, &name) {
            context.state.subscribers.remove(family.kind, &name, session.id);
        }
        confirm(session, family.kind, family.unsubscribe, Some(&name));
    }
    Ok(())
}

/// Writes a confirmation. In RESP3 it is a push, and still the reply: it is not deferred.
fn confirm(session: &mut Session, kind: SubscriptionKind, word: &str, name: Option<&[u8]>) {
    let count = session.subscriptions.confirmed(kind);
    session.reply.push(3);
    session.reply.bulk(word.as_bytes());
    session.reply.bulk_or_null(name);
    session.reply.count(count);
}

/// `PUBLISH channel message`. A session gets the message once for its channel, and once for each pattern that matches.
fn publish(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (channel, message) = (args.at(1), args.at(2));
    let sessions = context.state.subscribers.of(SubscriptionKind::Channel, channel);
    let mut received = deliver(context, &sessions, &[b"message", channel, message]);
    for (pattern, sessions) in context.state.subscribers.matching(channel) {
        received += deliver(context, &sessions, &[b"pmessage", &pattern, channel, message]);
    }
    context.session.reply.count(received);
    Ok(())
}

/// `SPUBLISH channel message`. Without a cluster, all shard channels are on this server.
fn spublish(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (channel, message) = (args.at(1), args.at(2));
    let sessions = context.state.subscribers.of(SubscriptionKind::ShardChannel, channel);
    let received = deliver(context, &sessions, &[b"smessage", channel, message]);
    context.session.reply.count(received);
    Ok(())
}

/// Sends a message with these fields to `sessions`. Returns how many get it.
fn deliver(context: &mut CommandContext<'_>, sessions: &[SessionId], fields: &[&[u8]]) -> usize {
    if sessions.is_empty() {
        return 0;
    }
    let mut body = ReplyBuffer::default();
    fields.iter().for_each(|field| body.bulk(field));
    let mut received = 0;
    for id in sessions {
        let session = match context.others.get_mut(id) {
            Some(other) => &mut **other,
            None if *id == context.session.id => &mut *context.session,
            None => continue,
        };
        if session.is_open() {
            context.state.send_message(session, fields.len(), body.pending(), context.now_us);
            received += 1;
        }
    }
    received
}

fn pubsub(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let wanted = args.at(1);
    let found = SUBCOMMANDS.iter().find(|(name, ..)| wanted.eq_ignore_ascii_case(name.as_bytes()));
    let &(name, arity, call) = found.ok_or_else(|| unknown_subcommand("PUBSUB", args))?;
    if !fits(arity, args.len()) {
        return Err(wrong_arity(&format!("pubsub|{name}")));
    }
    call(context, args)
}

/// `PUBSUB CHANNELS [pattern]` and `PUBSUB SHARDCHANNELS [pattern]`, sorted by name.
fn channels(context: &mut CommandContext<'_>, args: Args<'_>, kind: SubscriptionKind) -> CommandResult {
    if args.len() > 3 {
        let name = lossy(args.at(1), 128);
        let problem = "unknown subcommand or wrong number of arguments for";
        return Err(format!("ERR {problem} '{name}'. Try PUBSUB HELP.").into());
    }
    let names = context.state.subscribers.names(kind);
    let is_wanted = |name: &&[u8]| args.get(2).is_none_or(|pattern| glob::matches(pattern, name));
    let names: Vec<&[u8]> = names.filter(is_wanted).collect();
    context.session.reply.array(names.len());
    names.iter().for_each(|name| context.session.reply.bulk(name));
    Ok(())
}

/// `PUBSUB NUMSUB [channel...]` and `PUBSUB SHARDNUMSUB [channel...]`.
fn subscriber_counts(
    context: &mut CommandContext<'_>,
    args: Args<'_>,
    kind: SubscriptionKind,
) -> CommandResult {
    let (channels, reply) = (args.from(2), &mut context.session.reply);
    reply.array(2 * channels.len());
    for channel in channels.iter() {
        reply.bulk(channel);
        reply.count(context.state.subscribers.count(kind, channel));
    }
    Ok(())
}

const CHANNEL: Family =
    Family { kind: SubscriptionKind::Channel, subscribe: "subscribe", unsubscribe: "unsubscribe" };
const PATTERN: Family =
    Family { kind: SubscriptionKind::Pattern, subscribe: "psubscribe", unsubscribe: "punsubscribe" };
const SHARD_CHANNEL: Family =
    Family { kind: SubscriptionKind::ShardChannel, subscribe: "ssubscribe", unsubscribe: "sunsubscribe" };

/// A subcommand: its name, its arity with the command's name, and its function.
type Subcommand = (&'static str, i32, fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult);

const SUBCOMMANDS: [Subcommand; 5] = [
    ("channels", -2, |context, args| channels(context, args, SubscriptionKind::Channel)),
    ("numsub", -2, |context, args| subscriber_counts(context, args, SubscriptionKind::Channel)),
    ("numpat", 2, |context, _| {
        let patterns = context.state.subscribers.names(SubscriptionKind::Pattern).len();
        context.session.reply.count(patterns);
        Ok(())
    }),
    ("shardchannels", -2, |context, args| channels(context, args, SubscriptionKind::ShardChannel)),
    ("shardnumsub", -2, |context, args| subscriber_counts(context, args, SubscriptionKind::ShardChannel)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::commands::testing::TestClient;
    use crate::rehearsal::wire::reply::REPLY_OVERRUN_BYTES_MAX;
    use crate::rehearsal::{Ending, NodeId};

    #[test]
    fn confirmations_count_as_in_redis() {
        TestClient::new().expect_all(&[
            ("SUBSCRIBE a a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".repeat(2).as_str()),
            ("PSUBSCRIBE b*", "*3\r\n$10\r\npsubscribe\r\n$2\r\nb*\r\n:2\r\n"),
            ("SSUBSCRIBE a", "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n"),
            ("UNSUBSCRIBE none", "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnone\r\n:2\r\n"),
            ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"),
            ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n"),
            ("PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$2\r\nb*\r\n:0\r\n"),
            ("GET k", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"),
            ("SUNSUBSCRIBE a b", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n*3\r\n$12\r\nsunsubscribe\r\n$1\r\nb\r\n:0\r\n"),
            ("GET k", "$-1\r\n"),
        ]);
    }

    #[test]
    fn messages_reach_all_nodes_in_order() {
        let mut client = TestClient::new();
        let peer = ([127, 0, 0, 1], 9).into();
        let elsewhere = client.server.open(NodeId(1), peer, client.now_us);
        let here = client.open();
        client.ask_from(elsewhere, "HELLO 3");
        client.ask_from(elsewhere, "SUBSCRIBE news");
        client.ask_from(elsewhere, "PSUBSCRIBE n* x");
        client.ask_from(here, "SUBSCRIBE news");
        client.ask_from(here, "SSUBSCRIBE news");
        client.dirty();
        client.expect_all(&[("PUBLISH news 1", ":3\r\n"), ("PUBLISH new 2", ":1\r\n"), ("PUBLISH x", "")]);
        client.expect_all(&[("SPUBLISH news 3", ":1\r\n"), ("SPUBLISH new 4", ":0\r\n")]);
        let mut dirty = client.dirty();
        dirty.sort();
        assert_eq!(dirty, [elsewhere, here]);
        assert_eq!(
            client.take_from(elsewhere),
            ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n\
             >4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\n1\r\n\
             >4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$3\r\nnew\r\n$1\r\n2\r\n"
        );
        assert_eq!(
            client.take_from(here),
            "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\n3\r\n"
        );
    }

    #[test]
    fn a_message_to_its_publisher_waits_behind_the_reply() {
        let mut client = TestClient::new();
        client.ask("HELLO 3");
        client.ask("SUBSCRIBE c");
        let message = |text| format!(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n{text}\r\n");
        client.expect("PUBLISH c a", &format!(":1\r\n{}", message("a")));
        client.expect_all(&[("MULTI", ""), ("PUBLISH c b", ""), ("PUBLISH c d", ""), ("SUBSCRIBE e", "")]);
        let replies = "*3\r\n:1\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\ne\r\n:2\r\n";
        client.expect("EXEC", &format!("{replies}{}{}", message("b"), message("d")));
    }

    #[test]
    fn a_blocked_session_gets_messages() {
        let mut client = TestClient::new();
        let blocked = client.open();
        client.ask_from(blocked, "HELLO 3");
        client.ask_from(blocked, "SUBSCRIBE c");
        client.expect_from(blocked, "BLPOP k 0", "");
        client.expect_all(&[("PUBLISH c m", ":1\r\n"), ("RPUSH k v", ":1\r\n")]);
        let expected = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n*2\r\n$1\r\nk\r\n$1\r\nv\r\n";
        assert_eq!(client.take_from(blocked), expected);
    }

    #[test]
    fn few_commands_are_allowed_to_subscribers_in_resp2() {
        let mut client = TestClient::new();
        client.ask("SUBSCRIBE c");
        let allowed =
            "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
        client.expect("CLIENT ID", &format!("-ERR Can't execute 'client|id': {allowed}\r\n"));
        let aborted = "-EXECABORT Transaction discarded because of: Can't execute 'exec'";
        client.expect("EXEC", &format!("{aborted}: {allowed}\r\n"));
        client.expect_all(&[
            ("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
            ("PING hi", "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n"),
            ("RESET", "+RESET\r\n"),
            ("PING", "+PONG\r\n"),
            ("PUBLISH c m", ":0\r\n"),
            ("HELLO 3", ""),
            ("SUBSCRIBE c", ""),
            ("PING", "+PONG\r\n"),
            ("SET k v", "+OK\r\n"),
        ]);
    }

    #[test]
    fn an_ended_session_is_no_subscriber() {
        let mut client = TestClient::new();
        let [gone, closing] = [client.open(), client.open()];
        for id in [gone, closing] {
            client.ask_from(id, "SUBSCRIBE c");
            client.ask_from(id, "PSUBSCRIBE *");
            client.ask_from(id, "SSUBSCRIBE s");
        }
        client.expect_all(&[("PUBSUB NUMPAT", ":1\r\n"), ("PUBSUB NUMSUB c", "*2\r\n$1\r\nc\r\n:2\r\n")]);
        client.server.close(closing);
        client.server.end(gone);
        client.expect_all(&[("PUBLISH c m", ":0\r\n"), ("PUBSUB SHARDCHANNELS", "*1\r\n$1\r\ns\r\n")]);
        client.server.end(closing);
        // A session to which the server has stopped replying gets no messages either.
        let silent = client.open();
        client.ask("REHEARSE MAINT silence");
        for line in ["HELLO 3", "SUBSCRIBE c", "CLIENT MAINT_NOTIFICATIONS ON"] {
            client.ask_from(silent, line);
        }
        client.expect("PUBLISH c m", ":0\r\n");
        assert_eq!(client.take_from(silent), "");
        client.server.end(silent);
        client.expect_all(&[("PUBSUB CHANNELS", "*0\r\n"), ("PUBSUB NUMPAT", ":0\r\n")]);
        client.expect("PUBSUB SHARDNUMSUB s", "*2\r\n$1\r\ns\r\n:0\r\n");
    }

    #[test]
    fn subscriptions_and_their_names_are_bounded() {
        let mut client = TestClient::new();
        let long = "x".repeat(SUBSCRIPTION_NAME_BYTES_MAX);
        client.expect(&format!("SUBSCRIBE {long}"), "");
        client.expect(
            &format!("PSUBSCRIBE a {long}x"),
            "-ERR the name of a channel or pattern is too long\r\n",
        );
        let names: String = (1..SUBSCRIPTIONS_MAX).map(|name| format!(" {name}")).collect();
        client.expect(&format!("SSUBSCRIBE{names}"), "");
        client.expect("SUBSCRIBE a", "-ERR too many subscriptions\r\n");
        client.expect("SUNSUBSCRIBE 1", "");
        client.expect("PSUBSCRIBE a", "*3\r\n$10\r\npsubscribe\r\n$1\r\na\r\n:2\r\n");
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_closed() {
        let mut client = TestClient::new();
        let subscriber = client.open();
        client.ask_from(subscriber, "SUBSCRIBE c");
        let session = client.server.sessions.get_mut(&subscriber).unwrap();
        session.push(&vec![0; REPLY_OVERRUN_BYTES_MAX]);
        client.expect_all(&[("PUBLISH c m", ":1\r\n"), ("PUBLISH c m", ":0\r\n")]);
        assert_eq!(client.server.ending(subscriber), Some(Ending::AtOnce));
        assert!(client.server.output(subscriber).is_empty() && client.dirty().contains(&subscriber));
    }
}
