//! Which commands a shared connection does not carry, and why. Typed commands are never among them, and never asked.

use super::Cmd;
use crate::error::{Error, ErrorKind};
use crate::proto::error::Outcome;

/// What is known of a command by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    Good,
    /// It may wait, and everybody behind it does, too.
    Waits,
    /// It does, if this word is among its options, behind so many arguments.
    WaitsWith(&'static str, usize),
    /// It leaves the connection in another state than others expect, or gets no reply of its own.
    Binds(&'static str),
    /// It does with some subcommands.
    Client,
}

impl Manners {
    /// Of the command with this name, which is in upper case.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "BLPOP" | "BRPOP" | "BLMOVE" | "BRPOPLPUSH" | "BLMPOP" | "BZPOPMIN" | "BZPOPMAX" | "BZMPOP"
            | "WAIT" | "WAITAOF" => Manners::Waits,
            "XREAD" => Manners::WaitsWith("BLOCK", 0),
            "XREADGROUP" => Manners::WaitsWith("BLOCK", 3),
            "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE"
            | "MONITOR" | "SYNC" | "PSYNC" => Manners::Binds(OWN),
            "MULTI" | "EXEC" | "DISCARD" => Manners::Binds(TRANSACTION),
            "WATCH" | "UNWATCH" => Manners::Binds(SCRIPT),
            "SELECT" | "AUTH" | "HELLO" => Manners::Binds(CONFIG),
            "QUIT" | "RESET" | "ASKING" | "READONLY" | "READWRITE" => Manners::Binds(SHARED),
            "CLIENT" => Manners::Client,
            _ => Manners::Good,
        }
    }
}

/// Why this command is not sent, if it is not.
#[cold]
pub(super) fn refusal(command: &Cmd) -> Option<Error> {
    let reason = match command.manners {
        Manners::Good => return None,
        Manners::Binds(reason) => reason,
        Manners::Waits => (!command.may_wait).then_some(WAITS)?,
        Manners::WaitsWith(word, skipped) => {
            let mut options = command.arguments().skip(1 + skipped);
            let waits =
                options.by_ref().take_while(|option| !is(option, "STREAMS")).any(|option| is(option, word));
            (waits && !command.may_wait).then_some(WAITS)?
        }
        Manners::Client => client(command.arguments().nth(1)?)?,
    };
    let detail = format!("{} is not sent on a connection that is shared: {reason}", command.name());
    Some(Error::new(ErrorKind::Command, Outcome::Unsent, detail).of(command.command_name()))
}

fn client(subcommand: &[u8]) -> Option<&'static str> {
    let among = |words: &[&str]| words.iter().any(|word| is(subcommand, word));
    if among(&["SETNAME", "SETINFO", "MAINT_NOTIFICATIONS"]) {
        return Some(CONFIG);
    }
    among(&["REPLY", "NO-EVICT", "NO-TOUCH"]).then_some(SHARED)
}

fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

const WAITS: &str = "everybody behind it would wait, too; `Cmd::blocking` says that this is meant";
const OWN: &str = "its messages take a connection of their own";
const TRANSACTION: &str = "`transaction()` sends a whole one";
const SCRIPT: &str =
    "others use the connection between it and the transaction; a script reads and writes in one";
const CONFIG: &str = "the configuration says it for all connections";
const SHARED: &str = "it changes what others get, and is lost when the connection is";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::cmd;

    fn refused(words: &str) -> Option<String> {
        let mut words = words.split(' ');
        let command = cmd(words.next().unwrap()).args(words);
        command.refusal().map(|error| {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent));
            error.to_string()
        })
    }

    #[test]
    fn what_a_shared_connection_cannot_carry_is_refused_and_said_why() {
        for (words, why) in [
            ("subscribe news", "connection of their own"),
            ("MULTI", "transaction()"),
            ("Watch key", "a script"),
            ("SELECT 1", "the configuration"),
            ("BLPOP list 0", "Cmd::blocking"),
            ("XREAD COUNT 1 block 0 STREAMS s $", "Cmd::blocking"),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "Cmd::blocking"),
            ("CLIENT reply OFF", "what others get"),
            ("CLIENT SETNAME x", "the configuration"),
        ] {
            let text = refused(words).unwrap_or_else(|| panic!("{words} is not refused"));
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn everything_else_is_sent() {
        for words in [
            "GET SUBSCRIBE",
            "XREAD COUNT 1 STREAMS BLOCK 0",
            "XREADGROUP GROUP BLOCK BLOCK STREAMS BLOCK >",
            "CLIENT",
            "CLIENT ID",
            "CLIENT TRACKING ON",
            "CLIENT KILL ID 7",
        ] {
            assert_eq!(refused(words), None, "{words}");
        }
    }

    #[test]
    fn a_command_may_wait_if_that_is_meant_but_nothing_else() {
        assert!(cmd("BLPOP").arg("list").arg(0).blocking().refusal().is_none());
        assert!(cmd("XREAD").arg("BLOCK").arg(0).blocking().refusal().is_none());
        assert!(cmd("MONITOR").blocking().refusal().is_some());
    }
}
