//! The connection itself: handshake, authentication, database, liveness.

use super::options::integer;
use super::{Command, Context, NOT_AN_INTEGER, Outcome, SYNTAX_ERROR, client, wrong_arity};
use crate::rehearsal::data::number::parse_i64;
use crate::rehearsal::server::REDIS_VERSION;
use crate::rehearsal::wire::reply::{Failure, Protocol};
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
    Command::session("readonly", 1, no_cluster),
    Command::session("readwrite", 1, no_cluster),
    Command::session("cluster", -2, no_cluster),
];

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

fn ping(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match args.len() {
        1 => context.session.reply.raw(b"+PONG\r\n"),
        2 => context.session.reply.bulk(args.at(1)),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}

fn echo(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    context.session.reply.bulk(args.at(1));
    Ok(())
}

fn hello(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = Hello::parse(args)?;
    if let Some((user, password)) = options.credentials {
        if !is_right(context, user, password) {
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
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

struct Hello<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Failure> {
        let mut hello = Self { protocol: None, credentials: None, name: None };
        if let Some(version) = args.get(1) {
            let version =
                parse_i64(version).ok_or("ERR Protocol version is not an integer or out of range")?;
            hello.protocol = Some(match version {
                2 => Protocol::Resp2,
                3 => Protocol::Resp3,
                _ => return Err("NOPROTO unsupported protocol version".into()),
            });
        }
        let mut rest = args.from(2);
        while let Some(option) = rest.get(0) {
            rest = match (rest.get(1), rest.get(2)) {
                (Some(user), Some(password)) if option.eq_ignore_ascii_case(b"AUTH") => {
                    hello.credentials = Some((user, password));
                    rest.from(3)
                }
                (Some(name), _) if option.eq_ignore_ascii_case(b"SETNAME") => {
                    hello.name = Some(name);
                    rest.from(2)
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
                }
            };
        }
        Ok(hello)
    }
}

fn auth(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (user, password) = match args.len() {
        2 if context.world.config.password.is_none() => {
            return Err("ERR AUTH <password> called without any password configured for the \
                        default user. Are you sure your configuration is correct?"
                .into());
        }
        2 => (&b"default"[..], args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(SYNTAX_ERROR.into()),
    };
    if !is_right(context, user, password) {
        return Err(WRONG_PASSWORD.into());
    }
    context.session.authenticated = true;
    context.session.reply.ok();
    Ok(())
}

/// Without a configured password, user `default` is let in with any.
fn is_right(context: &Context<'_>, user: &[u8], password: &[u8]) -> bool {
    let wanted = context.world.config.password.as_ref();
    user == b"default" && wanted.is_none_or(|wanted| wanted.as_bytes() == password)
}

fn select(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let index = integer(args.at(1)).map_err(|_| Failure::from(NOT_AN_INTEGER))?;
    let databases = context.world.keyspace.databases().len();
    let index = usize::try_from(index).ok().filter(|&index| index < databases);
    context.session.database = index.ok_or("ERR DB index is out of range")?;
    context.session.reply.ok();
    Ok(())
}

fn no_cluster(_: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Err("ERR This instance has cluster support disabled".into())
}

fn quit(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.session.reply.ok();
    context.session.close();
    Ok(())
}

fn reset(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let session = &mut *context.session;
    session.transaction = None;
    session.unwatch_all(&mut context.world.keyspace);
    session.database = 0;
    session.name.clear();
    session.opt_in = None;
    session.authenticated = context.world.config.password.is_none();
    session.reply.protocol = Protocol::Resp2;
    session.reply.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::ServerConfig;
    use crate::rehearsal::commands::testing::Client;

    #[test]
    fn hello_chooses_the_protocol() {
        let mut client = Client::new();
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
    fn a_password_is_asked_for() {
        let config = ServerConfig { password: Some("secret".into()), ..ServerConfig::default() };
        assert!(!format!("{config:?}").contains("secret"));
        let mut client = Client::with(config);
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
        Client::new().expect_all(&[
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
