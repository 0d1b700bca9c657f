//! `CLIENT` and its subcommands.

use super::command::{
    CommandContext, CommandResult, SYNTAX_ERROR, fits, lossy, unknown_subcommand, wrong_arity,
};
use super::maint::maint_notifications;
use super::options::integer;
use super::unblocking;
use crate::rehearsal::ending::Ending;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::session::Session;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

pub(crate) fn client(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let wanted = args.at(1);
    let found = SUBCOMMANDS.iter().find(|(name, ..)| wanted.eq_ignore_ascii_case(name.as_bytes()));
    let &(name, arity, call) = found.ok_or_else(|| unknown_subcommand("CLIENT", args))?;
    if !fits(arity, args.len()) {
        return Err(wrong_arity(&format!("client|{name}")));
    }
    call(context, args)
}

/// Sets the name of the session. An empty name removes it.
pub(crate) fn set_name(session: &mut Session, name: &[u8]) -> CommandResult {
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err("ERR Client names cannot contain spaces, newlines or special characters.".into());
    }
    session.name = name.to_vec();
    Ok(())
}

fn setinfo(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let (option, value) = (args.at(2), args.at(3));
    let (field, name) = if option.eq_ignore_ascii_case(b"LIB-NAME") {
        (&mut context.session.library_name, "lib-name")
    } else if option.eq_ignore_ascii_case(b"LIB-VER") {
        (&mut context.session.library_version, "lib-ver")
    } else {
        let option = String::from_utf8_lossy(option);
        return Err(format!("ERR Unrecognized option '{option}'").into());
    };
    if !value.iter().all(u8::is_ascii_graphic) {
        let problem = "cannot contain spaces, newlines or special characters.";
        return Err(format!("ERR {name} {problem}").into());
    }
    *field = value.to_vec();
    context.session.reply.ok();
    Ok(())
}

fn list(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let option = args.at(2);
    let ids: Option<Vec<i64>> = if args.len() >= 4 && option.eq_ignore_ascii_case(b"ID") {
        let id = |id| integer(id).map_err(|_| ErrorReply::from("ERR Invalid client ID"));
        Some(args.from(3).iter().map(id).collect::<Result<_, _>>()?)
    } else if args.len() == 2 || (args.len() == 4 && option.eq_ignore_ascii_case(b"TYPE")) {
        None
    } else {
        return Err(SYNTAX_ERROR.into());
    };
    let here = &*context.session;
    let mut sessions: Vec<&Session> = context.others.values().map(|other| &**other).chain([here]).collect();
    sessions.sort_by_key(|session| session.id);
    let wanted = |session: &&Session| {
        ids.as_ref().is_none_or(|ids| ids.iter().any(|&id| u64::try_from(id) == Ok(session.id.0)))
    };
    let lines: String =
        sessions.into_iter().filter(wanted).map(|session| session.describe(context.now_us)).collect();
    context.session.reply.verbatim(&lines);
    Ok(())
}

/// `CLIENT KILL addr:port`, or with the filters `ID`, `ADDR`, `LADDR` and `SKIPME`.
fn kill(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let is_old_form = args.len() == 3;
    let filters = KillFilters::parse(args, is_old_form)?;
    let others = context.others.values().map(|other| &**other);
    let matching: Vec<SessionId> = others
        .chain((!filters.skips_caller).then_some(&*context.session))
        .filter(|session| filters.match_session(session))
        .map(|session| session.id)
        .collect();
    if is_old_form && matching.is_empty() {
        return Err("ERR No such client".into());
    }
    for id in &matching {
        match context.others.get_mut(id) {
            Some(other) => {
                // As in Redis, the client loses the output that it has not read.
                other.end_with(Ending::AtOnce);
                context.state.dirty_sessions.push(*id);
            }
            None => context.session.close(),
        }
    }
    match is_old_form {
        true => context.session.reply.ok(),
        false => context.session.reply.count(matching.len()),
    }
    Ok(())
}

struct KillFilters<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    skips_caller: bool,
}

impl<'a> KillFilters<'a> {
    fn parse(args: Args<'a>, is_old_form: bool) -> Result<Self, ErrorReply> {
        let mut filters = Self { id: None, peer: None, local: None, skips_caller: !is_old_form };
        if is_old_form {
            filters.peer = Some(args.at(2));
            return Ok(filters);
        }
        if !args.len().is_multiple_of(2) {
            return Err(SYNTAX_ERROR.into());
        }
        for (option, value) in args.from(2).pairs() {
            match option.to_ascii_uppercase().as_slice() {
                b"ID" => {
                    let id = integer(value).ok().and_then(|id| u64::try_from(id).ok());
                    let id = id.filter(|&id| id > 0);
                    filters.id = Some(id.ok_or("ERR client-id should be greater than 0")?);
                }
                b"ADDR" => filters.peer = Some(value),
                b"LADDR" => filters.local = Some(value),
                b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filters.skips_caller = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filters.skips_caller = false,
                _ => return Err(SYNTAX_ERROR.into()),
            }
        }
        Ok(filters)
    }

