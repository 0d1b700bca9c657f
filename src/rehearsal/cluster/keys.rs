//! Where a command has its keys, and whether it writes.
//!
//! This is the only file of the rehearsal that uses code of the client: its table of commands is generated from real
//! servers, and `tests/command_table` compares it with them.

use crate::proto::cluster::commands::{self, Flag, KeyAccess};
use crate::rehearsal::wire::request::Args;

/// What a command does with its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyUse {
    pub(crate) is_write: bool,
    /// Its keys are shard channels.
    pub(crate) is_shard_channel: bool,
}

/// Adds the positions of the keys in `args` to `positions`.
pub(crate) fn find(args: Args<'_>, positions: &mut Vec<usize>) -> KeyUse {
    let Some(spec) = commands::find(args.at(0), args.get(1)) else {
        return KeyUse::default();
    };
    positions.extend(spec.keys(&args));
    KeyUse {
        is_write: spec.flags.contains(Flag::Write),
        is_shard_channel: spec.keys.iter().any(|keys| keys.access == KeyAccess::NotKey),
    }
}

impl commands::Args for Args<'_> {
    fn len(&self) -> usize {
        Args::len(*self)
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        Args::get(*self, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::wire::request::{Parsed, Parser};

    fn find_in(line: &str) -> (Vec<usize>, KeyUse) {
        let (mut parser, line, mut positions) = (Parser::default(), format!("{line}\r\n"), Vec::new());
        assert_eq!(parser.parse(line.as_bytes()), Parsed::Request(line.len()));
        let usage = find(parser.args(line.as_bytes()), &mut positions);
        (positions, usage)
    }

    #[test]
    fn keys_and_writes_are_found() {
        let write = KeyUse { is_write: true, is_shard_channel: false };
        let channel = KeyUse { is_write: false, is_shard_channel: true };
        let none = KeyUse::default();
        assert_eq!(find_in("get k"), (vec![1], none));
        assert_eq!(find_in("MSET a 1 b 2"), (vec![1, 3], write));
        assert_eq!(find_in("BLMPOP 0 2 a b LEFT"), (vec![3, 4], write));
        assert_eq!(find_in("SSUBSCRIBE a b"), (vec![1, 2], channel));
        assert_eq!(find_in("SPUBLISH a b"), (vec![1], channel));
        assert_eq!(find_in("FLUSHALL"), (vec![], write));
        for keyless in
            ["PING", "PUBLISH a b", "CLIENT LIST", "REHEARSE HELP", "NOSUCH a", "EXEC", "SUNSUBSCRIBE"]
        {
            assert_eq!(find_in(keyless).0, [0; 0], "{keyless}");
        }
    }
}
