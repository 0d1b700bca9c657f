//! A user's own command: text with `{key}` and other placeholders.
//!
//! The text is split into arguments as in a shell: whitespace separates, quotes group, and a backslash escapes the next
//! character. In double quotes `\n`, `\r`, `\t` and `\xNN` have their meaning, as in redis-cli.

mod error;
mod parser;

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use crate::command::Carrier;
use crate::load::workload::keys::{KEY_PREFIX, KeyText};
use crate::{Cmd, cmd};
pub use error::TemplateError;
use parser::Piece;

/// A command to send repeatedly, with placeholders for keys, values and numbers.
///
/// | placeholder | replaced by |
/// |---|---|
/// | `{key}` | a key; the same one at every place of a command |
/// | `{key:2}`, to `{key:16}` | more keys, for commands that take several |
/// | `{value}` | a value |
/// | `{n}` | a number that is unique in the run |
/// | `{random:MIN-MAX}` | a random integer from `MIN` to `MAX`, a different one at each place |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    name: String,
    arguments: Vec<Vec<Piece>>,
    keys: usize,
}

impl Template {
    /// The command's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the command reads string values, which must exist for a meaningful run.
    pub fn reads_strings(&self) -> bool {
        READERS.iter().any(|reader| reader.eq_ignore_ascii_case(&self.name))
    }

    /// Whether the command has a key.
    pub fn has_key(&self) -> bool {
        self.keys > 0
    }

    /// How many keys the command takes.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Whether the command has a `{value}`.
    pub(crate) fn has_value(&self) -> bool {
        self.arguments.iter().flatten().any(|piece| *piece == Piece::Value)
    }

    /// The command with its placeholders replaced. An argument that consists of one placeholder is not copied first.
    pub(crate) fn command(&self, filling: &mut Filling<'_>) -> Cmd {
        let mut command = cmd(&self.name);
        for pieces in &self.arguments {
            command = match pieces.as_slice() {
                [Piece::Text(text)] => command.arg(text.as_slice()),
                [Piece::Key(key)] => command.arg(filling.key(*key)),
                [Piece::Value] => command.arg(filling.value),
                several => {
                    filling.buffer.clear();
                    several.iter().for_each(|piece| filling.push(piece));
                    command.arg(filling.buffer.as_slice())
                }
            };
        }
        command
    }
}

/// The values for the placeholders of a command.
#[derive(Debug)]
pub(crate) struct Filling<'a> {
    /// [`Template::keys`] keys.
    pub(crate) keys: &'a [KeyText],
    /// Empty unless [`Template::has_value`].
    pub(crate) value: &'a [u8],
    pub(crate) number: u64,
    pub(crate) rng: &'a mut fastrand::Rng,
    /// The buffer in which arguments are assembled.
    pub(crate) buffer: &'a mut Vec<u8>,
}

impl Filling<'_> {
    fn key(&self, index: usize) -> &[u8] {
        self.keys.get(index).map(KeyText::as_bytes).unwrap_or_default()
    }

    fn push(&mut self, piece: &Piece) {
        // Writing to a vector cannot fail.
        let _ = match *piece {
            Piece::Text(ref text) => self.buffer.write_all(text),
            Piece::Key(index) => {
                let key = self.keys.get(index).map(KeyText::as_bytes).unwrap_or_default();
                self.buffer.write_all(key)
            }
            Piece::Value => self.buffer.write_all(self.value),
            Piece::Number => write!(self.buffer, "{}", self.number),
            Piece::Random { min, max } => write!(self.buffer, "{}", self.rng.u64(min..=max)),
        };
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let mut arguments = parser::parse(text)?;
        if arguments.is_empty() {
            return Err(TemplateError::Empty);
        }
        let name = match arguments.remove(0).as_slice() {
            [Piece::Text(name)] => String::from_utf8(name.clone()).ok(),
            _ => None,
        };
        let name = name.filter(|name| !name.trim().is_empty()).ok_or(TemplateError::Name)?;
        let key = |piece: &Piece| if let Piece::Key(index) = piece { index + 1 } else { 0 };
        let keys = arguments.iter().flatten().map(key).max().unwrap_or(0);
        let template = Template { text: text.to_owned(), name, arguments, keys };
        match template.refusal() {
            None => Ok(template),
            Some(reason) => Err(TemplateError::Refused(reason)),
        }
    }
}

