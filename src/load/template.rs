//! A user's own command: text with `{key}` and other placeholders.
//!
//! The text is split into arguments as in a shell: whitespace separates, quotes group, and a backslash escapes the next
//! character. In double quotes `\n`, `\r`, `\t` and `\xNN` have their meaning, as in redis-cli.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use super::keys::{KEY_PREFIX, KeyText};
use crate::{Cmd, cmd};

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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// Counted from 0.
    Key(usize),
    Value,
    Number,
    Random {
        min: u64,
        max: u64,
    },
}

/// The most different keys of one command.
const KEYS_MAX: usize = 16;

/// Why a text is not a valid command template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The text is empty.
    #[error("the command is empty; allowed: a command and its arguments, e.g. GET {{key}}")]
    Empty,
    /// A quote is opened and not closed.
    #[error("a {0} quote is not closed")]
    OpenQuote(char),
    /// The text ends with a backslash.
    #[error("the last backslash has nothing after it")]
    OpenEscape,
    /// The command's name is not plain text.
    #[error("the command's name must be plain text, without {{key}} or other placeholders")]
    Name,
    /// An unknown placeholder.
    #[error(
        "{given} is not known{} There are {PLACEHOLDERS} (\\{{ for a plain brace)",
        perhaps(.meant)
    )]
    Placeholder {
        /// The placeholder as given.
        given: String,
        /// The closest known placeholder.
        meant: Option<&'static str>,
    },
    /// The command cannot run on a shared connection.
    #[error("{0}")]
    Refused(String),
}

fn perhaps(meant: &Option<&str>) -> String {
    meant.map_or_else(|| ".".to_owned(), |meant| format!("; did you mean {meant}?"))
}

const PLACEHOLDERS: &str = "{key}, {key:2} to {key:16}, {value}, {n}, and {random:MIN-MAX}";

/// Commands that read a string value, so that the key space must be written first.
const READERS: &[&str] = &[
    "GET", "MGET", "GETRANGE", "SUBSTR", "STRLEN", "GETEX", "GETDEL", "GETSET", "GETBIT", "BITCOUNT",
    "BITPOS", "EXISTS", "TYPE", "TTL", "PTTL", "DUMP", "TOUCH",
];

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
                    filling.room.clear();
                    several.iter().for_each(|piece| filling.push(piece));
                    command.arg(filling.room.as_slice())
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
    pub(crate) room: &'a mut Vec<u8>,
}

impl Filling<'_> {
    fn key(&self, index: usize) -> &[u8] {
        self.keys.get(index).map(KeyText::as_bytes).unwrap_or_default()
    }

    fn push(&mut self, piece: &Piece) {
        // Writing to a vector cannot fail.
        let _ = match *piece {
            Piece::Text(ref text) => self.room.write_all(text),
            Piece::Key(index) => {
                let key = self.keys.get(index).map(KeyText::as_bytes).unwrap_or_default();
                self.room.write_all(key)
            }
            Piece::Value => self.room.write_all(self.value),
            Piece::Number => write!(self.room, "{}", self.number),
            Piece::Random { min, max } => write!(self.room, "{}", self.rng.u64(min..=max)),
        };
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let mut arguments = Scanner { rest: text.chars(), arguments: Vec::new() }.scan()?;
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
            room: &mut Vec::new(),
        };
        let command = self.command(&mut filling);
        let error = command.refusal()?;
        let (name, text) = (&self.name, error.to_string());
        match command.blocking().refusal() {
            // `Cmd::blocking` would allow it, but a run has no use for that.
            None => Some(format!(
                "{name} may wait on the server, and the callers that share its connection would wait with it"
            )),
            Some(_) => Some(text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned()),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Scanner<'a> {
    rest: std::str::Chars<'a>,
    arguments: Vec<Vec<Piece>>,
}

impl Scanner<'_> {
    fn scan(mut self) -> Result<Vec<Vec<Piece>>, TemplateError> {
        // `None` between arguments; empty quotes are an argument, too.
        let mut current: Option<Vec<Piece>> = None;
        let mut quote = None;
        while let Some(c) = self.rest.next() {
            if quote == Some(c) {
                quote = None;
                continue;
            }
            if quote.is_none() && c.is_whitespace() {
                self.arguments.extend(current.take().map(finished));
                continue;
            }
            let pieces = current.get_or_insert_with(Vec::new);
            match c {
                '\'' | '"' if quote.is_none() => quote = Some(c),
                '{' => self.brace(pieces)?,
                '\\' if quote != Some('\'') => self.escape(quote, pieces)?,
                _ => push_char(pieces, c),
            }
        }
        if let Some(quote) = quote {
            return Err(TemplateError::OpenQuote(quote));
        }
        self.arguments.extend(current.take().map(finished));
        Ok(self.arguments)
    }

    /// Scans after an opening brace: a placeholder, or plain text (as in a script's tables).
    fn brace(&mut self, out: &mut Vec<Piece>) -> Result<(), TemplateError> {
        let rest = self.rest.as_str();
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = rest.find(|c: char| !in_name(c)).unwrap_or(rest.len());
        let inside = rest.find('}').and_then(|end| rest.get(..end));
        let inside = inside.filter(|inside| {
            let after = inside.get(name..).unwrap_or_default();
            rest.starts_with(|c: char| c.is_ascii_alphabetic())
                && (after.is_empty() || after.starts_with(':'))
                && !after.contains(char::is_whitespace)
        });
        let Some(inside) = inside else {
            push_char(out, '{');
            return Ok(());
        };
        out.push(placeholder(inside).ok_or_else(|| unknown(inside))?);
        // Only the part up to the colon is known to be ASCII, so characters are counted.
        self.rest.nth(inside.chars().count());
        Ok(())
    }

    /// Scans after a backslash.
    fn escape(&mut self, quote: Option<char>, out: &mut Vec<Piece>) -> Result<(), TemplateError> {
        let c = self.rest.next().ok_or(TemplateError::OpenEscape)?;
        let byte = match c {
            'n' if quote.is_some() => b'\n',
            'r' if quote.is_some() => b'\r',
            't' if quote.is_some() => b'\t',
            'x' if quote.is_some() => self.hex().unwrap_or(b'x'),
            _ => {
                push_char(out, c);
                return Ok(());
            }
        };
        push_bytes(out, &[byte]);
        Ok(())
    }

    /// Two hex digits, consumed only if both are present.
    fn hex(&mut self) -> Option<u8> {
        let digits = self.rest.as_str().get(..2)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        self.rest.nth(1);
        Some(byte)
    }
}

