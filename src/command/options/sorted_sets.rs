//! Options of commands for sorted sets.

use super::{Sink, ToArg, Write, flags, words};

words! {
    /// The end of a sorted set, for [`ZMPOP`](https://redis.io/docs/latest/commands/zmpop/).
    ZsetEnd {
        /// The lowest scores.
        Min = "MIN",
        /// The highest scores.
        Max = "MAX",
    }
}

/// Options of [`ZADD`](https://redis.io/docs/latest/commands/zadd/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ZaddOptions {
    exists: Option<&'static str>,
    order: Option<&'static str>,
    ch: bool,
    incr: bool,
}

impl ZaddOptions {
    /// No options.
    pub fn new() -> Self {
        ZaddOptions::default()
    }

    /// Adds new members only.
    pub fn nx(mut self) -> Self {
        self.exists = Some("NX");
        self
    }

    /// Changes existing members only.
    pub fn xx(mut self) -> Self {
        self.exists = Some("XX");
        self
    }

    /// Existing members change only to a higher score.
    pub fn gt(mut self) -> Self {
        self.order = Some("GT");
        self
    }

    /// Existing members change only to a lower score.
    pub fn lt(mut self) -> Self {
        self.order = Some("LT");
        self
    }

    /// Also counts members whose score changed.
    pub fn ch(mut self) -> Self {
        self.ch = true;
        self
    }

    /// Adds to the score of a single member, and returns its new score; null if a condition prevented it.
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

/// Options of [`ZRANGE`](https://redis.io/docs/latest/commands/zrange/). The default range is of ranks.
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

    /// The highest first; a range of scores or names then starts with its higher end.
    pub fn rev(mut self) -> Self {
        self.rev = true;
        self
    }

    /// Skips `offset` members of a range of scores or names, and returns `count`; all of them if `count` is negative.
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

/// Options of [`ZUNION`](https://redis.io/docs/latest/commands/zunion/), `ZINTER`, and their `STORE` forms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[must_use]
pub struct ZcombineOptions<'a> {
    weights: &'a [f64],
    aggregate: Option<&'static str>,
    with_scores: bool,
}

impl<'a> ZcombineOptions<'a> {
    /// A member's score is the sum of its scores.
    pub fn new() -> Self {
        ZcombineOptions::default()
    }

    /// Multiplies the scores of each key by its weight; there must be one for each key.
    pub fn weights(mut self, weights: &'a [f64]) -> Self {
        self.weights = weights;
        self
    }

    /// A member's score is its lowest score.
    pub fn aggregate_min(mut self) -> Self {
        self.aggregate = Some("MIN");
        self
    }

    /// A member's score is its highest score.
    pub fn aggregate_max(mut self) -> Self {
        self.aggregate = Some("MAX");
        self
    }

    /// Returns pairs of member and score; not for the `STORE` forms.
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
