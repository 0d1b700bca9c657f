//! Commands on the connection: handshake, authentication, database, `PING`.

use super::command::{Command, CommandContext, CommandResult, NOT_AN_INTEGER, SYNTAX_ERROR, wrong_arity};
use super::options::integer;
use super::{client, pubsub};
use crate::rehearsal::config::REDIS_VERSION;
use crate::rehearsal::wire::hello::Hello;
use crate::rehearsal::wire::reply::{ErrorReply, Protocol};
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[
    Command::session("ping", -1, ping),
    Command::session("echo", 2, echo),
    Command::session("hello", -1, hello),
    Command::session("auth", -2, auth),
    Command::session("select", 2, select),
    Command::session("quit", -1, quit),
    Command::session("reset", 1, reset),
    Command::session("client", -2, client::client),
];

fn ping(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let session = &mut *context.session;
    match args.len() {
        1 | 2 if session.is_subscribed_in_resp2() => {
            // A client of RESP2 tells this array from messages by its first element.
            session.reply.array(2);
            session.reply.bulk(b"pong");
            session.reply.bulk(args.at(1));
        }
        1 => session.reply.raw(b"+PONG\r\n"),
        2 => session.reply.bulk(args.at(1)),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

fn echo(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    context.session.reply.bulk(args.at(1));
    Ok(())
}

fn hello(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let options = Hello::parse(args)?;
    if let Some((user, password)) = options.credentials {
        if !is_authentic(context, user, password) {
            return Err(WRONG_PASSWORD.into());
        }
        context.session.authenticated = true;
    }
    if !context.session.authenticated {
        return Err("NOAUTH HELLO must be called with the client already authenticated, otherwise \
                    the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the \
                    client and select the RESP protocol version at the same time"
            .into());
    }
    if let Some(name) = options.name {
        client::set_name(context.session, name)?;
    }
    if let Some(protocol) = options.protocol {
        context.session.reply.protocol = protocol;
    }
    let id = context.session.id.0;
    let cluster = context.state.cluster.as_ref();
    let mode = if cluster.is_some() { "cluster" } else { "standalone" };
    let is_replica = cluster.is_some_and(|cluster| cluster.is_replica(cluster.at(context.session.node)));
    let role = if is_replica { "replica" } else { "master" };
    let reply = &mut context.session.reply;
    let version = if reply.protocol == Protocol::Resp3 { 3 } else { 2 };
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(version);
    reply.bulk(b"id");
    reply.integer(i64::try_from(id).unwrap_or(i64::MAX));
    for (field, value) in [("mode", mode), ("role", role)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn auth(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (user, password) = match args.len() {
        2 if context.state.config.password.is_none() => {
            return Err("ERR AUTH <password> called without any password configured for the \
                        default user. Are you sure your configuration is correct?"
                .into());
        }
        2 => (&b"default"[..], args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(SYNTAX_ERROR.into()),
    };
    if !is_authentic(context, user, password) {
        return Err(WRONG_PASSWORD.into());
    }
    context.session.authenticated = true;
    context.session.reply.ok();
    Ok(())
}

/// Checks the credentials. Without a configured password, user `default` may give any password.
fn is_authentic(context: &CommandContext<'_>, user: &[u8], password: &[u8]) -> bool {
    let wanted = context.state.config.password.as_ref();
    user == b"default" && wanted.is_none_or(|wanted| wanted.as_bytes() == password)
}

fn select(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let index = integer(args.at(1)).map_err(|_| ErrorReply::from(NOT_AN_INTEGER))?;
    if context.state.cluster.is_some() {
        // The databases of a cluster are its shards.
        return match index {
            0 => {
                context.session.reply.ok();
                Ok(())
            }
            _ => Err("ERR SELECT is not allowed in cluster mode".into()),
        };
    }
    let databases = context.state.keyspace.databases().len();
    let index = usize::try_from(index).ok().filter(|&index| index < databases);
    context.session.database = index.ok_or("ERR DB index is out of range")?;
    context.session.reply.ok();
    Ok(())
}

fn quit(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    context.session.reply.ok();
    context.session.close();
    Ok(())
}

fn reset(context: &mut CommandContext<'_>, _: Args<'_>) -> CommandResult {
    let session = &mut *context.session;
    session.transaction = None;
    session.unwatch_all(&mut context.state.keyspace);
    pubsub::unsubscribe_all(context.state, session);
    session.database = context.state.first_database(session.node);
    session.cluster.is_asking = false;
    session.cluster.reads_replica = false;
    session.name.clear();
    session.opt_in = None;
    session.authenticated = context.state.config.password.is_none();
    session.reply.protocol = Protocol::Resp2;
    session.reply.simple("RESET");
    Ok(())
}

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

#[cfg(test)]
mod tests {
    use crate::rehearsal::ServerConfig;
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn hello_chooses_the_protocol() {
        let mut client = TestClient::new();
        let fields = "$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n";
        let rest = "$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n\
                    $6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
        client.expect("HELLO", &format!("*14\r\n{fields}$5\r\nproto\r\n:2\r\n{rest}"));
        client.expect(
            "HELLO 3 AUTH default any SETNAME me",
            &format!("%7\r\n{fields}$5\r\nproto\r\n:3\r\n{rest}"),
        );
        client.expect_all(&[
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
            ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
            ("HELLO 3 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
            ("RESET", "+RESET\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
        ]);
    }

    #[test]
    fn a_configured_password_is_required() {
        let config = ServerConfig { password: Some("secret".into()), ..ServerConfig::default() };
        assert!(!format!("{config:?}").contains("secret"));
        let mut client = TestClient::with(config);
        client.expect_all(&[
            ("PING", "-NOAUTH Authentication required.\r\n"),
            ("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
            ("AUTH other secret", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
        ]);
        assert!(client.ask("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
        client.expect_all(&[("AUTH secret", "+OK\r\n"), ("PING", "+PONG\r\n")]);
        client.expect_all(&[("RESET", "+RESET\r\n"), ("PING", "-NOAUTH Authentication required.\r\n")]);
        assert!(client.ask("HELLO 2 AUTH default secret").starts_with("*14\r\n"));
        client.expect("PING", "+PONG\r\n");
    }

    #[test]
    fn databases_are_separate() {
        TestClient::new().expect_all(&[
            ("SET k v", "+OK\r\n"),
            ("SELECT 1", "+OK\r\n"),
            ("GET k", "$-1\r\n"),
            ("SELECT 16", "-ERR DB index is out of range\r\n"),
            ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
            ("SELECT 0", "+OK\r\n"),
            ("GET k", "$1\r\nv\r\n"),
            ("PING hi", "$2\r\nhi\r\n"),
            ("ECHO hi", "$2\r\nhi\r\n"),
            ("QUIT", "+OK\r\n"),
            ("PING", ""),
        ]);
    }
}
