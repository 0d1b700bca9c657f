//! Options of the SCAN family.

use super::{Argument, Sink, ToArg, Write};

/// Options of [`SCAN`](https://redis.io/docs/latest/commands/scan/) and its like.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct ScanOptions<'a> {
    pattern: Option<Argument<'a>>,
    count: Option<u64>,
    kind: Option<Argument<'a>>,
}

impl<'a> ScanOptions<'a> {
    /// All elements.
    pub fn new() -> Self {
        ScanOptions::default()
    }

    /// Elements that match a pattern such as `user:*`.
    pub fn matching(mut self, pattern: &'a (impl ToArg + ?Sized)) -> Self {
        self.pattern = Some(pattern.to_arg());
        self
    }

    /// Roughly how many elements the server examines for each round trip. Its default is 10.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Keys of one type, such as `hash`; only for `SCAN`.
    pub fn of_type(mut self, kind: &'a (impl ToArg + ?Sized)) -> Self {
        self.kind = Some(kind.to_arg());
        self
    }
}

impl Write for ScanOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(pattern) = &self.pattern {
            sink.named("MATCH", pattern);
        }
        if let Some(count) = self.count {
            sink.named("COUNT", count);
        }
        if let Some(kind) = &self.kind {
            sink.named("TYPE", kind);
        }
    }
}
