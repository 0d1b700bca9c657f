//! The commands: how one is found, checked, queued or called.
//!
//! Each file holds one family and the table that lists it. Commands on data see a database and a
//! reply ([`Data`]); commands on the connection see the session and the other sessions too
//! ([`Context`]). A command that fails has written nothing: its [`Failure`] is the whole reply.

mod client;
mod connection;
mod expiry;
mod hashes;
mod keys;
mod lists;
mod maint;
mod options;
mod rehearse;
mod server;
mod sets;
mod strings;
#[cfg(test)]
pub(crate) mod testing;
mod transactions;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::LazyLock;

use rustc_hash::FxBuildHasher;

use super::data::keyspace::Database;
use super::maintenance::stage::Stage;
use super::server::World;
use super::session::{Session, SessionId};
use super::wire::reply::{Failure, ReplyBuffer};
use super::wire::request::Args;

pub(crate) type Outcome = Result<(), Failure>;

pub(crate) const SYNTAX_ERROR: &str = "ERR syntax error";
pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// What a command on data works with.
pub(crate) struct Data<'a> {
    pub(crate) db: &'a mut Database,
    pub(crate) reply: &'a mut ReplyBuffer,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now_us: u64,
}

impl Data<'_> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }
}

/// What a command on the connection works with.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a mut World,
    /// All sessions but this one.
    pub(crate) others: &'a mut BTreeMap<SessionId, Box<Session>>,
    pub(crate) session: &'a mut Session,
    pub(crate) now_us: u64,
}

impl Context<'_> {
    /// All sessions, this one included.
    pub(crate) fn stage(&mut self) -> Stage<'_> {
        Stage { world: self.world, others: self.others, current: Some(self.session), now_us: self.now_us }
    }
}

/// A command: how it is named, and what it does.
#[derive(Debug)]
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// How many arguments with the name; at least so many if negative.
    pub(crate) arity: i32,
    pub(crate) call: Call,
}

/// Which of the two kinds a command is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Data(fn(&mut Data<'_>, Args<'_>) -> Outcome),
    Session(fn(&mut Context<'_>, Args<'_>) -> Outcome),
}

impl Command {
    const fn data(name: &'static str, arity: i32, call: fn(&mut Data<'_>, Args<'_>) -> Outcome) -> Self {
        Self { name, arity, call: Call::Data(call) }
    }

    const fn session(
        name: &'static str,
        arity: i32,
        call: fn(&mut Context<'_>, Args<'_>) -> Outcome,
    ) -> Self {
        Self { name, arity, call: Call::Session(call) }
    }

    /// Whether the command runs inside a transaction instead of being queued.
    fn is_immediate(&self) -> bool {
        matches!(self.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
    }

    /// Whether the command is allowed before authentication.
    fn is_public(&self) -> bool {
        matches!(self.name, "auth" | "hello" | "quit" | "reset")
    }
}

/// All commands, family by family.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let families: [&'static [Command]; 10] = [
        strings::COMMANDS,
        keys::COMMANDS,
        expiry::COMMANDS,
        hashes::COMMANDS,
        lists::COMMANDS,
        sets::COMMANDS,
        connection::COMMANDS,
        transactions::COMMANDS,
        server::COMMANDS,
        rehearse::COMMANDS,
    ];
    families.into_iter().flatten()
}

/// Executes one request, or queues it; one reply follows in any case.
#[inline]
pub(crate) fn execute(context: &mut Context<'_>, args: Args<'_>) {
    context.world.commands += 1;
    context.session.counts.commands += 1;
    context.session.is_executing = true;
    execute_or_queue(context, args);
    context.session.is_executing = false;
    context.session.release_pushes();
}

#[inline]
fn execute_or_queue(context: &mut Context<'_>, args: Args<'_>) {
    match admit(context, args) {
        Ok(command) => match &mut context.session.transaction {
            Some(transaction) if !command.is_immediate() => {
                if transaction.queue(command, args) {
                    context.session.reply.raw(b"+QUEUED\r\n");
                } else {
                    transaction.is_aborted = true;
                    context.session.reply.error(&"ERR transaction is too large".into());
                }
            }
            _ => call(context, command, args),
        },
        Err(failure) => {
            context.session.reply.error(&failure);
            if let Some(transaction) = &mut context.session.transaction {
                transaction.is_aborted = true;
            }
        }
    }
}

