//! [`BlockingCommand`]: an encoded command that may wait on the server, and for how long.

use std::ops::Range;
use std::time::Duration;

use crate::proto::resp::Encoder;

/// An encoded command that may wait on the server.
///
/// It knows where its timeout stands, so that it can be issued again on another connection for the rest of the time.
#[derive(Clone, Debug)]
pub(super) struct BlockingCommand {
    bytes: Vec<u8>,
    timeout: Option<Timeout>,
    /// Null is the reply to a wait that ends without a result.
    ends_with_null: bool,
}

/// A timeout among the arguments of a command.
#[derive(Clone, Debug)]
struct Timeout {
    argument: usize,
    unit: Unit,
    /// `None` is no limit.
    after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// With a decimal point, if it has to be.
    Seconds,
    Millis,
}

/// Where a command has its timeout.
enum Place {
    /// So many arguments behind the name, counted from 1.
    At(usize),
    Last,
    /// Behind the word `BLOCK`, which comes before `STREAMS` and after so many other arguments.
    BehindBlock(usize),
}

impl BlockingCommand {
    /// A command as a caller has encoded it. A command that the table does not know has no timeout.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let arguments = arguments(&bytes);
        let word = |index: usize| arguments.get(index).and_then(|range| bytes.get(range.clone()));
        let (place, unit, ends_with_null) = word(0).map_or(UNKNOWN, describe);
        let argument = match place {
            Some(Place::At(index)) => Some(index),
            Some(Place::Last) => arguments.len().checked_sub(1),
            Some(Place::BehindBlock(skipped)) => {
                let is = |index: usize, name: &str| {
                    word(index).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
                };
                let options = 1 + skipped..arguments.len();
                let found = options.clone().find(|index| is(*index, "BLOCK") || is(*index, "STREAMS"));
                found.filter(|index| is(*index, "BLOCK")).map(|index| index + 1)
            }
            None => None,
        };
        let timeout = argument
            .and_then(|argument| Some(Timeout { argument, unit, after: unit.read(word(argument)?)? }));
        BlockingCommand { timeout, ends_with_null, bytes }
    }

    /// How long it may wait on the server; `None` is no limit, or an unknown one.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout.as_ref()?.after
    }

    /// How long it may wait on the server, without a limit at most; `None` if it does not wait.
    pub(super) fn limit(&self) -> Option<Duration> {
        Some(self.timeout.as_ref()?.after.unwrap_or(Duration::MAX))
    }

    /// Whether a null reply says that the command took nothing, so that it can be issued again.
    pub(super) fn ends_with_null(&self) -> bool {
        self.ends_with_null
    }

    /// Its name, in upper case and cut after some bytes.
    pub(super) fn name(&self) -> String {
        let name = arguments(&self.bytes).into_iter().next().and_then(|range| self.bytes.get(range));
        let name = name.unwrap_or_default();
        String::from_utf8_lossy(name.get(..NAME_MAX).unwrap_or(name)).to_uppercase()
    }

    /// The command, as its caller has encoded it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same command with another timeout, if it has one that is limited.
    pub(super) fn with_timeout(&self, after: Duration) -> Vec<u8> {
        let Some(timeout) = self.timeout.as_ref().filter(|timeout| timeout.after.is_some()) else {
            return self.bytes.clone();
        };
        let arguments = arguments(&self.bytes);
        let mut bytes = Vec::with_capacity(self.bytes.len() + 8);
        let mut encoder = Encoder::command(&mut bytes, arguments.len());
        for (index, range) in arguments.into_iter().enumerate() {
            match index == timeout.argument {
                true => encoder.bytes(timeout.unit.write(after).as_bytes()),
                false => encoder.bytes(self.bytes.get(range).unwrap_or_default()),
            }
        }
        bytes
    }
}

impl Unit {
    /// The time; `Some(None)` is no limit, and `None` a text that the server will refuse.
    fn read(self, text: &[u8]) -> Option<Option<Duration>> {
        let text = std::str::from_utf8(text).ok()?;
        let time = match self {
            Unit::Seconds => Duration::try_from_secs_f64(text.parse().ok()?).ok()?,
            Unit::Millis => Duration::from_millis(text.parse().ok()?),
        };
        Some(Some(time).filter(|time| !time.is_zero()))
    }

    /// The text of a time, rounded up to a millisecond: none means no limit.
    fn write(self, time: Duration) -> String {
        let millis = time.as_nanos().div_ceil(1_000_000).max(1);
        match self {
            Unit::Seconds => format!("{}.{:03}", millis / 1000, millis % 1000),
            Unit::Millis => millis.to_string(),
        }
    }
}

