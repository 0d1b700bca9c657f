//! Commands on the server: `INFO`, `CONFIG`, `TIME`, `FLUSHALL`.

use super::command::{Command, CommandContext, CommandResult, unknown_subcommand, wrong_arity};
use super::keys;
use crate::rehearsal::config::REDIS_VERSION;
use crate::rehearsal::data::glob;
use crate::rehearsal::data::subscribers::SubscriptionKind;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("info", -1, info),
    Command::session("config", -2, config),
    Command::session("time", 1, time),
    Command::session("flushall", -1, flushall),
];

fn info(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let wanted = |section: &str| {
        let every = ["all", "default", "everything"];
        args.len() == 1
            || args.from(1).iter().any(|name| {
                name.eq_ignore_ascii_case(section.as_bytes())
                    || every.iter().any(|every| name.eq_ignore_ascii_case(every.as_bytes()))
            })
    };
    let parts: Vec<String> =
        sections(context).into_iter().filter(|(name, _)| wanted(name)).map(|(_, text)| text).collect();
    context.session.reply.verbatim(&parts.join("\r\n"));
    Ok(())
}

fn sections(context: &CommandContext<'_>) -> [(&'static str, String); 6] {
    let state = &context.state;
    let uptime_s = context.now_us.saturating_sub(state.started_us) / 1_000_000;
    let mode = if state.cluster.is_some() { "cluster" } else { "standalone" };
    // In a cluster, each shard has its own database, which clients know as number 0.
    let first = if state.cluster.is_some() { context.session.database } else { 0 };
    let shown = if state.cluster.is_some() { 1 } else { usize::MAX };
    let keyspace: String = (state.keyspace.databases().iter().skip(first).take(shown).enumerate())
        .filter(|(_, db)| db.len() > 0)
        .map(|(index, db)| format!("db{index}:keys={},expires={},avg_ttl=0\r\n", db.len(), db.expiring()))
        .collect();
    [
        (
            "server",
            format!(
                "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:{mode}\r\n\
                 hitless_rehearsal:1\r\nos:Linux\r\narch_bits:{}\r\ntcp_port:{}\r\n\
                 uptime_in_seconds:{uptime_s}\r\n",
                usize::BITS,
                context.session.local.port(),
            ),
        ),
        (
            "clients",
            format!(
                "# Clients\r\nconnected_clients:{}\r\nblocked_clients:{}\r\n",
                context.others.len() + 1,
                state.blocked.count()
            ),
        ),
        (
            "stats",
            format!(
                "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
                 pubsub_channels:{}\r\npubsub_patterns:{}\r\npubsubshard_channels:{}\r\n",
                state.sessions_opened,
                state.commands,
                state.subscribers.names(SubscriptionKind::Channel).len(),
                state.subscribers.names(SubscriptionKind::Pattern).len(),
                state.subscribers.names(SubscriptionKind::ShardChannel).len(),
            ),
        ),
        ("replication", replication(context)),
        ("cluster", format!("# Cluster\r\ncluster_enabled:{}\r\n", u8::from(state.cluster.is_some()))),
        ("keyspace", format!("# Keyspace\r\n{keyspace}")),
    ]
}

fn replication(context: &CommandContext<'_>) -> String {
    let mut text = "# Replication\r\n".to_owned();
    let Some(cluster) = &context.state.cluster else {
        return text + "role:master\r\nconnected_slaves:0\r\n";
    };
    let (me, topology) = (cluster.at(context.session.node), &cluster.topology);
    let primary = topology.member(me).and_then(|member| topology.member(member.primary?));
    match primary.map(|primary| primary.address) {
        Some(address) => text.push_str(&format!(
            "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:up\r\n",
            address.ip(),
            address.port()
        )),
        None => text.push_str("role:master\r\n"),
    }
    text.push_str(&format!("connected_slaves:{}\r\n", topology.replicas(me).count()));
    text
}

fn config(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    if !args.at(1).eq_ignore_ascii_case(b"get") {
        return Err(unknown_subcommand("CONFIG", args));
    }
    if args.len() < 3 {
        return Err(wrong_arity("config|get"));
    }
    let is_cluster = context.state.cluster.is_some();
    let databases = if is_cluster { 1 } else { context.state.keyspace.databases().len() };
    let (databases, enabled) = (databases.to_string(), if is_cluster { "yes" } else { "no" });
    let reply = &mut context.session.reply;
    let is_wanted = |name: &str| {
        let mut patterns = args.from(2).iter().map(<[u8]>::to_ascii_lowercase);
        patterns.any(|pattern| glob::matches(&pattern, name.as_bytes()))
    };
    let found: Vec<_> = SETTINGS.iter().filter(|(name, _)| is_wanted(name)).collect();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(match *name {
            "databases" => databases.as_bytes(),
            "cluster-enabled" => enabled.as_bytes(),
            _ => value.as_bytes(),
        });
    }
    Ok(())
}

fn time(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let (seconds, micros) = (context.now_us / 1_000_000, context.now_us % 1_000_000);
    context.session.reply.array(2);
    context.session.reply.bulk(itoa::Buffer::new().format(seconds).as_bytes());
    context.session.reply.bulk(itoa::Buffer::new().format(micros).as_bytes());
    Ok(())
}

fn flushall(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    keys::check_flush_mode(args)?;
    match context.state.cluster {
        // The other databases belong to other shards.
        Some(_) => context.state.keyspace.database(context.session.database).clear(),
        None => context.state.keyspace.clear(),
    }
    context.session.reply.ok();
    Ok(())
}

/// The settings that tools read at their start.
const SETTINGS: [(&str, &str); 8] = [
    ("appendonly", "no"),
    ("cluster-enabled", "no"),
    ("databases", "16"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "536870912"),
    ("save", ""),
    ("timeout", "0"),
];

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn the_server_describes_itself() {
        let mut client = TestClient::new();
        client.expect_all(&[
            ("SET k v EX 9", "+OK\r\n"),
            ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("CONFIG GET none", "*0\r\n"),
            ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"),
            ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
            ("TIME", "*2\r\n$4\r\n1000\r\n$1\r\n0\r\n"),
            ("INFO keyspace", "$44\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n\r\n"),
        ]);
        for section in ["redis_version:7.2.0", "connected_clients:1", "role:master"] {
            assert!(client.ask("INFO").contains(section));
        }
        client.expect("FLUSHALL", "+OK\r\n");
        client.expect("INFO keyspace", "$12\r\n# Keyspace\r\n\r\n");
        client.ask("HELLO 3");
        client.expect("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
        assert!(client.ask("INFO").starts_with('='));
    }
}
