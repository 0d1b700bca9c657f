//! Options of SORT.

use super::{Argument, Sink, ToArg, Write, flags};

/// Options of [`SORT`](https://redis.io/docs/latest/commands/sort/): the order, and the values to return.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct SortOptions<'a> {
    by: Option<Argument<'a>>,
    limit: Option<(u64, i64)>,
    get: Vec<Argument<'a>>,
    desc: bool,
    alpha: bool,
}

impl<'a> SortOptions<'a> {
    /// As numbers, the lowest first.
    pub fn new() -> Self {
        SortOptions::default()
    }

    /// Sorts by the values of other keys, such as `weight_*`. A pattern without `*` does not sort.
    pub fn by(mut self, pattern: &'a (impl ToArg + ?Sized)) -> Self {
        self.by = Some(pattern.to_arg());
        self
    }

    /// Skips `offset` elements, and returns `count`.
    pub fn limit(mut self, offset: u64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// Returns the values of other keys instead of the elements, such as `object_*->name`; `#` is the element itself. If you
    /// call it several times, the reply has several values for each element.
    pub fn get(mut self, pattern: &'a (impl ToArg + ?Sized)) -> Self {
        self.get.push(pattern.to_arg());
        self
    }

    /// The highest first.
    pub fn desc(mut self) -> Self {
        self.desc = true;
        self
    }

    /// As text.
    pub fn alpha(mut self) -> Self {
        self.alpha = true;
        self
    }
}

impl Write for SortOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(pattern) = &self.by {
            sink.named("BY", pattern);
        }
        if let Some((offset, count)) = self.limit {
            sink.named("LIMIT", offset);
            sink.argument(count.to_arg());
        }
        for pattern in &self.get {
            sink.named("GET", pattern);
        }
        flags(sink, [(self.desc, "DESC"), (self.alpha, "ALPHA")]);
    }
}
