//! `CLIENT MAINT_NOTIFICATIONS`: opting in to maintenance notifications, and opting out.

use super::command::{CommandContext, CommandResult, unknown_subcommand, wrong_arity};
use crate::rehearsal::ending::Ending;
use crate::rehearsal::maintenance::opt_in::{EndpointType, OptInReply};
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

/// `CLIENT MAINT_NOTIFICATIONS ON|OFF [moving-endpoint-type type]`.
pub(crate) fn maint_notifications(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let node = context.state.nodes.get(context.session.node.0);
    let reply = node.map_or(OptInReply::Ok, |node| node.opt_in_reply.clone());
    let has_type = args.len() > 3;
    match reply {
        OptInReply::Unknown => return Err(unknown_subcommand("CLIENT", args)),
        OptInReply::NoPermission => {
            return Err("NOPERM User default has no permissions to run the 'client|maint_notifications' \
                        command"
                .into());
        }
        OptInReply::Disabled => {
            return Err("ERR Maintenance notifications are disabled on this server".into());
        }
        OptInReply::Syntax if has_type => {
            return Err(format!("ERR syntax error: unknown parameter '{PARAMETER}'").into());
        }
        OptInReply::Garbage(bytes) => {
            context.session.reply.raw(&bytes);
            return Ok(());
        }
        OptInReply::Silence => {
            context.session.is_silent = true;
            return Ok(());
        }
        OptInReply::Close => {
            context.session.end_with(Ending::AtOnce);
            return Ok(());
        }
        OptInReply::Ok | OptInReply::Syntax => {}
    }
    let wanted = requested_type(args)?;
    if args.at(2).eq_ignore_ascii_case(b"off") {
        context.session.opt_in = None;
        context.session.reply.ok();
        return Ok(());
    }
    if !args.at(2).eq_ignore_ascii_case(b"on") {
        let found = String::from_utf8_lossy(args.at(2));
        return Err(format!("ERR MAINT_NOTIFICATIONS takes ON or OFF, not '{found}'").into());
    }
    context.session.opt_in = Some(wanted);
    let (node, session, name) = (context.session.node, context.session.id, &context.session.name);
    tracing::info!(%node, %session, endpoint_type = wanted.name(), name = %name.escape_ascii(), "opted in");
    context.session.reply.ok();
    // Real servers send these pushes in one write with the +OK, and so does this one.
    let replayed = context.state.nodes.get(context.session.node.0).map(|node| node.replayed());
    for notification in replayed.unwrap_or_default() {
        context.state.notify(context.session, &notification, context.now_us);
    }
    Ok(())
}

/// The endpoint type that `args` request.
fn requested_type(args: Args<'_>) -> Result<EndpointType, ErrorReply> {
    match args.len() {
        3 => Ok(EndpointType::ServerDefault),
        5 if !args.at(3).eq_ignore_ascii_case(PARAMETER.as_bytes()) => {
            let found = String::from_utf8_lossy(args.at(3));
            Err(format!("ERR syntax error: unknown parameter '{found}', expected '{PARAMETER}'").into())
        }
        5 => EndpointType::named(args.at(4)).ok_or_else(|| {
            let found = String::from_utf8_lossy(args.at(4));
            let known = EndpointType::NAMED.map(EndpointType::name).join(", ");
            format!("ERR syntax error: '{PARAMETER}' cannot be '{found}', only one of {known}").into()
        }),
        _ => Err(wrong_arity("client|maint_notifications")),
    }
}

const PARAMETER: &str = "moving-endpoint-type";

#[cfg(test)]
mod tests {
    use crate::rehearsal::Ending;
    use crate::rehearsal::commands::testing::TestClient;
    use crate::rehearsal::maintenance::opt_in::EndpointType;

    #[test]
    fn every_form_in_any_case_is_accepted() {
        let mut client = TestClient::new();
        for line in [
            "CLIENT MAINT_NOTIFICATIONS ON",
            "client maint_notifications on",
            "Client Maint_Notifications Off",
            "CLIENT MAINT_NOTIFICATIONS OFF moving-endpoint-type none",
            "CLIENT MAINT_NOTIFICATIONS on MOVING-ENDPOINT-TYPE Internal-IP",
        ] {
            client.expect(line, "+OK\r\n");
        }
        for wanted in EndpointType::NAMED {
            let line = format!("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type {}", wanted.name());
            client.expect(&line, "+OK\r\n");
        }
    }

