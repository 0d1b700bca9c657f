//! The table of all commands, and `COMMAND`, which describes it.

use std::collections::HashMap;
use std::sync::LazyLock;

use rustc_hash::FxBuildHasher;

use super::command::{Command, CommandContext, CommandResult, unknown_subcommand};
use super::{blocking, cluster, connection, expiry, hashes, keys, lists, pubsub};
use super::{rehearse, server, sets, strings, transactions};
use crate::rehearsal::wire::request::Args;

/// All commands, family by family.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let families: [&'static [Command]; 14] = [
        strings::COMMANDS,
        keys::COMMANDS,
        expiry::COMMANDS,
        hashes::COMMANDS,
        lists::COMMANDS,
        blocking::COMMANDS,
        sets::COMMANDS,
        connection::COMMANDS,
        cluster::COMMANDS,
        transactions::COMMANDS,
        pubsub::COMMANDS,
        server::COMMANDS,
        rehearse::COMMANDS,
        COMMANDS,
    ];
    families.into_iter().flatten()
}

/// Finds a command by its name in any case, without allocation.
#[inline]
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    TABLE.get(&pack(name)?).copied()
}

const COMMANDS: &[Command] = &[Command::session("command", -1, command)];

/// `COMMAND` returns no documentation, so that `redis-cli` uses its built-in one.
fn command(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    let reply = &mut context.session.reply;
    let subcommand = args.at(1);
    if subcommand.is_empty() {
        reply.array(0);
    } else if subcommand.eq_ignore_ascii_case(b"docs") {
        reply.map(0);
    } else if subcommand.eq_ignore_ascii_case(b"count") {
        reply.count(all().count());
    } else {
        return Err(unknown_subcommand("COMMAND", args));
    }
    Ok(())
}

/// A name as one number: in upper case and padded with zeros. `None` if it is longer than any command's name.
#[inline]
fn pack(name: &[u8]) -> Option<u128> {
    // A name that ends with a zero byte would equal the padded shorter name.
    if name.last() == Some(&0) {
        return None;
    }
    let mut packed = [0; NAME_BYTES_MAX];
    packed.get_mut(..name.len())?.copy_from_slice(name);
    packed.make_ascii_uppercase();
    Some(u128::from_le_bytes(packed))
}

const NAME_BYTES_MAX: usize = 16;

/// Commands by packed name.
static TABLE: LazyLock<HashMap<u128, &'static Command, FxBuildHasher>> = LazyLock::new(|| {
    let packed = |command: &'static Command| Some((pack(command.name.as_bytes())?, command));
    all().filter_map(packed).collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn commands_are_found_in_any_case_and_have_unique_names() {
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
    fn every_command_survives_every_number_of_arguments() {
        for command in all() {
            for filler in ["1", "-1", "x", "nx", "9223372036854775807", "match", ""] {
                for count in 0..9 {
                    let mut client = TestClient::new();
                    let mut words = vec![command.name];
                    words.resize(1 + count, filler);
                    client.send(&words);
                    // A blocked session gets its reply when its time is over.
                    client.advance_ms(1_000);
                    client.server.handle_time(client.now_us);
                    let output = client.take();
                    assert!(output.ends_with(b"\r\n"), "{words:?} got no reply");
                }
            }
        }
    }

    #[test]
    fn command_describes_nothing() {
        TestClient::new().expect_all(&[("COMMAND", "*0\r\n"), ("COMMAND DOCS", "*0\r\n")]);
    }
}
