//! Refuses commands that cannot run on a shared connection, before they are sent. [`SharingPolicy`] knows them; this file says
//! what a redis-rs program uses instead, and allows a transaction that a pipeline spells out.

use redis::{Arg, ErrorKind, RedisResult};

use crate::command::{Carrier, Conflict, SharingPolicy};

/// The connection that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One that is shared.
    Shared,
    /// One for itself.
    Exclusive,
    /// One that the caller has for itself until the end of the transaction.
    Session,
    /// One that the caller has for itself from then on.
    OwnSession,
}

/// The connection that this command needs, of a handle that has a session or has none.
///
/// # Errors
/// If none carries it; the text says what to use instead.
pub(super) fn place(command: &redis::Cmd, has_session: bool) -> RedisResult<Place> {
    let conflict = conflict(command);
    if has_session && !matches!(conflict, Some(Conflict::SelectsDatabase | Conflict::ChangesState)) {
        return check_in_session(command).map(|()| Place::Session);
    }
    match conflict {
        None => Ok(Place::Shared),
        Some(Conflict::Blocks) => Ok(Place::Exclusive),
        Some(Conflict::Watches | Conflict::BeginsTransaction) => Ok(Place::Session),
        Some(Conflict::SelectsDatabase | Conflict::ChangesState) => Ok(Place::OwnSession),
        Some(conflict) => refused(command, conflict).map(|()| Place::Shared),
    }
}

/// The connection that a pipeline needs, of a handle that has a session or has none. A transaction of redis-rs is sent in one
/// piece, so by itself it needs none.
pub(super) fn place_of_all(pipeline: &redis::Pipeline, has_session: bool) -> Place {
    let conflicts = || pipeline.cmd_iter().filter_map(conflict).filter(|_| !pipeline.is_transaction());
    let changes = |conflict| matches!(conflict, Conflict::SelectsDatabase | Conflict::ChangesState);
    if conflicts().any(changes) {
        return Place::OwnSession;
    }
    match has_session || conflicts().any(|conflict| conflict == Conflict::Watches) {
        true => Place::Session,
        false => Place::Shared,
    }
}

/// Whether a handle without a session of its own can send this command.
///
/// # Errors
/// If it cannot; the text says what to use instead.
pub(super) fn check(command: &redis::Cmd) -> RedisResult<Carrier> {
    match place(command, false)? {
        Place::Shared => Ok(Carrier::Shared),
        Place::Exclusive => Ok(Carrier::Exclusive),
        Place::Session | Place::OwnSession => {
            let conflict = conflict(command).unwrap_or(Conflict::Watches);
            refused(command, conflict).map(|()| Carrier::Shared)
        }
    }
}

/// Whether a session can carry this command.
///
/// # Errors
/// If it cannot; the text says what to use instead.
pub(super) fn check_in_session(command: &redis::Cmd) -> RedisResult<()> {
    match conflict(command) {
        Some(
            conflict @ (Conflict::Subscribes | Conflict::Streams | Conflict::DropsReplies | Conflict::Closes),
        ) => refused(command, conflict),
        _ => Ok(()),
    }
}

/// Whether the command ends a watch, and the transaction.
pub(super) fn ends_transaction(command: &redis::Cmd) -> bool {
    let name = command.args_iter().next();
    let is =
        |known: &str| matches!(name, Some(Arg::Simple(name)) if name.eq_ignore_ascii_case(known.as_bytes()));
    is("EXEC") || is("DISCARD") || is("UNWATCH")
}

/// # Errors
/// If one of the commands cannot be sent even among the others. A pipeline may spell a transaction out.
pub(super) fn check_all(pipeline: &redis::Pipeline) -> RedisResult<()> {
    let mut begun = None;
    for command in pipeline.cmd_iter() {
        match conflict(command) {
            None => {}
            // In a transaction the server does not wait.
            Some(Conflict::Blocks) if pipeline.is_transaction() || begun.is_some() => {}
            Some(Conflict::BeginsTransaction) if !pipeline.is_transaction() && begun.is_none() => {
                begun = Some(command);
            }
            // With arguments the server would reject it, and the transaction would stay open.
            Some(Conflict::EndsTransaction) if begun.is_some() && command.args_iter().count() == 1 => {
                begun = None;
            }
            Some(conflict) => return refused(command, conflict),
        }
    }
    begun.map_or(Ok(()), |command| refused(command, Conflict::BeginsTransaction))
}

fn refused(command: &redis::Cmd, conflict: Conflict) -> RedisResult<()> {
    let name = super::command::name(command);
    let detail = format!("{}: {}", name.as_str(), alternative(conflict));
    Err((ErrorKind::Client, "this command cannot run on a shared connection", detail).into())
}

/// What the command does to other callers of its connection; `None` if it can be sent.
fn conflict(command: &redis::Cmd) -> Option<Conflict> {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        _ => b"",
    });
    let policy = SharingPolicy::of(arguments.next()?);
    // redis-rs sends UNWATCH to clean up. Without a WATCH it changes nothing.
    policy.conflict(arguments).filter(|conflict| *conflict != Conflict::Unwatches)
}

