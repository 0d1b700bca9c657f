//! The server as a whole: `INFO`, `COMMAND`, `CONFIG`, `TIME`, `FLUSHALL`.

use super::{Command, Context, Outcome, all, keys, unknown_subcommand, wrong_arity};
use crate::rehearsal::data::glob;
use crate::rehearsal::server::REDIS_VERSION;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("info", -1, info),
    Command::session("command", -1, command),
    Command::session("config", -2, config),
    Command::session("time", 1, time),
    Command::session("flushall", -1, flushall),
];

fn info(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
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

fn sections(context: &Context<'_>) -> [(&'static str, String); 6] {
    let world = &context.world;
    let uptime_s = context.now_us.saturating_sub(world.started_us) / 1_000_000;
    let keyspace: String = (world.keyspace.databases().iter().enumerate())
        .filter(|(_, db)| db.len() > 0)
        .map(|(index, db)| format!("db{index}:keys={},expires={},avg_ttl=0\r\n", db.len(), db.expiring()))
        .collect();
    [
        (
            "server",
            format!(
                "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\n\
                 hitless_rehearsal:1\r\nos:Linux\r\narch_bits:{}\r\ntcp_port:{}\r\n\
                 uptime_in_seconds:{uptime_s}\r\n",
                usize::BITS,
                context.session.local.port(),
            ),
        ),
        (
            "clients",
            format!("# Clients\r\nconnected_clients:{}\r\nblocked_clients:0\r\n", context.others.len() + 1),
        ),
        (
            "stats",
            format!(
                "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n",
                world.sessions_opened, world.commands
            ),
        ),
        ("replication", "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n".to_owned()),
        ("cluster", "# Cluster\r\ncluster_enabled:0\r\n".to_owned()),
        ("keyspace", format!("# Keyspace\r\n{keyspace}")),
    ]
}

/// Nothing is said about the commands: `redis-cli` then uses what it was built with.
fn command(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let reply = &mut context.session.reply;
    let subcommand = args.at(1);
    if subcommand.is_empty() {
        reply.array(0);
    } else if subcommand.eq_ignore_ascii_case(b"docs") {
        reply.map(0);
    } else if subcommand.eq_ignore_ascii_case(b"count") {
        reply.count(all().count());
    } else {
        return Err(unknown_subcommand("COMMAND", args));
    }
    Ok(())
}

/// The settings that tools ask for before they start.
const SETTINGS: [(&str, &str); 7] = [
    ("appendonly", "no"),
    ("databases", "16"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("proto-max-bulk-len", "536870912"),
    ("save", ""),
    ("timeout", "0"),
];

fn config(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if !args.at(1).eq_ignore_ascii_case(b"get") {
        return Err(unknown_subcommand("CONFIG", args));
    }
    if args.len() < 3 {
        return Err(wrong_arity("config|get"));
    }
    let databases = context.world.keyspace.databases().len().to_string();
    let reply = &mut context.session.reply;
    let is_wanted = |name: &str| {
        let mut patterns = args.from(2).iter().map(<[u8]>::to_ascii_lowercase);
        patterns.any(|pattern| glob::matches(&pattern, name.as_bytes()))
    };
    let found: Vec<_> = SETTINGS.iter().filter(|(name, _)| is_wanted(name)).collect();
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name.as_bytes());
        reply.bulk(if *name == "databases" { databases.as_bytes() } else { value.as_bytes() });
    }
    Ok(())
}

fn time(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let (seconds, micros) = (context.now_us / 1_000_000, context.now_us % 1_000_000);
    context.session.reply.array(2);
    context.session.reply.bulk(itoa::Buffer::new().format(seconds).as_bytes());
    context.session.reply.bulk(itoa::Buffer::new().format(micros).as_bytes());
    Ok(())
}

fn flushall(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    keys::check_flush_mode(args)?;
    context.world.keyspace.clear();
    context.session.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::Client;

    #[test]
    fn the_server_describes_itself() {
        let mut client = Client::new();
        client.expect_all(&[
            ("SET k v EX 9", "+OK\r\n"),
            ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
            ("CONFIG GET none", "*0\r\n"),
            ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"),
            ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
            ("TIME", "*2\r\n$4\r\n1000\r\n$1\r\n0\r\n"),
            ("COMMAND", "*0\r\n"),
            ("COMMAND DOCS", "*0\r\n"),
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
