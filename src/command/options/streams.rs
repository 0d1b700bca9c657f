//! Options of commands for streams. There is no `BLOCK`: `xread_blocking` and `xreadgroup_blocking` have it as an argument.

use super::{Argument, Sink, ToArg, Write, flags};

/// How to trim a stream: of [`XTRIM`](https://redis.io/docs/latest/commands/xtrim/) and [`XaddOptions`].
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Trim<'a> {
    by: &'static str,
    about: bool,
    threshold: Argument<'a>,
    limit: Option<u64>,
}

impl<'a> Trim<'a> {
    /// Keeps this many entries.
    pub fn max_len(entries: u64) -> Self {
        let threshold = match i64::try_from(entries) {
            Ok(number) => Argument::Integer(number),
            Err(_) => Argument::Owned(entries.to_string().into_bytes()),
        };
        Trim { by: "MAXLEN", about: false, threshold, limit: None }
    }

    /// Keeps the entries from this id on.
    pub fn min_id(id: &'a (impl ToArg + ?Sized)) -> Self {
        Trim { by: "MINID", about: false, threshold: id.to_arg(), limit: None }
    }

    /// Lets the server keep some more entries, which is much faster.
    pub fn about(mut self) -> Self {
        self.about = true;
        self
    }

    /// Removes at most this many entries; only together with [`about`](Self::about).
    pub fn limit(mut self, entries: u64) -> Self {
        self.limit = Some(entries);
        self
    }
}

impl Write for Trim<'_> {
    fn write(&self, sink: &mut impl Sink) {
        sink.word(self.by);
        sink.word(if self.about { "~" } else { "=" });
        sink.argument(self.threshold.to_arg());
        if let Some(entries) = self.limit {
            sink.named("LIMIT", entries);
        }
    }
}

/// Options of [`XADD`](https://redis.io/docs/latest/commands/xadd/).
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct XaddOptions<'a> {
    no_mkstream: bool,
    trim: Option<Trim<'a>>,
}

impl<'a> XaddOptions<'a> {
    /// No options.
    pub fn new() -> Self {
        XaddOptions::default()
    }

    /// Does not make a stream if there is none.
    pub fn no_mkstream(mut self) -> Self {
        self.no_mkstream = true;
        self
    }

    /// Also trims the stream.
    pub fn trim(mut self, trim: Trim<'a>) -> Self {
        self.trim = Some(trim);
        self
    }
}

impl Write for XaddOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        flags(sink, [(self.no_mkstream, "NOMKSTREAM")]);
        if let Some(trim) = &self.trim {
            trim.write(sink);
        }
    }
}

/// Options of [`XREAD`](https://redis.io/docs/latest/commands/xread/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct XreadOptions {
    count: Option<u64>,
}

impl XreadOptions {
    /// All entries.
    pub fn new() -> Self {
        XreadOptions::default()
    }

    /// At most this many entries of each stream.
    pub fn count(mut self, entries: u64) -> Self {
        self.count = Some(entries);
        self
    }
}

impl Write for XreadOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(entries) = self.count {
            sink.named("COUNT", entries);
        }
    }
}

/// Options of [`XREADGROUP`](https://redis.io/docs/latest/commands/xreadgroup/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct XreadGroupOptions {
    count: Option<u64>,
    no_ack: bool,
}

impl XreadGroupOptions {
    /// All entries, which stay pending until they are acknowledged.
    pub fn new() -> Self {
        XreadGroupOptions::default()
    }

    /// At most this many entries of each stream.
    pub fn count(mut self, entries: u64) -> Self {
        self.count = Some(entries);
        self
    }

    /// The entries need no acknowledgement.
    pub fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }
}

impl Write for XreadGroupOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(entries) = self.count {
            sink.named("COUNT", entries);
        }
        flags(sink, [(self.no_ack, "NOACK")]);
    }
}

/// Options of [`XGROUP CREATE`](https://redis.io/docs/latest/commands/xgroup-create/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct XgroupOptions {
    mkstream: bool,
    entries_read: Option<u64>,
}

impl XgroupOptions {
    /// No options.
    pub fn new() -> Self {
        XgroupOptions::default()
    }

    /// Makes the stream if there is none.
    pub fn mkstream(mut self) -> Self {
        self.mkstream = true;
        self
    }

    /// The number of entries that the group counts as read.
    pub fn entries_read(mut self, entries: u64) -> Self {
        self.entries_read = Some(entries);
        self
    }
}

impl Write for XgroupOptions {
    fn write(&self, sink: &mut impl Sink) {
        flags(sink, [(self.mkstream, "MKSTREAM")]);
        if let Some(entries) = self.entries_read {
            sink.named("ENTRIESREAD", entries);
        }
    }
}

/// Options of [`XAUTOCLAIM`](https://redis.io/docs/latest/commands/xautoclaim/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct XautoclaimOptions {
    count: Option<u64>,
    just_id: bool,
}

impl XautoclaimOptions {
    /// Up to 100 entries.
    pub fn new() -> Self {
        XautoclaimOptions::default()
    }

    /// At most this many entries.
    pub fn count(mut self, entries: u64) -> Self {
        self.count = Some(entries);
        self
    }

    /// Returns ids only, and does not count as a delivery.
    pub fn just_id(mut self) -> Self {
        self.just_id = true;
        self
    }
}

impl Write for XautoclaimOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(entries) = self.count {
            sink.named("COUNT", entries);
        }
        flags(sink, [(self.just_id, "JUSTID")]);
    }
}

/// Options of [`XCLAIM`](https://redis.io/docs/latest/commands/xclaim/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct XclaimOptions {
    time: Option<(&'static str, u64)>,
    retry_count: Option<u64>,
    force: bool,
    just_id: bool,
}

impl XclaimOptions {
    /// No options.
    pub fn new() -> Self {
        XclaimOptions::default()
    }

    /// The entries count as delivered this many milliseconds ago.
    pub fn idle(mut self, milliseconds: u64) -> Self {
        self.time = Some(("IDLE", milliseconds));
        self
    }

    /// The entries count as delivered at a millisecond of Unix time.
    pub fn time(mut self, millisecond: u64) -> Self {
        self.time = Some(("TIME", millisecond));
        self
    }

    /// The entries count as delivered this many times.
    pub fn retry_count(mut self, deliveries: u64) -> Self {
        self.retry_count = Some(deliveries);
        self
    }

    /// Also claims entries that are pending for no consumer.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Returns ids only, and does not count as a delivery.
    pub fn just_id(mut self) -> Self {
        self.just_id = true;
        self
    }
}

impl Write for XclaimOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some((word, time)) = self.time {
            sink.named(word, time);
        }
        if let Some(deliveries) = self.retry_count {
            sink.named("RETRYCOUNT", deliveries);
        }
        flags(sink, [(self.force, "FORCE"), (self.just_id, "JUSTID")]);
    }
}
