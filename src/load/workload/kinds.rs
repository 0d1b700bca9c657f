//! The kinds of commands that a run sends. Each has a number, so measurements are found without a name lookup.

use super::mix::Mix;

/// The kinds of a run. A kind's number is its place in `names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandKinds {
    names: Vec<String>,
    /// The kind of each of the user's own commands.
    of_share: Vec<usize>,
}

impl CommandKinds {
    pub(crate) fn of(mix: &Mix) -> CommandKinds {
        let Mix::Commands(shares) = mix else {
            return CommandKinds {
                names: ["SET", "GET", "INCR"].map(str::to_owned).into(),
                of_share: Vec::new(),
            };
        };
        let mut names: Vec<String> = Vec::new();
        let number = |share: &super::mix::WeightedCommand| {
            let name = share.command.name().to_ascii_uppercase();
            names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let of_share = shares.iter().map(number).collect();
        CommandKinds { names, of_share }
    }

    /// The names of the kinds; the index is the number.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The kind of one of the user's own commands.
    pub(crate) fn of_share(&self, share: usize) -> usize {
        self.of_share.get(share).copied().unwrap_or_default()
    }

    /// Whether a null reply to this kind of command means that the key was not found.
    pub(crate) fn looks_up(&self, kind: usize) -> bool {
        self.names.get(kind).is_some_and(|name| looks_up(name))
    }
}

/// Whether a command of this name reads a value that may be missing.
pub(crate) fn looks_up(name: &str) -> bool {
    LOOK_UPS.contains(&name)
}

/// The kinds of a mix of `SET` and `GET`; `INCR` belongs to the audit.
pub(crate) const SET: usize = 0;
pub(crate) const GET: usize = 1;
pub(crate) const INCR: usize = 2;
const LOOK_UPS: &[&str] = &[
    "GET",
    "GETDEL",
    "GETEX",
    "HGET",
    "LINDEX",
    "LPOP",
    "RPOP",
    "SPOP",
    "SRANDMEMBER",
    "ZMSCORE",
    "ZRANK",
    "ZREVRANK",
    "ZSCORE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::mix::WeightedCommand;

    #[test]
    fn commands_of_one_name_are_one_kind() {
        let texts = ["get {key}", "LPUSH {key} x", "GET other"];
        let shares =
            texts.map(|text| WeightedCommand { command: text.parse().expect("a command"), ratio: 1 });
        let kinds = CommandKinds::of(&Mix::Commands(shares.into()));
        assert_eq!(kinds.names(), ["GET", "LPUSH"]);
        assert_eq!([0, 1, 2].map(|share| kinds.of_share(share)), [0, 1, 0]);
        assert_eq!([0, 1].map(|kind| kinds.looks_up(kind)), [true, false]);
        let kinds = CommandKinds::of(&Mix::Ratio { set: 1, get: 1 });
        assert_eq!([SET, GET, INCR].map(|kind| kinds.names()[kind].as_str()), ["SET", "GET", "INCR"]);
    }
}
