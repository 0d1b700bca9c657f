//! The faults that `REHEARSE FAULT` can add to a node.

use crate::rehearsal::ending::Ending;

/// A fault of a node, which affects its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Output is delayed by this time, as on a longer network path. Any number of replies can be delayed at once.
    Delay { us: u64 },
    /// Each command occupies the node for this time. The commands of all its connections wait for each other, which
    /// limits the node's throughput.
    Service { us: u64 },
    /// New and existing connections get no bytes and are not read.
    Stall,
    /// Each connection ends at this byte, counted from now or from its first byte.
    Cut { at_byte: u64, direction: Direction, ending: Ending },
    /// The node does not listen.
    Refuse,
    /// New connections are accepted and closed.
    Drop,
    /// Each byte of output is written alone.
    Split,
    /// Each push of `REHEARSE` is sent this many times. Messages of channels are sent once.
    Duplicate { copies: usize },
    /// Each push of `REHEARSE` to a connection is sent after the next one. Messages of channels keep their order.
    Reorder,
    /// Commands on data get this error and are not executed.
    Answer(&'static str),
}

/// The direction in which a [`Fault::Cut`] counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

impl Fault {
    /// Parses the kind of a fault and its arguments.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let (kind, args) = words.split_first().ok_or_else(|| format!("syntax: {SYNTAX}"))?;
        let kind = kind.to_ascii_lowercase();
        let fault = match (kind.as_str(), args) {
            ("delay", [time]) => Self::Delay { us: micros("delay", time)? },
            ("service", [time]) => Self::Service { us: micros("service", time)? },
            ("stall", []) => Self::Stall,
            ("truncate", [at]) => Self::cut("truncate", at, None, Ending::AtOnce)?,
            ("reset", [at]) => Self::cut("reset", at, None, Ending::Reset)?,
            ("reset", [at, way]) => Self::cut("reset", at, Some(way), Ending::Reset)?,
            ("close-at-byte", [at]) => Self::cut("close-at-byte", at, None, Ending::AtOnce)?,
            ("close-at-byte", [at, way]) => Self::cut("close-at-byte", at, Some(way), Ending::AtOnce)?,
            ("refuse", []) => Self::Refuse,
            ("drop", []) => Self::Drop,
            ("split", []) => Self::Split,
            ("duplicate", [copies]) => {
                let copies = number("duplicate", copies, 1, COPIES_MAX as u64)?;
                Self::Duplicate { copies: usize::try_from(copies).unwrap_or(COPIES_MAX) }
            }
            ("reorder", []) => Self::Reorder,
            ("answer", [code]) => {
                let known = ANSWERS.iter().find(|answer| {
                    answer.split(' ').next().is_some_and(|known| known.eq_ignore_ascii_case(code))
                });
                Self::Answer(known.ok_or_else(|| format!("answer: '{code}' is not known; syntax: {SYNTAX}"))?)
            }
            _ => return Err(format!("unknown fault '{}'; syntax: {SYNTAX}", words.join(" "))),
        };
        Ok(fault)
    }

    fn cut(kind: &str, at: &str, direction: Option<&&str>, ending: Ending) -> Result<Self, String> {
        let direction = match direction.map(|way| way.to_ascii_lowercase()).as_deref() {
            None | Some("out") => Direction::Out,
            Some("in") => Direction::In,
            Some(other) => return Err(format!("{kind}: '{other}' is neither 'in' nor 'out'")),
        };
        Ok(Self::Cut { at_byte: number(kind, at, 1, u64::MAX)?, direction, ending })
    }

    /// Whether both are of the same kind. A node has at most one fault of each kind.
    pub(crate) fn is_same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delay { us } => write_time(f, "delay", *us),
            Self::Service { us } => write_time(f, "service", *us),
            Self::Stall => f.write_str("stall"),
            Self::Cut { at_byte, direction, ending } => {
                let kind = if *ending == Ending::Reset { "reset" } else { "close-at-byte" };
                let way = if *direction == Direction::In { "in" } else { "out" };
                write!(f, "{kind} {at_byte} {way}")
            }
            Self::Refuse => f.write_str("refuse"),
            Self::Drop => f.write_str("drop"),
            Self::Split => f.write_str("split"),
            Self::Duplicate { copies } => write!(f, "duplicate {copies}"),
            Self::Reorder => f.write_str("reorder"),
            Self::Answer(error) => {
                let code = error.split(' ').next().unwrap_or_default();
                write!(f, "answer {}", code.to_ascii_lowercase())
            }
        }
    }
}

/// Parses milliseconds, or microseconds with their unit: `5`, `200us`.
fn micros(kind: &str, text: &str) -> Result<u64, String> {
    let (digits, unit_us) = match text.to_ascii_lowercase().strip_suffix("us") {
        Some(digits) => (digits.to_owned(), 1),
        None => (text.to_owned(), 1_000),
    };
    let time = digits.parse::<u64>().ok().and_then(|time| time.checked_mul(unit_us));
    let time = time.filter(|time| *time <= TIME_MAX_US);
    time.ok_or_else(|| {
        format!("{kind}: '{text}' is neither whole milliseconds (5) nor microseconds (200us), up to an hour")
    })
}

fn write_time(f: &mut std::fmt::Formatter<'_>, kind: &str, us: u64) -> std::fmt::Result {
    match us % 1_000 {
        0 => write!(f, "{kind} {}", us / 1_000),
        _ => write!(f, "{kind} {us}us"),
    }
}

fn number(kind: &str, text: &str, min: u64, max: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{kind}: '{text}' is not a whole number from {min} to {max}"))
}

pub(crate) const SYNTAX: &str = "FAULT delay ms|Nus | service ms|Nus | stall | truncate bytes | reset bytes [in|out] | \
    close-at-byte bytes [in|out] | refuse | drop | split | duplicate copies | reorder | answer readonly|masterdown|loading|noauth | off";

/// The errors of `FAULT answer`, in Redis's own words.
const ANSWERS: [&str; 4] = [
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING Redis is loading the dataset in memory",
    "NOAUTH Authentication required.",
];

/// Most copies that `duplicate` makes of a push.
const COPIES_MAX: usize = 1_000;
/// Longest delay and longest service time: one hour.
const TIME_MAX_US: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_a_round_trip_through_its_text() {
        let lines = [
            "delay 5",
            "delay 200us",
            "service 2",
            "service 50us",
            "stall",
            "close-at-byte 3 out",
            "close-at-byte 3 in",
            "reset 9 out",
            "refuse",
            "drop",
            "split",
            "duplicate 3",
            "reorder",
            "answer readonly",
        ];
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(Fault::parse(&words).unwrap().to_string(), line);
        }
        assert_eq!(Fault::parse(&["TRUNCATE", "3"]), Fault::parse(&["close-at-byte", "3"]));
    }

    #[test]
    fn syntax_errors_name_the_mistake() {
        assert!(Fault::parse(&[]).unwrap_err().starts_with("syntax: FAULT delay ms|Nus | "));
        assert!(Fault::parse(&["nosuch"]).unwrap_err().starts_with("unknown fault 'nosuch'; syntax: "));
        assert!(Fault::parse(&["delay", "5s"]).unwrap_err().contains("'5s' is neither whole milliseconds"));
        assert!(Fault::parse(&["service", "3600001"]).unwrap_err().contains("up to an hour"));
        assert!(Fault::parse(&["reset", "0"]).unwrap_err().contains("'0' is not a whole number from 1"));
        assert!(Fault::parse(&["reset", "1", "up"]).unwrap_err().contains("neither 'in' nor 'out'"));
    }
}