    fn match_session(&self, session: &Session) -> bool {
        self.id.is_none_or(|id| id == session.id.0)
            && self.peer.is_none_or(|peer| session.peer.to_string().as_bytes() == peer)
            && self.local.is_none_or(|local| session.local.to_string().as_bytes() == local)
    }
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`.
fn unblock(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let error = match args.get(3).unwrap_or(b"timeout").to_ascii_lowercase().as_slice() {
        _ if args.len() > 4 => {
            let name = lossy(args.at(1), 128);
            let problem = "unknown subcommand or wrong number of arguments for";
            return Err(format!("ERR {problem} '{name}'. Try CLIENT HELP.").into());
        }
        b"timeout" => None,
        b"error" => Some("UNBLOCKED client unblocked via CLIENT UNBLOCK".into()),
        _ => return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR".into()),
    };
    let id = u64::try_from(integer(args.at(2))?).ok().map(SessionId);
    // The caller executes this command, so it is not blocked.
    let other = id.and_then(|id| context.others.get_mut(&id));
    let is_unblocked =
        other.is_some_and(|other| unblocking::unblock(context.state, other, error, context.now_us));
    context.session.reply.flag(is_unblocked);
    Ok(())
}

/// `CLIENT NO-EVICT` and `CLIENT NO-TOUCH`, which have no effect in this server.
fn switch(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let value = args.at(2);
    if !value.eq_ignore_ascii_case(b"on") && !value.eq_ignore_ascii_case(b"off") {
        return Err(SYNTAX_ERROR.into());
    }
    context.session.reply.ok();
    Ok(())
}

/// A subcommand: its name, its arity with the command's name, and its function.
type Subcommand = (&'static str, i32, fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult);

const SUBCOMMANDS: [Subcommand; 14] = [
    ("id", 2, |context, _| {
        let id = context.session.id.0;
        context.session.reply.integer(i64::try_from(id).unwrap_or(i64::MAX));
        Ok(())
    }),
    ("info", 2, |context, _| {
        let line = context.session.describe(context.now_us);
        context.session.reply.verbatim(&line);
        Ok(())
    }),
    ("list", -2, list),
    ("setname", 3, |context, args| {
        set_name(context.session, args.at(2))?;
        context.session.reply.ok();
        Ok(())
    }),
    ("getname", 2, |context, _| {
        let Session { name, reply, .. } = &mut *context.session;
        reply.bulk_or_null((!name.is_empty()).then_some(name));
        Ok(())
    }),
    ("setinfo", 4, setinfo),
    ("kill", -3, kill),
    ("no-evict", 3, switch),
    ("no-touch", 3, switch),
    ("maint_notifications", -3, maint_notifications),
    ("unblock", -3, unblock),
    ("reply", 3, |context, args| match args.at(2).eq_ignore_ascii_case(b"on") {
        true => {
            context.session.reply.ok();
            Ok(())
        }
        false => Err("ERR CLIENT REPLY can only be ON here".into()),
    }),
    ("tracking", -3, |context, args| match args.at(2).eq_ignore_ascii_case(b"off") {
        true => {
            context.session.reply.ok();
            Ok(())
        }
        false => Err("ERR client-side caching is not supported here".into()),
    }),
    ("getredir", 2, |context, _| {
        context.session.reply.integer(-1);
        Ok(())
    }),
];

#[cfg(test)]
mod tests {
    use crate::rehearsal::Ending;
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn a_client_describes_itself() {
        let mut client = TestClient::new();
        client.expect_all(&[
            ("CLIENT ID", ":1\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
            ("CLIENT SETNAME me", "+OK\r\n"),
            ("CLIENT GETNAME", "$2\r\nme\r\n"),
            (
                "CLIENT SETNAME a\nb",
                "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
            ),
            ("CLIENT SETINFO LIB-NAME hitless", "+OK\r\n"),
            ("CLIENT SETINFO lib-ver 1.0", "+OK\r\n"),
            ("CLIENT SETINFO foo 1.0", "-ERR Unrecognized option 'foo'\r\n"),
            ("CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command\r\n"),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"),
        ]);
        let info = client.ask("CLIENT INFO");
        for part in
            ["id=1 addr=127.0.0.1:1 laddr=127.0.0.2:2 name=me ", "resp=2 lib-name=hitless lib-ver=1.0\n"]
        {
            assert!(info.contains(part), "{info}");
        }
        client.open();
        let list = client.ask("CLIENT LIST");
        assert_eq!(list.matches("\nid=").count(), 2, "{list}");
        assert_eq!(client.ask("CLIENT LIST ID 2").matches("\nid=").count(), 1);
    }

    #[test]
    fn requests_of_connecting_clients_are_answered() {
        TestClient::new().expect_all(&[
            ("CLIENT UNBLOCK 7", ":0\r\n"),
            ("client unblock 7 Error", ":0\r\n"),
            ("CLIENT UNBLOCK 7 maybe", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
            ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n"),
            ("CLIENT REPLY on", "+OK\r\n"),
            ("CLIENT REPLY OFF", "-ERR CLIENT REPLY can only be ON here\r\n"),
            ("CLIENT TRACKING off", "+OK\r\n"),
            ("CLIENT TRACKING ON", "-ERR client-side caching is not supported here\r\n"),
            ("CLIENT GETREDIR", ":-1\r\n"),
            ("CLIENT NO-EVICT on", "+OK\r\n"),
            ("READONLY", "-ERR This instance has cluster support disabled\r\n"),
            ("CLUSTER SHARDS", "-ERR This instance has cluster support disabled\r\n"),
        ]);
    }

    #[test]
    fn another_client_can_be_killed() {
        let mut client = TestClient::new();
        let other = client.open();
        client.expect_all(&[
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
            ("CLIENT KILL ID 1", ":0\r\n"),
            ("CLIENT KILL ID 2", ":1\r\n"),
        ]);
        assert_eq!(client.server.ending(other), Some(Ending::AtOnce));
        assert_eq!(client.server.next_dirty_session(), Some(other));
        client.expect("CLIENT KILL 127.0.0.1:1", "+OK\r\n");
        assert_eq!(client.server.ending(client.id), Some(Ending::AfterOutput));
    }
}