/// What a redis-rs program uses instead.
fn alternative(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Blocks => "all other callers of its connection would wait; send it by itself",
        Conflict::Subscribes => "use `hitless::Client::subscribe`, a stream of messages",
        Conflict::BeginsTransaction | Conflict::EndsTransaction => {
            "use `redis::pipe().atomic()`, which is sent in one piece"
        }
        Conflict::Watches | Conflict::Unwatches => {
            "use `hitless::redis_rs::Connection`, which opens a session for it"
        }
        Conflict::SelectsDatabase => "use `hitless::Config::database`, and a client for each database",
        Conflict::LogsIn => "use `hitless::Config::username` and `hitless::Config::password`",
        Conflict::Configures => "use `hitless::Config`, which applies to all connections",
        Conflict::Streams | Conflict::ChangesState => {
            "use `hitless::redis_rs::Connection`, which opens a session for it, or a connection of its own"
        }
        Conflict::DropsReplies => "use `redis::Cmd::set_no_response`",
        Conflict::Closes => "use `hitless::Client::shutdown`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> redis::Cmd {
        let mut command = redis::Cmd::new();
        text.split(' ').for_each(|word| {
            command.arg(word);
        });
        command
    }

    fn pipeline(commands: &[&str]) -> redis::Pipeline {
        let mut pipeline = redis::pipe();
        commands.iter().for_each(|text| {
            pipeline.add_command(command(text));
        });
        pipeline
    }

    #[test]
    fn conflicting_commands_are_refused_with_an_alternative() {
        let cases = [
            ("subscribe news", "Client::subscribe"),
            ("PUNSUBSCRIBE", "Client::subscribe"),
            ("WATCH key", "redis_rs::Connection"),
            ("Multi", "atomic()"),
            ("EXEC", "atomic()"),
            ("SELECT 3", "Config::database"),
            ("HELLO 3", "Config::password"),
            ("client reply OFF", "set_no_response"),
            ("CLIENT TRACKING ON", "connection of its own"),
            ("MONITOR", "connection of its own"),
            ("QUIT", "shutdown"),
        ];
        for (text, instead) in cases {
            let error = check(&command(text)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Client, "{text}");
            let name = text.split(' ').next().unwrap();
            assert!(error.detail().unwrap().starts_with(name), "{error}");
            assert!(error.to_string().contains(instead), "{error}");
            assert!(check_all(&pipeline(&["PING", text])).is_err(), "{text}");
        }
    }

    #[test]
    fn all_other_commands_are_sent() {
        let fine = [
            "GET BLPOP",
            "XREAD COUNT 2 STREAMS BLOCK 0",
            "XREADGROUP GROUP BLOCK block STREAMS s >",
            "CLIENT INFO",
            "CLIENT",
            "SCRIPT LOAD x",
            "UNWATCH",
            "A-NAME-LONGER-THAN-ALL-OTHERS x",
        ];
        for text in fine {
            check(&command(text)).unwrap();
        }
        check(&redis::Cmd::new()).unwrap();
        check_all(&pipeline(&fine)).unwrap();
    }

    #[test]
    fn blocking_commands_have_a_connection_for_themselves() {
        for text in [
            "BLPOP list 0",
            "XREAD COUNT 2 BLOCK 30 STREAMS s $",
            "XREADGROUP GROUP g block BLOCK 0 STREAMS s >",
        ] {
            assert_eq!(check(&command(text)).unwrap(), Carrier::Exclusive, "{text}");
            assert!(check_all(&pipeline(&["PING", text])).is_err(), "{text}");
        }
    }

    #[test]
    fn pipelines_have_a_session_if_one_of_their_commands_needs_it() {
        for (texts, has_session, place) in [
            (&["GET a", "CLIENT TRACKING ON"][..], false, Place::OwnSession),
            (&["SELECT 3"], true, Place::OwnSession),
            (&["WATCH a", "GET a"], false, Place::Session),
            (&["GET a"], true, Place::Session),
            (&["GET a", "MULTI", "EXEC", "UNWATCH"], false, Place::Shared),
        ] {
            assert_eq!(place_of_all(&pipeline(texts), has_session), place, "{texts:?}");
        }
        assert_eq!(place_of_all(pipeline(&["SELECT 3"]).atomic(), false), Place::Shared);
    }

    #[test]
    fn pipeline_may_spell_out_a_whole_transaction() {
        check_all(&pipeline(&["MULTI", "INCR a", "BLPOP list 0", "EXEC", "MULTI", "DISCARD"])).unwrap();
        check_all(pipeline(&["INCR a", "BLPOP list 0"]).atomic()).unwrap();
        for unfinished in [
            &["MULTI", "INCR a"][..],
            &["EXEC"],
            &["MULTI", "EXEC now"],
            &["MULTI", "MULTI", "EXEC"],
            &["MULTI", "EXEC", "EXEC"],
        ] {
            assert!(check_all(&pipeline(unfinished)).is_err(), "{unfinished:?}");
        }
        for nested in ["MULTI", "EXEC", "DISCARD", "WATCH a", "SELECT 1"] {
            assert!(check_all(pipeline(&[nested]).atomic()).is_err(), "{nested}");
        }
    }
}
