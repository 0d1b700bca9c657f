//! [`Trace`]: the record of a simulation, as a fingerprint and, on request, as text.

use std::fmt::Write as _;

use crate::proto::time::Instant;

/// The default trace keeps the fingerprint only, which costs no memory.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that also keeps its text.
    pub(crate) fn with_text() -> Self {
        Trace { fingerprint: 0, lines: Some(Vec::new()) }
    }

    /// A hash of all recorded facts: equal for equal traces, and different for others except by chance.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// Records an event: the fingerprint takes the `facts`, and `text` runs only if the trace keeps its text.
    pub(super) fn note(&mut self, at: Instant, facts: &[u64], text: impl FnOnce(&mut String)) {
        for fact in [at.as_nanos()].iter().chain(facts) {
            // FNV-1a over words instead of bytes.
            self.fingerprint = (self.fingerprint ^ fact).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
        }
        if let Some(lines) = &mut self.lines {
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = write!(line, "{:>11.6} s  ", at.as_nanos() as f64 / 1e9);
            text(&mut line);
            lines.push(line);
        }
    }
}
