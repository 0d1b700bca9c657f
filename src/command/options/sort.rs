//! Of SORT.

use super::{Argument, Sink, ToArg, Write, flags};

/// Of [`SORT`](https://redis.io/docs/latest/commands/sort/): by what, and what is returned.
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

    /// By the values of other keys, such as `weight_*`, or not at all, if there is no `*` in it.
    pub fn by(mut self, pattern: &'a (impl ToArg + ?Sized)) -> Self {
        self.by = Some(pattern.to_arg());
        self
    }

    /// `count` elements behind the first `offset`.
    pub fn limit(mut self, offset: u64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// Returns the values of other keys in the elements' places, such as `object_*->name`; `#` is the element itself.
    /// With several, the reply has several values for each element.
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
