//! What a command is, and what it works with.

use std::collections::BTreeMap;

use crate::rehearsal::context::ServerContext;
use crate::rehearsal::data::keyspace::Database;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::session::Session;
use crate::rehearsal::state::ServerState;
use crate::rehearsal::wire::reply::{ErrorReply, ReplyBuffer};
use crate::rehearsal::wire::request::Args;

/// The result of a command. A command that fails has written nothing, and the error is its whole reply.
pub(crate) type CommandResult = Result<(), ErrorReply>;

/// What a command on data works with.
pub(crate) struct DataContext<'a> {
    pub(crate) db: &'a mut Database,
    pub(crate) reply: &'a mut ReplyBuffer,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now_us: u64,
}

impl DataContext<'_> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }
}

/// What a command on the connection or the server works with.
pub(crate) struct CommandContext<'a> {
    pub(crate) state: &'a mut ServerState,
    /// All sessions but this one.
    pub(crate) others: &'a mut BTreeMap<SessionId, Box<Session>>,
    pub(crate) session: &'a mut Session,
    pub(crate) now_us: u64,
}

impl CommandContext<'_> {
    /// The context of all sessions, with this one as the current session.
    pub(crate) fn server(&mut self) -> ServerContext<'_> {
        ServerContext {
            state: self.state,
            others: self.others,
            current: Some(self.session),
            now_us: self.now_us,
        }
    }

    /// The context of a command on data, for the database of this session.
    #[inline]
    pub(crate) fn data(&mut self) -> DataContext<'_> {
        DataContext {
            db: self.state.keyspace.database(self.session.database),
            reply: &mut self.session.reply,
            random: &mut self.state.random,
            now_us: self.now_us,
        }
    }
}

/// A command: its name and arity, and its function.
#[derive(Debug)]
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// The number of arguments with the name. A negative arity is the minimum number.
    pub(crate) arity: i32,
    pub(crate) call: Call,
}

/// The kinds of commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Data(fn(&mut DataContext<'_>, Args<'_>) -> CommandResult),
    Session(fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult),
    /// A command on data that can block its session. It has no reply while it blocks.
    Blocking(fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult),
    /// `EXEC`, which the dispatcher executes itself, because it calls other commands.
    Exec,
}

impl Command {
    pub(crate) const fn data(
        name: &'static str,
        arity: i32,
        call: fn(&mut DataContext<'_>, Args<'_>) -> CommandResult,
    ) -> Self {
        Self { name, arity, call: Call::Data(call) }
    }

    pub(crate) const fn session(
        name: &'static str,
        arity: i32,
        call: fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult,
    ) -> Self {
        Self { name, arity, call: Call::Session(call) }
    }

    pub(crate) const fn blocking(
        name: &'static str,
        arity: i32,
        call: fn(&mut CommandContext<'_>, Args<'_>) -> CommandResult,
    ) -> Self {
        Self { name, arity, call: Call::Blocking(call) }
    }

    /// Whether the command runs inside a transaction instead of being queued.
    pub(crate) fn is_immediate(&self) -> bool {
        matches!(self.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
    }

    /// Whether the command is allowed before authentication.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.name, "auth" | "hello" | "quit" | "reset")
    }

    /// Whether the command is allowed while a session of RESP2 is subscribed.
    pub(crate) fn is_allowed_while_subscribed(&self) -> bool {
        matches!(self.name, "ping" | "quit" | "reset") || self.name.ends_with("subscribe")
    }
}

pub(crate) fn fits(arity: i32, len: usize) -> bool {
    let needed = arity.unsigned_abs() as usize;
    if arity < 0 { len >= needed } else { len == needed }
}

/// The error for a wrong number of arguments. The name of a subcommand is `command|subcommand`.
pub(crate) fn wrong_arity(name: &str) -> ErrorReply {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// The error for an unknown subcommand, in Redis's words.
pub(crate) fn unknown_subcommand(command: &str, args: Args<'_>) -> ErrorReply {
    let name = lossy(args.at(1), 128);
    format!("ERR unknown subcommand '{name}'. Try {command} HELP.").into()
}

/// The first `max` bytes as text.
pub(crate) fn lossy(bytes: &[u8], max: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

pub(crate) const SYNTAX_ERROR: &str = "ERR syntax error";
pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
