//! Of sorted sets.

use super::{Sink, ToArg, Write, flags, words};

words! {
    /// Of [`ZMPOP`](https://redis.io/docs/latest/commands/zmpop/).
    ZsetEnd {
        /// The lowest scores.
        Min = "MIN",
        /// The highest scores.
        Max = "MAX",
    }
}

/// Of [`ZADD`](https://redis.io/docs/latest/commands/zadd/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ZaddOptions {
    exists: Option<&'static str>,
    order: Option<&'static str>,
    ch: bool,
    incr: bool,
}

impl ZaddOptions {
    /// As `ZADD` without options.
    pub fn new() -> Self {
        ZaddOptions::default()
    }

    /// Only members that are new.
    pub fn nx(mut self) -> Self {
        self.exists = Some("NX");
        self
    }

    /// Only members that are there.
    pub fn xx(mut self) -> Self {
        self.exists = Some("XX");
        self
    }

    /// Members that are there only get a higher score.
    pub fn gt(mut self) -> Self {
        self.order = Some("GT");
        self
    }

    /// Members that are there only get a lower score.
    pub fn lt(mut self) -> Self {
        self.order = Some("LT");
        self
    }

    /// Counts members with another score, too.
    pub fn ch(mut self) -> Self {
        self.ch = true;
        self
    }

    /// Adds to the score of a single member, and returns its new score; null if a condition stood in the way.
    pub fn incr(mut self) -> Self {
        self.incr = true;
        self
    }
}

impl Write for ZaddOptions {
    fn write(&self, sink: &mut impl Sink) {
        for word in [self.exists, self.order].into_iter().flatten() {
            sink.word(word);
        }
        flags(sink, [(self.ch, "CH"), (self.incr, "INCR")]);
    }
}

/// Of [`ZRANGE`](https://redis.io/docs/latest/commands/zrange/): what its range is of. Without options, of ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ZrangeOptions {
    by: Option<&'static str>,
    rev: bool,
    limit: Option<(u64, i64)>,
    with_scores: bool,
}

impl ZrangeOptions {
    /// A range of ranks.
    pub fn new() -> Self {
        ZrangeOptions::default()
    }

    /// A range of scores, such as `1` to `(5` or `-inf` to `+inf`.
    pub fn by_score(mut self) -> Self {
        self.by = Some("BYSCORE");
        self
    }

    /// A range of names, where all scores are equal, such as `[a` to `(b` or `-` to `+`.
    pub fn by_lex(mut self) -> Self {
        self.by = Some("BYLEX");
        self
    }

    /// The highest first; a range of scores or names then begins with its higher end.
    pub fn rev(mut self) -> Self {
        self.rev = true;
        self
    }

    /// `count` members behind the first `offset` of a range of scores or names; all, if negative.
    pub fn limit(mut self, offset: u64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// Returns pairs of member and score.
    pub fn with_scores(mut self) -> Self {
        self.with_scores = true;
        self
    }
}

impl Write for ZrangeOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(by) = self.by {
            sink.word(by);
        }
        flags(sink, [(self.rev, "REV")]);
        if let Some((offset, count)) = self.limit {
            sink.named("LIMIT", offset);
            sink.argument(count.to_arg());
        }
        flags(sink, [(self.with_scores, "WITHSCORES")]);
    }
}

/// Of [`ZUNION`](https://redis.io/docs/latest/commands/zunion/), `ZINTER`, and those that keep what they make.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use]
pub struct ZcombineOptions<'a> {
    weights: &'a [f64],
    aggregate: Option<&'static str>,
    with_scores: bool,
}

impl<'a> ZcombineOptions<'a> {
    /// The sums of the scores.
    pub fn new() -> Self {
        ZcombineOptions::default()
    }

    /// By what the scores of each key are multiplied: as many as there are keys.
    pub fn weights(mut self, weights: &'a [f64]) -> Self {
        self.weights = weights;
        self
    }

    /// The lowest of a member's scores.
    pub fn aggregate_min(mut self) -> Self {
        self.aggregate = Some("MIN");
        self
    }

    /// The highest of a member's scores.
    pub fn aggregate_max(mut self) -> Self {
        self.aggregate = Some("MAX");
        self
    }

    /// Returns pairs of member and score, where something is returned.
    pub fn with_scores(mut self) -> Self {
        self.with_scores = true;
        self
    }
}

impl Write for ZcombineOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        if !self.weights.is_empty() {
            sink.word("WEIGHTS");
            sink.many(self.weights);
        }
        if let Some(aggregate) = self.aggregate {
            sink.named("AGGREGATE", aggregate);
        }
        flags(sink, [(self.with_scores, "WITHSCORES")]);
    }
}