impl Template {
    /// Why the library would reject the command; `None` if it accepts it. The values of the placeholders do not change
    /// the answer.
    fn refusal(&self) -> Option<String> {
        let mut filling = Filling {
            keys: &vec![KeyText::new(KEY_PREFIX, 0); self.keys],
            value: b"",
            number: 0,
            rng: &mut fastrand::Rng::with_seed(0),
            buffer: &mut Vec::new(),
        };
        let command = self.command(&mut filling);
        let name = &self.name;
        match command.carrier() {
            Ok(Carrier::Shared) => None,
            Ok(Carrier::Exclusive) => {
                Some(format!("{name} may wait on the server, and its latency would be that of the wait"))
            }
            Err(error) => {
                let text = error.to_string();
                Some(text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned())
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Commands that read a string value, so that the key space must be written first.
const READERS: &[&str] = &[
    "GET", "MGET", "GETRANGE", "SUBSTR", "STRLEN", "GETEX", "GETDEL", "GETSET", "GETBIT", "BITCOUNT",
    "BITPOS", "EXISTS", "TYPE", "TTL", "PTTL", "DUMP", "TOUCH",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of the command, with K, K2 and so on for the keys.
    fn filled(text: &str) -> Vec<String> {
        let template: Template = text.parse().expect("a template");
        let keys: Vec<KeyText> = (1..=template.keys() as u64)
            .map(|number| {
                let mut key = KeyText::new(KEY_PREFIX, 0);
                key.write(number);
                key
            })
            .collect();
        let (rng, buffer) = (&mut fastrand::Rng::with_seed(1), &mut Vec::new());
        let filling = &mut Filling { keys: &keys, value: b"V", number: 42, rng, buffer };
        let mut encoded = Vec::new();
        template.command(filling).encode(&mut encoded);
        let text = String::from_utf8(encoded).expect("text");
        // After the number of arguments, each one follows its length.
        let words = text.split("\r\n").skip(2).step_by(2);
        let short = |word: &str| word.replace("key:000000000001", "K").replace("key:00000000000", "K");
        words.map(short).filter(|word| !word.is_empty() || text.contains("$0")).collect()
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(filled("LPUSH {key} {value}"), ["LPUSH", "K", "V"]);
        assert_eq!(filled("SET pre:{key}:post {value}{value}"), ["SET", "pre:K:post", "VV"]);
        assert_eq!(filled("  PING  "), ["PING"]);
        assert_eq!(
            filled("MSET {key} a {key:3} {value} x{key:2} c"),
            ["MSET", "K", "a", "K3", "V", "xK2", "c"]
        );
        assert_eq!(filled("SET {key:1} {n}-{n}"), ["SET", "K", "42-42"]);
        assert_eq!(filled("ECHO {random:7-7}{random:7-7}é{n}"), ["ECHO", "77é42"]);
        assert_eq!(
            filled("ECHO {random:18446744073709551615-18446744073709551615}"),
            ["ECHO", &u64::MAX.to_string()]
        );
    }

    #[test]
    fn a_random_number_is_any_of_its_range() {
        use crate::load::workload::goodness_of_fit::{chi_square, chi_square_limit};
        let template: Template = "ECHO {random:3-12}".parse().expect("a template");
        let rng = &mut fastrand::Rng::with_seed(1);
        let misfit = chi_square(&[0.1; 10], 20_000, || {
            let mut encoded = Vec::new();
            let buffer = &mut Vec::new();
            template
                .command(&mut Filling { keys: &[], value: b"", number: 0, rng, buffer })
                .encode(&mut encoded);
            let text = String::from_utf8(encoded).expect("text");
            text.split("\r\n").nth(4).and_then(|number| number.parse::<usize>().ok()).expect("a number") - 3
        });
        assert!(misfit < chi_square_limit(9), "{misfit}");
    }

    #[test]
    fn quotes_group_as_in_a_shell() {
        assert_eq!(filled("SET {key} 'a b' \"c d\""), ["SET", "K", "a b", "c d"]);
        assert_eq!(filled("SET k a' 'b"), ["SET", "k", "a b"]);
        assert_eq!(filled("SET k ''"), ["SET", "k", ""]);
        assert_eq!(filled(r#"SET k "a\"\x41\n""#), ["SET", "k", "a\"A\n"]);
        assert_eq!(filled(r"SET k 'a\b'"), ["SET", "k", r"a\b"]);
        assert_eq!(filled(r"SET k a\ b"), ["SET", "k", "a b"]);
        assert_eq!(filled(r"SET k \{key}"), ["SET", "k", "{key}"]);
        assert_eq!(filled("EVAL \"return '{key}'\" 0"), ["EVAL", "return 'K'", "0"]);
        assert_eq!(filled("EVAL 'return {1, {}}' 0"), ["EVAL", "return {1, {}}", "0"]);
    }

    #[test]
    fn invalid_templates_are_rejected_with_a_reason() {
        let error = |text: &str| text.parse::<Template>().expect_err("no template");
        assert_eq!(error("   "), TemplateError::Empty);
        assert_eq!(error("GET 'x"), TemplateError::OpenQuote('\''));
        assert_eq!(error("GET x\\"), TemplateError::OpenEscape);
        assert_eq!(error("{key} x"), TemplateError::Name);
        assert_eq!(error("'' x"), TemplateError::Name);
        for (text, given, meant) in [
            ("GET {kee}", "{kee}", Some("{key}")),
            ("GET {kye}", "{kye}", Some("{key}")),
            ("GET {Key}", "{Key}", Some("{key}")),
            ("GET {key1}", "{key1}", Some("{key}")),
            ("GET {key:0}", "{key:0}", Some("{key}")),
            ("GET {key:17}", "{key:17}", Some("{key}")),
            ("SET {key} {values}", "{values}", Some("{value}")),
            ("GET {n:5}", "{n:5}", Some("{n}")),
            ("GET {random}", "{random}", Some("{random:MIN-MAX}")),
            ("GET {rand:1-5}", "{rand:1-5}", Some("{random:MIN-MAX}")),
            ("GET {random:5-1}", "{random:5-1}", Some("{random:MIN-MAX}")),
            ("GET {whatever}", "{whatever}", None),
        ] {
            assert_eq!(error(text), TemplateError::Placeholder { given: given.to_owned(), meant }, "{text}");
        }
        let message = error("GET {kee}").to_string();
        assert!(
            message.starts_with("{kee} is not a placeholder; did you mean {key}? Placeholders are {key}, "),
            "{message}"
        );
        assert!(message.ends_with("(\\{ is a plain brace)"), "{message}");
    }

    #[test]
    fn commands_unfit_for_shared_connections_are_rejected() {
        for text in
            ["BLPOP {key} 0", "subscribe x", "XREAD BLOCK 0 STREAMS {key} $", "CLIENT REPLY OFF", "MULTI"]
        {
            let error = text.parse::<Template>().expect_err("it is refused");
            let TemplateError::Refused(reason) = &error else { panic!("{error:?}") };
            assert!(reason.contains(" share") || reason.contains("latency"), "{reason}");
        }
        assert!("XREAD COUNT 1 STREAMS {key} 0".parse::<Template>().is_ok());
    }

    #[test]
    fn readers_are_known_in_any_case() {
        assert!("get {key}".parse::<Template>().expect("a template").reads_strings());
        assert!(!"LPUSH {key} x".parse::<Template>().expect("a template").reads_strings());
    }
}