/// The placeholder with this text between its braces, if it is known.
fn placeholder(inside: &str) -> Option<Piece> {
    let (name, numbers) = inside.split_once(':').map_or((inside, None), |(name, rest)| (name, Some(rest)));
    match (name, numbers) {
        ("key", None) => Some(Piece::Key(0)),
        ("key", Some(number)) => {
            let number = number.parse().ok().filter(|number| (1..=KEYS_MAX).contains(number))?;
            Some(Piece::Key(number - 1))
        }
        ("value", None) => Some(Piece::Value),
        ("n", None) => Some(Piece::Number),
        ("random", Some(range)) => {
            let (min, max) = range.split_once('-')?;
            let (min, max) = (min.parse().ok()?, max.parse().ok()?);
            (min <= max).then_some(Piece::Random { min, max })
        }
        _ => None,
    }
}

/// The error for an unknown placeholder, with the closest known one if few letters differ.
fn unknown(inside: &str) -> TemplateError {
    let name = inside.split(':').next().unwrap_or_default();
    let known = [("key", "{key}"), ("value", "{value}"), ("n", "{n}"), ("random", "{random:MIN-MAX}")];
    let distances = known.map(|(word, meant)| (distance(name, word), word.len(), meant));
    let nearest = distances.into_iter().min_by_key(|(distance, ..)| *distance);
    let near = nearest.filter(|(distance, length, _)| *distance <= length.div_ceil(2));
    TemplateError::Placeholder { given: format!("{{{inside}}}"), meant: near.map(|(.., meant)| meant) }
}

/// The Levenshtein distance of two words.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, a) in one.bytes().enumerate() {
        let mut above_left = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (b, &above) in other.bytes().zip(row.iter().skip(1)) {
            left = (above_left + usize::from(a != b)).min(above + 1).min(left + 1);
            above_left = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// Empty quotes are an empty argument, which is one empty piece.
fn finished(mut pieces: Vec<Piece>) -> Vec<Piece> {
    if pieces.is_empty() {
        pieces.push(Piece::Text(Vec::new()));
    }
    pieces
}

fn push_char(pieces: &mut Vec<Piece>, c: char) {
    push_bytes(pieces, c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_bytes(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.extend_from_slice(bytes),
        _ => pieces.push(Piece::Text(bytes.to_vec())),
    }
}

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
        let (rng, room) = (&mut fastrand::Rng::with_seed(1), &mut Vec::new());
        let filling = &mut Filling { keys: &keys, value: b"V", number: 42, rng, room };
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
        use crate::load::fit::{chi_square, chi_square_limit};
        let template: Template = "ECHO {random:3-12}".parse().expect("a template");
        let rng = &mut fastrand::Rng::with_seed(1);
        let misfit = chi_square(&[0.1; 10], 20_000, || {
            let mut encoded = Vec::new();
            let room = &mut Vec::new();
            template
                .command(&mut Filling { keys: &[], value: b"", number: 0, rng, room })
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
        let told = error("GET {kee}").to_string();
        assert!(told.starts_with("{kee} is not known; did you mean {key}? There are {key}, "), "{told}");
        assert!(told.ends_with("(\\{ for a plain brace)"), "{told}");
    }

    #[test]
    fn commands_unfit_for_shared_connections_are_rejected() {
        for text in
            ["BLPOP {key} 0", "subscribe x", "XREAD BLOCK 0 STREAMS {key} $", "CLIENT REPLY OFF", "MULTI"]
        {
            let error = text.parse::<Template>().expect_err("it is refused");
            let TemplateError::Refused(reason) = &error else { panic!("{error:?}") };
            assert!(reason.contains(" share"), "{reason}");
        }
        assert!("XREAD COUNT 1 STREAMS {key} 0".parse::<Template>().is_ok());
    }

    #[test]
    fn readers_are_known_in_any_case() {
        assert!("get {key}".parse::<Template>().expect("a template").reads_strings());
        assert!(!"LPUSH {key} x".parse::<Template>().expect("a template").reads_strings());
    }
}
