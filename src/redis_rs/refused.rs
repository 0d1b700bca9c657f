//! Commands that a connection cannot carry for one caller, because others have it as well: it would change for them,
//! be silent for them, or keep them waiting. They are refused before they are sent.

use redis::{Arg, ErrorKind, RedisResult};

/// What a command needs that a shared connection does not have.
#[derive(Clone, Copy)]
enum Need {
    /// A connection of its own, or something else instead.
    Instead(&'static str),
    /// Time, during which nobody else is served, unless it is part of a transaction.
    Blocks,
    /// All that follows, up to the end of the transaction.
    Begins,
    /// What went before.
    Ends,
}

/// # Errors
/// If this command cannot be sent by itself; the text says what to use instead.
pub(super) fn check(command: &redis::Cmd) -> RedisResult<()> {
    need(command).map_or(Ok(()), |need| refused(command, need))
}

/// # Errors
/// If one of these cannot be sent even in the middle of the others. A transaction may be spelled out in a pipeline.
pub(super) fn check_all(pipeline: &redis::Pipeline) -> RedisResult<()> {
    let mut begun = None;
    for command in pipeline.cmd_iter() {
        match need(command) {
            None => {}
            Some(Need::Blocks) if pipeline.is_transaction() || begun.is_some() => {}
            Some(Need::Begins) if !pipeline.is_transaction() && begun.is_none() => begun = Some(command),
            Some(Need::Ends) if begun.is_some() => begun = None,
            Some(need) => return refused(command, need),
        }
    }
    begun.map_or(Ok(()), |command| refused(command, Need::Begins))
}

fn refused(command: &redis::Cmd, need: Need) -> RedisResult<()> {
    let instead = match need {
        Need::Instead(instead) => instead,
        Need::Blocks => BLOCKING,
        Need::Begins | Need::Ends => TRANSACTION,
    };
    let name = super::command::name(command);
    let detail = format!("{}: {instead}", name.as_str());
    Err((ErrorKind::Client, "not on a connection that is shared with other callers", detail).into())
}

fn need(command: &redis::Cmd) -> Option<Need> {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        _ => b"",
    });
    let mut word = [0; WORD_MAX];
    match upper_case(arguments.next()?, &mut word) {
        b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE" | b"SUNSUBSCRIBE" => {
            Some(Need::Instead(MESSAGES))
        }
        b"BLPOP" | b"BRPOP" | b"BRPOPLPUSH" | b"BLMOVE" | b"BLMPOP" | b"BZPOPMIN" | b"BZPOPMAX"
        | b"BZMPOP" | b"WAIT" | b"WAITAOF" => Some(Need::Blocks),
        b"XREAD" => blocks(arguments),
        // GROUP, and two names, which may be any word.
        b"XREADGROUP" => blocks(arguments.skip(3)),
        b"WATCH" => Some(Need::Instead(WATCH)),
        b"MULTI" => Some(Need::Begins),
        // With arguments it would be turned down, and the transaction would stay open.
        b"EXEC" | b"DISCARD" if arguments.next().is_none() => Some(Need::Ends),
        b"EXEC" | b"DISCARD" => Some(Need::Instead(TRANSACTION)),
        b"SELECT" => Some(Need::Instead(DATABASE)),
        b"AUTH" | b"HELLO" => Some(Need::Instead(LOGIN)),
        b"MONITOR" | b"SYNC" | b"PSYNC" | b"REPLCONF" | b"READONLY" | b"READWRITE" | b"ASKING" => {
            Some(Need::Instead(OWN_CONNECTION))
        }
        b"QUIT" | b"RESET" => Some(Need::Instead(SHUTDOWN)),
        b"CLIENT" => match upper_case(arguments.next()?, &mut word) {
            b"REPLY" => Some(Need::Instead(NO_RESPONSE)),
            b"TRACKING" | b"CACHING" => Some(Need::Instead(OWN_CONNECTION)),
            _ => None,
        },
        b"SCRIPT" => match upper_case(arguments.next()?, &mut word) {
            b"DEBUG" => Some(Need::Instead(OWN_CONNECTION)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether there is a `BLOCK` among the options of a command that reads streams.
fn blocks<'a>(mut options: impl Iterator<Item = &'a [u8]>) -> Option<Need> {
    let option =
        options.find(|word| [&b"BLOCK"[..], b"STREAMS"].iter().any(|one| word.eq_ignore_ascii_case(one)));
    option.filter(|word| word.eq_ignore_ascii_case(b"BLOCK")).map(|_| Need::Blocks)
}

/// The word in capitals, unless it is longer than any that matters.
fn upper_case<'a>(word: &[u8], space: &'a mut [u8; WORD_MAX]) -> &'a [u8] {
    let Some(copy) = space.get_mut(..word.len()) else { return b"" };
    copy.copy_from_slice(word);
    copy.make_ascii_uppercase();
    copy
}

const WORD_MAX: usize = "PUNSUBSCRIBE".len();

const MESSAGES: &str = "use `redis::Client::get_async_pubsub`, which has a connection of its own";
const BLOCKING: &str = "it would keep everybody else on its connection waiting; use a connection of its own, from \
                        `redis::Client::get_multiplexed_async_connection`, or ask again without blocking";
const WATCH: &str = "use `redis::Script`, which nothing runs in between of, or a connection of its own, from \
                     `redis::Client::get_multiplexed_async_connection`";
const TRANSACTION: &str = "use `redis::pipe().atomic()`, which is sent as one";
const DATABASE: &str = "use `hitless::Config::database`, and a client for each database";
const LOGIN: &str = "use `hitless::Config::username` and `hitless::Config::password`";
const OWN_CONNECTION: &str =
    "use a connection of its own, from `redis::Client::get_multiplexed_async_connection`";
const SHUTDOWN: &str = "use `hitless::Client::shutdown`";
const NO_RESPONSE: &str = "use `redis::Cmd::set_no_response`";

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
    fn what_would_change_a_shared_connection_is_refused_with_a_way_out() {
        let cases = [
            ("subscribe news", "get_async_pubsub"),
            ("PUNSUBSCRIBE", "get_async_pubsub"),
            ("BLPOP list 0", "waiting"),
            ("XREAD COUNT 2 BLOCK 30 STREAMS s $", "waiting"),
            ("XREADGROUP GROUP g block BLOCK 0 STREAMS s >", "waiting"),
            ("WATCH key", "redis::Script"),
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
    fn everything_else_is_not() {
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
    fn a_transaction_may_be_spelled_out_as_long_as_it_ends() {
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