    #[test]
    fn errors_name_the_wrong_argument() {
        TestClient::new().expect_all(&[
            (
                "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type public",
                "-ERR syntax error: 'moving-endpoint-type' cannot be 'public', only one of internal-ip, \
                 internal-fqdn, external-ip, external-fqdn, none\r\n",
            ),
            (
                "CLIENT MAINT_NOTIFICATIONS ON endpoint none",
                "-ERR syntax error: unknown parameter 'endpoint', expected 'moving-endpoint-type'\r\n",
            ),
            ("CLIENT MAINT_NOTIFICATIONS maybe", "-ERR MAINT_NOTIFICATIONS takes ON or OFF, not 'maybe'\r\n"),
            (
                "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type",
                "-ERR wrong number of arguments for 'client|maint_notifications' command\r\n",
            ),
        ]);
    }

    #[test]
    fn a_node_sends_its_configured_opt_in_reply() {
        const ON: &str = "CLIENT MAINT_NOTIFICATIONS ON";
        const TYPED: &str = "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type none";
        let mut client = TestClient::new();
        for (answer, line, reply) in [
            ("unknown", ON, "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"),
            (
                "noperm",
                ON,
                "-NOPERM User default has no permissions to run the 'client|maint_notifications' command\r\n",
            ),
            ("disabled", ON, "-ERR Maintenance notifications are disabled on this server\r\n"),
            ("syntax", ON, "+OK\r\n"),
            ("syntax", TYPED, "-ERR syntax error: unknown parameter 'moving-endpoint-type'\r\n"),
            ("garbage", ON, "+MAYBE\r\n"),
            ("garbage :1\\r\\n", ON, ":1\r\n"),
            ("ok", TYPED, "+OK\r\n"),
        ] {
            client.expect(&format!("REHEARSE MAINT {answer}"), "+OK\r\n");
            client.expect(line, reply);
        }
        let other = client.open();
        client.expect("REHEARSE MAINT silence", "+OK\r\n");
        let controller = std::mem::replace(&mut client.id, other);
        client.expect(ON, "");
        assert_eq!((client.ask("PING").as_str(), client.server.ending(other)), ("", None));
        client.id = controller;
        client.expect("REHEARSE MAINT close", "+OK\r\n");
        assert_eq!(client.ask(ON), "");
        assert_eq!(client.server.ending(controller), Some(Ending::AtOnce));
    }

    #[test]
    fn resp2_may_opt_in_but_gets_no_pushes() {
        let mut client = TestClient::new();
        client.expect_all(&[
            ("REHEARSE MIGRATING 5", "+OK\r\n"),
            ("CLIENT MAINT_NOTIFICATIONS ON", "+OK\r\n"),
            ("REHEARSE MIGRATED", "+OK\r\n"),
            ("HELLO 3", ""),
            ("REHEARSE MIGRATED", "+OK\r\n>3\r\n$8\r\nMIGRATED\r\n:2\r\n$5\r\n[\"1\"]\r\n"),
            ("CLIENT MAINT_NOTIFICATIONS OFF", "+OK\r\n"),
            ("REHEARSE MIGRATED", "+OK\r\n"),
        ]);
    }

    #[test]
    fn open_windows_follow_the_ok_also_after_a_transaction() {
        const MIGRATED: &str = ">3\r\n$8\r\nMIGRATED\r\n:0\r\n$5\r\n[\"1\"]\r\n";
        const MOVING: &str = ">4\r\n$6\r\nMOVING\r\n:1\r\n:4\r\n$11\r\n127.0.0.1:9\r\n";
        let mut client = TestClient::new();
        client.expect_all(&[
            ("REHEARSE MIGRATED", "+OK\r\n"),
            ("REHEARSE MOVING 5 127.0.0.1:9", "+OK: 0 of 0 connections were told\r\n"),
            ("HELLO 3", ""),
        ]);
        client.advance_ms(1_500);
        client.expect_all(&[
            ("CLIENT MAINT_NOTIFICATIONS ON", &format!("+OK\r\n{MIGRATED}{MOVING}")),
            ("MULTI", "+OK\r\n"),
            ("CLIENT MAINT_NOTIFICATIONS ON", "+QUEUED\r\n"),
            ("PING", "+QUEUED\r\n"),
            ("EXEC", &format!("*2\r\n+OK\r\n+PONG\r\n{MIGRATED}{MOVING}")),
            ("REHEARSE REPLAY closers off", "+OK\r\n"),
            ("CLIENT MAINT_NOTIFICATIONS ON", &format!("+OK\r\n{MOVING}")),
            ("REHEARSE REPLAY off", "+OK\r\n"),
            ("CLIENT MAINT_NOTIFICATIONS ON", "+OK\r\n"),
        ]);
    }
}
