//! A user's own command, as text with `{key}` and `{value}` in it.
//!
//! The text is cut into arguments as a shell would do it: blanks separate, quotes hold together,
//! and a backslash takes the next character as it is (in double quotes also `\n`, `\r`, `\t` and
//! `\xNN`, as in redis-cli).

use std::fmt;
use std::str::FromStr;

/// A command to send over and over, with the places where keys and values go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    name: String,
    arguments: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Key,
    Value,
}

/// Why a text is no command template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is nothing in it.
    #[error("the command is empty; allowed: a command and its arguments, e.g. GET {{key}}")]
    Empty,
    /// A quote is opened and not closed.
    #[error("a {0} quote is not closed")]
    OpenQuote(char),
    /// It ends in a backslash.
    #[error("the last backslash has nothing after it")]
    OpenEscape,
    /// The command's name is not plain text.
    #[error("the command's name must be plain text, without {{key}} or {{value}}")]
    Name,
    /// Something in braces that is not known.
    #[error("{0} is not known: only {{key}} and {{value}} are replaced (\\{{ for a plain brace)")]
    Placeholder(String),
}

/// Commands that read a string value, and so need the key space to be loaded first.
const READERS: &[&str] = &[
    "GET", "MGET", "GETRANGE", "SUBSTR", "STRLEN", "GETEX", "GETDEL", "GETSET", "GETBIT", "BITCOUNT",
    "BITPOS", "EXISTS", "TYPE", "TTL", "PTTL", "DUMP", "TOUCH",
];

impl Template {
    /// The command's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the command reads string values that must be there for the run to mean anything.
    pub fn reads_strings(&self) -> bool {
        READERS.iter().any(|reader| reader.eq_ignore_ascii_case(&self.name))
    }

    /// Whether `{key}` occurs in it.
    pub fn has_key(&self) -> bool {
        self.arguments.iter().flatten().any(|piece| *piece == Piece::Key)
    }

    /// Hands every argument after the name to `each`, with the placeholders filled in. An argument
    /// that is a placeholder and nothing else is not copied.
    pub(crate) fn fill(&self, key: &[u8], value: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
        for pieces in &self.arguments {
            let bytes = |piece| match piece {
                &Piece::Key => key,
                &Piece::Value => value,
                Piece::Text(text) => text.as_slice(),
            };
            if let [only] = pieces.as_slice() {
                each(bytes(only));
                continue;
            }
            scratch.clear();
            pieces.iter().for_each(|piece| scratch.extend_from_slice(bytes(piece)));
            each(scratch);
        }
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
        Ok(Template { text: text.to_owned(), name, arguments })
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
        // `None` between arguments; quotes make an argument even when nothing is in them.
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

    /// What follows an opening brace: a placeholder, or plain text (as in a script's tables).
    fn brace(&mut self, out: &mut Vec<Piece>) -> Result<(), TemplateError> {
        let rest = self.rest.as_str();
        let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        if name.is_empty() || !tail.starts_with('}') {
            push_char(out, '{');
            return Ok(());
        }
        out.push(match name {
            "key" => Piece::Key,
            "value" => Piece::Value,
            _ => return Err(TemplateError::Placeholder(format!("{{{name}}}"))),
        });
        self.rest.nth(end);
        Ok(())
    }

    /// What follows a backslash.
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

    /// Two hex digits, taken only if both are there.
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

/// Quotes without content are an empty argument, which is one empty piece.
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

    fn filled(text: &str) -> Vec<String> {
        let template: Template = text.parse().expect("a template");
        let mut out = vec![template.name().to_owned()];
        template.fill(b"K", b"V", &mut Vec::new(), |argument| {
            out.push(String::from_utf8_lossy(argument).into_owned());
        });
        out
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(filled("LPUSH {key} {value}"), ["LPUSH", "K", "V"]);
        assert_eq!(filled("SET pre:{key}:post {value}{value}"), ["SET", "pre:K:post", "VV"]);
        assert_eq!(filled("  PING  "), ["PING"]);
    }

    #[test]
    fn quotes_hold_together_as_in_a_shell() {
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
    fn nonsense_is_named() {
        let error = |text: &str| text.parse::<Template>().expect_err("no template");
        assert_eq!(error("   "), TemplateError::Empty);
        assert_eq!(error("GET 'x"), TemplateError::OpenQuote('\''));
        assert_eq!(error("GET x\\"), TemplateError::OpenEscape);
        assert_eq!(error("{key} x"), TemplateError::Name);
        assert_eq!(error("'' x"), TemplateError::Name);
        assert_eq!(error("GET {kee}"), TemplateError::Placeholder("{kee}".into()));
    }

    #[test]
    fn readers_are_known_whatever_their_case() {
        assert!("get {key}".parse::<Template>().expect("a template").reads_strings());
        assert!(!"LPUSH {key} x".parse::<Template>().expect("a template").reads_strings());
    }
}
