//! The parser of command templates: it splits a text into arguments, and these into text and placeholders.

use super::error::TemplateError;

/// Splits a template into its arguments, the command's name first.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<Piece>>, TemplateError> {
    Scanner { rest: text.chars(), arguments: Vec::new() }.scan()
}

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
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

/// The most different keys of one command.
const KEYS_MAX: usize = 16;
