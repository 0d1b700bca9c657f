//! [`Trace`]: what happened in a world: always as a fingerprint, and in words if somebody will read them.

use std::fmt::Write as _;

use crate::proto::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// One that keeps the words.
    pub(crate) fn in_words() -> Self {
        Trace { fingerprint: 0, lines: Some(Vec::new()) }
    }

    /// A number that differs between any two different traces, but for chance.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// Notes something: `facts` go into the fingerprint, and `words` are only made if they are kept.
    pub(super) fn note(&mut self, at: Instant, facts: &[u64], words: impl FnOnce(&mut String)) {
        for fact in [at.as_nanos()].iter().chain(facts) {
            // FNV-1a, a word at a time.
            self.fingerprint = (self.fingerprint ^ fact).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
        if let Some(lines) = &mut self.lines {
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = write!(line, "{:>11.6} s  ", at.as_nanos() as f64 / 1e9);
            words(&mut line);
            lines.push(line);
        }
    }
}