/// Runs a command that was admitted.
#[inline]
pub(crate) fn call(context: &mut Context<'_>, command: &'static Command, args: Args<'_>) {
    let session = &mut *context.session;
    session.last_command = command.name;
    let outcome = match command.call {
        Call::Data(_) if session.answer.is_some() => Err(session.answer.unwrap_or_default().into()),
        Call::Data(call) => {
            context.world.audit.note(args);
            let mut data = Data {
                db: context.world.keyspace.database(session.database),
                reply: &mut session.reply,
                random: &mut context.world.random,
                now_us: context.now_us,
            };
            call(&mut data, args)
        }
        Call::Session(call) => call(context, args),
    };
    if let Err(failure) = outcome {
        context.session.reply.error(&failure);
    }
}

/// The command that `args` names, if this session may call it like that now.
#[inline]
fn admit(context: &Context<'_>, args: Args<'_>) -> Result<&'static Command, Failure> {
    let command = find(args.at(0)).ok_or_else(|| unknown(args))?;
    if !fits(command.arity, args.len()) {
        return Err(wrong_arity(command.name));
    }
    if !context.session.authenticated && !command.is_public() {
        return Err("NOAUTH Authentication required.".into());
    }
    Ok(command)
}

fn fits(arity: i32, len: usize) -> bool {
    let needed = arity.unsigned_abs() as usize;
    if arity < 0 { len >= needed } else { len == needed }
}

/// The complaint about a wrong number of arguments; a subcommand is named `command|subcommand`.
pub(crate) fn wrong_arity(name: &str) -> Failure {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

fn unknown(args: Args<'_>) -> Failure {
    const SHOWN_MAX: usize = 128;
    let mut shown = String::new();
    for argument in args.from(1).iter() {
        if shown.len() >= SHOWN_MAX {
            break;
        }
        let room = SHOWN_MAX - shown.len();
        // Writing to a String does not fail.
        let _ = write!(shown, "'{}' ", lossy(argument, room));
    }
    let name = lossy(args.at(0), SHOWN_MAX);
    format!("ERR unknown command '{name}', with args beginning with: {shown}").into()
}

/// A subcommand that does not exist, as Redis words it.
pub(crate) fn unknown_subcommand(command: &str, args: Args<'_>) -> Failure {
    let name = lossy(args.at(1), 128);
    format!("ERR unknown subcommand '{name}'. Try {command} HELP.").into()
}

fn lossy(bytes: &[u8], max: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

const NAME_BYTES_MAX: usize = 16;

/// Commands by packed name.
static TABLE: LazyLock<HashMap<u128, &'static Command, FxBuildHasher>> = LazyLock::new(|| {
    let packed = |command: &'static Command| Some((pack(command.name.as_bytes())?, command));
    all().filter_map(packed).collect()
});

/// Looks a command up by name in any case, without allocation.
#[inline]
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    TABLE.get(&pack(name)?).copied()
}

/// A name as one number: in upper case, padded with zeros. `None` if it is too long to be a
/// command.
#[inline]
fn pack(name: &[u8]) -> Option<u128> {
    // The padding must not be part of a name.
    if name.last() == Some(&0) {
        return None;
    }
    let mut packed = [0; NAME_BYTES_MAX];
    packed.get_mut(..name.len())?.copy_from_slice(name);
    packed.make_ascii_uppercase();
    Some(u128::from_le_bytes(packed))
}

#[cfg(test)]
mod tests {
    use super::testing::Client;
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_names_are_unique() {
        for command in all() {
            let mixed = command.name.to_ascii_uppercase().replace('E', "e");
            assert!(std::ptr::eq(find(mixed.as_bytes()).unwrap(), command), "{mixed}");
            assert!(command.name.len() <= NAME_BYTES_MAX);
        }
        for name in [&b""[..], b"G", b"GETT", b"GET\0", b"a name that is far too long"] {
            assert!(find(name).is_none());
        }
    }

    #[test]
    fn unknown_commands_and_wrong_arities_are_worded_as_redis_does() {
        let mut client = Client::new();
        client.expect("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n");
        client.expect("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
        client.expect("Get", "-ERR wrong number of arguments for 'get' command\r\n");
        client.expect("get a b", "-ERR wrong number of arguments for 'get' command\r\n");
    }

    #[test]
    fn every_command_survives_every_number_of_arguments() {
        for command in all() {
            for filler in ["1", "-1", "x", "nx", "9223372036854775807", "match", ""] {
                for count in 0..9 {
                    let mut client = Client::new();
                    let mut words = vec![command.name];
                    words.resize(1 + count, filler);
                    client.send(&words);
                    let output = client.take();
                    assert!(output.ends_with(b"\r\n"), "{words:?} got no reply");
                }
            }
        }
    }
}
