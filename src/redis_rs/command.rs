//! A [`redis::Cmd`] as a [`Cmd`], which shards and clients of this crate run.

use crate::command::{Cmd, CommandName, cmd};

/// The same name and arguments, without the flag [`redis::Cmd::set_no_response`].
impl From<&redis::Cmd> for Cmd {
    fn from(command: &redis::Cmd) -> Cmd {
        // Only the encoded command contains the value of a cursor.
        let packed = command.get_packed_command();
        let mut rest = packed.as_slice();
        next_line(&mut rest);
        let name = next_argument(&mut rest).unwrap_or_default();
        std::iter::from_fn(|| next_argument(&mut rest))
            .fold(cmd(&String::from_utf8_lossy(name)), |built, argument| built.arg(argument))
    }
}

impl From<&mut redis::Cmd> for Cmd {
    fn from(command: &mut redis::Cmd) -> Cmd {
        Cmd::from(&*command)
    }
}

/// Its name in messages.
pub(super) fn name(command: &redis::Cmd) -> CommandName {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => CommandName::new(&String::from_utf8_lossy(name)),
        _ => CommandName::new(""),
    }
}

/// The next argument of a command that redis-rs has packed.
fn next_argument<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = std::str::from_utf8(next_line(rest)?.get(1..)?).ok()?.parse().ok()?;
    let (argument, after) = rest.split_at_checked(length)?;
    *rest = after.get(2..)?;
    Some(argument)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (line, after) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
    *rest = after.get(2..)?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_encoded_as_redis_rs_encodes_it() {
        let mut scan = redis::cmd("SSCAN");
        scan.arg("set\r\n").cursor_arg(42).arg("COUNT").arg(7).arg(b"\0\xff\r\n").arg("");
        for command in [redis::cmd("PING"), scan] {
            let mut ours = Vec::new();
            Cmd::from(&command).encode(&mut ours);
            assert_eq!(ours, command.get_packed_command());
            assert_eq!(name(&command).as_str(), Cmd::from(&command).name());
        }
    }
}