/// Where the command with this name has its timeout, in which unit, and whether null says that it took nothing.
fn describe(name: &[u8]) -> (Option<Place>, Unit, bool) {
    let known = [
        ("BLPOP", Place::Last, Unit::Seconds, true),
        ("BRPOP", Place::Last, Unit::Seconds, true),
        ("BRPOPLPUSH", Place::Last, Unit::Seconds, true),
        ("BLMOVE", Place::Last, Unit::Seconds, true),
        ("BLMPOP", Place::At(1), Unit::Seconds, true),
        ("BZPOPMIN", Place::Last, Unit::Seconds, true),
        ("BZPOPMAX", Place::Last, Unit::Seconds, true),
        ("BZMPOP", Place::At(1), Unit::Seconds, true),
        ("XREAD", Place::BehindBlock(0), Unit::Millis, true),
        // GROUP, and two names, which may be any word.
        ("XREADGROUP", Place::BehindBlock(3), Unit::Millis, true),
        // They count replicas, and a count is their answer when the time is over.
        ("WAIT", Place::At(2), Unit::Millis, false),
        ("WAITAOF", Place::At(3), Unit::Millis, false),
    ];
    let found = known.into_iter().find(|(known, ..)| name.eq_ignore_ascii_case(known.as_bytes()));
    found.map_or(UNKNOWN, |(_, place, unit, ends_with_null)| (Some(place), unit, ends_with_null))
}

const NAME_MAX: usize = 32;
const UNKNOWN: (Option<Place>, Unit, bool) = (None, Unit::Seconds, false);

/// The arguments of an encoded command, its name first. The bytes are those of a command that this crate has encoded.
fn arguments(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let Some(mut at) = memchr::memchr(b'\n', bytes).map(|end| end + 1) else { return found };
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.first() == Some(&b'$')) {
        let Some(end) = memchr::memchr(b'\r', rest) else { break };
        let digits = rest.get(1..end).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(length) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { break };
        let begin = at + end + 2;
        found.push(begin..begin + length);
        at = begin + length + 2;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> BlockingCommand {
        let words: Vec<_> = text.split(' ').collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::command(&mut bytes, words.len());
        words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
        BlockingCommand::new(bytes)
    }

    #[test]
    fn timeout_is_found_wherever_a_command_has_it() {
        for (text, expected, issued_again) in [
            ("BLPOP a b 2.5", Some(2500), "BLPOP a b 1.250"),
            ("brpop a 30", Some(30_000), "brpop a 1.250"),
            ("BLMOVE a b LEFT RIGHT 1", Some(1000), "BLMOVE a b LEFT RIGHT 1.250"),
            ("BLMPOP 3 1 list LEFT COUNT 2", Some(3000), "BLMPOP 1.250 1 list LEFT COUNT 2"),
            ("BZMPOP 0.1 1 set MIN", Some(100), "BZMPOP 1.250 1 set MIN"),
            ("XREAD COUNT 2 BLOCK 700 STREAMS s 0", Some(700), "XREAD COUNT 2 BLOCK 1250 STREAMS s 0"),
            (
                "XREADGROUP GROUP BLOCK BLOCK block 700 STREAMS s >",
                Some(700),
                "XREADGROUP GROUP BLOCK BLOCK block 1250 STREAMS s >",
            ),
            ("WAIT 1 50", Some(50), "WAIT 1 1250"),
            ("WAITAOF 1 0 50", Some(50), "WAITAOF 1 0 1250"),
            ("BLPOP a 0", None, "BLPOP a 0"),
            ("BLPOP a never", None, "BLPOP a never"),
            ("BLPOP", None, "BLPOP"),
            ("XREAD STREAMS BLOCK 7", None, "XREAD STREAMS BLOCK 7"),
            ("MODULE.WAIT a 7", None, "MODULE.WAIT a 7"),
        ] {
            let blocking = command(text);
            assert_eq!(blocking.timeout(), expected.map(Duration::from_millis), "{text}");
            let again = blocking.with_timeout(Duration::from_millis(1250));
            assert_eq!(again, command(issued_again).bytes(), "{text}");
        }
    }

    #[test]
    fn rest_of_a_timeout_never_becomes_no_limit() {
        assert_eq!(command("BLPOP a 2").with_timeout(Duration::ZERO), command("BLPOP a 0.001").bytes());
        let xread = command("XREAD BLOCK 9 STREAMS s 0").with_timeout(Duration::from_nanos(1));
        assert_eq!(xread, command("XREAD BLOCK 1 STREAMS s 0").bytes());
    }

    #[test]
    fn replica_counts_are_no_sign_of_an_empty_wait() {
        assert!(command("BLPOP a 0").ends_with_null());
        assert!(!command("WAIT 1 0").ends_with_null());
    }
}
