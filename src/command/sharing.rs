//! [`SharingPolicy`]: whether a command may run on a connection that other callers use at the same time.
//!
//! This is the only table of such commands: [`Cmd`](super::Cmd) asks it, and so does the adapter for redis-rs. Typed methods
//! send only commands that may share a connection, and never ask.

/// Whether a command may share a connection, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SharingPolicy {
    /// It may.
    Shared,
    /// It may not.
    Never(Conflict),
    /// It blocks if this word is among its options, which begin after so many arguments.
    BlocksWith(&'static str, usize),
    /// It may not with these subcommands.
    Subcommands(&'static [(&'static str, Conflict)]),
}

/// What a command does to the other callers of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// It may wait on the server, and all commands behind it wait with it.
    Blocks,
    /// It subscribes, and the messages would reach a connection whose callers do not expect them.
    Subscribes,
    /// It turns the connection into a stream of messages without an end.
    Streams,
    /// It begins a transaction, which would include the commands of other callers.
    BeginsTransaction,
    /// It ends a transaction, which other callers may have begun.
    EndsTransaction,
    /// It watches keys, and the `EXEC` of another caller would end the watch.
    Watches,
    /// It ends a watch. Without a watch it changes nothing.
    Unwatches,
    /// It selects the database of the other callers' commands.
    SelectsDatabase,
    /// It logs the other callers in as another user, or changes their protocol.
    LogsIn,
    /// It changes what the handshake has set for the connection.
    Configures,
    /// It changes the state of the connection, and is lost when the connection is replaced.
    ChangesState,
    /// It suppresses replies, and later replies would reach the wrong callers.
    DropsReplies,
    /// It closes the connection, or resets it.
    Closes,
}

impl SharingPolicy {
    /// The policy of the command with this name, in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let mut space = [0; WORD_MAX];
        match upper_case(name, &mut space) {
            b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BLMPOP" | b"BZPOPMIN" | b"BZPOPMAX"
            | b"BZMPOP" | b"WAIT" | b"WAITAOF" => SharingPolicy::Never(Conflict::Blocks),
            b"XREAD" => SharingPolicy::BlocksWith("BLOCK", 0),
            // GROUP, and two names, which may be any word.
            b"XREADGROUP" => SharingPolicy::BlocksWith("BLOCK", 3),
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
            | b"SUNSUBSCRIBE" => SharingPolicy::Never(Conflict::Subscribes),
            b"MONITOR" | b"SYNC" | b"PSYNC" | b"REPLCONF" => SharingPolicy::Never(Conflict::Streams),
            b"MULTI" => SharingPolicy::Never(Conflict::BeginsTransaction),
            b"EXEC" | b"DISCARD" => SharingPolicy::Never(Conflict::EndsTransaction),
            b"WATCH" => SharingPolicy::Never(Conflict::Watches),
            b"UNWATCH" => SharingPolicy::Never(Conflict::Unwatches),
            b"SELECT" => SharingPolicy::Never(Conflict::SelectsDatabase),
            b"AUTH" | b"HELLO" => SharingPolicy::Never(Conflict::LogsIn),
            b"READONLY" | b"READWRITE" | b"ASKING" => SharingPolicy::Never(Conflict::ChangesState),
            b"QUIT" | b"RESET" => SharingPolicy::Never(Conflict::Closes),
            b"CLIENT" => SharingPolicy::Subcommands(OF_CLIENT),
            b"SCRIPT" => SharingPolicy::Subcommands(OF_SCRIPT),
            _ => SharingPolicy::Shared,
        }
    }

    /// What the command with these arguments, without its name, does to other callers; `None` if it may share a connection.
    pub(crate) fn conflict<'a>(self, mut arguments: impl Iterator<Item = &'a [u8]>) -> Option<Conflict> {
        match self {
            SharingPolicy::Shared => None,
            SharingPolicy::Never(conflict) => Some(conflict),
            SharingPolicy::BlocksWith(word, skipped) => {
                // Behind STREAMS there are only keys and ids.
                let option =
                    arguments.skip(skipped).find(|option| is(option, word) || is(option, "STREAMS"))?;
                is(option, word).then_some(Conflict::Blocks)
            }
            SharingPolicy::Subcommands(table) => {
                let subcommand = arguments.next()?;
                table.iter().find(|(word, _)| is(subcommand, word)).map(|(_, conflict)| *conflict)
            }
        }
    }
}

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// The word in upper case, or an empty one if it is longer than every word of the table.
fn upper_case<'a>(word: &[u8], space: &'a mut [u8; WORD_MAX]) -> &'a [u8] {
    let Some(copy) = space.get_mut(..word.len()) else { return b"" };
    copy.copy_from_slice(word);
    copy.make_ascii_uppercase();
    copy
}

const WORD_MAX: usize = "PUNSUBSCRIBE".len();

const OF_CLIENT: &[(&str, Conflict)] = &[
    ("SETNAME", Conflict::Configures),
    ("SETINFO", Conflict::Configures),
    ("MAINT_NOTIFICATIONS", Conflict::Configures),
    ("REPLY", Conflict::DropsReplies),
    ("TRACKING", Conflict::ChangesState),
    ("CACHING", Conflict::ChangesState),
    ("NO-EVICT", Conflict::ChangesState),
    ("NO-TOUCH", Conflict::ChangesState),
];
const OF_SCRIPT: &[(&str, Conflict)] = &[("DEBUG", Conflict::ChangesState)];

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(text: &str) -> Option<Conflict> {
        let mut words = text.split(' ').map(str::as_bytes);
        SharingPolicy::of(words.next().unwrap()).conflict(words)
    }

    #[test]
    fn commands_that_affect_other_callers_are_known() {
        for (text, expected) in [
            ("subscribe news", Conflict::Subscribes),
            ("PUNSUBSCRIBE", Conflict::Subscribes),
            ("MULTI", Conflict::BeginsTransaction),
            ("EXEC", Conflict::EndsTransaction),
            ("Watch key", Conflict::Watches),
            ("SELECT 1", Conflict::SelectsDatabase),
            ("HELLO 3", Conflict::LogsIn),
            ("BLPOP list 0", Conflict::Blocks),
            ("XREAD COUNT 1 block 0 STREAMS s $", Conflict::Blocks),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", Conflict::Blocks),
            ("CLIENT reply OFF", Conflict::DropsReplies),
            ("CLIENT SETNAME x", Conflict::Configures),
            ("CLIENT TRACKING ON", Conflict::ChangesState),
            ("SCRIPT debug YES", Conflict::ChangesState),
            ("MONITOR", Conflict::Streams),
            ("QUIT", Conflict::Closes),
        ] {
            assert_eq!(conflict(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn all_other_commands_share_a_connection() {
        for text in [
            "GET SUBSCRIBE",
            "XREAD COUNT 1 STREAMS BLOCK 0",
            "XREADGROUP GROUP BLOCK BLOCK STREAMS BLOCK >",
            "CLIENT",
            "CLIENT ID",
            "CLIENT KILL ID 7",
            "SCRIPT LOAD x",
            "A-NAME-LONGER-THAN-ALL-OTHERS x",
            "",
        ] {
            assert_eq!(conflict(text), None, "{text}");
        }
    }
}
