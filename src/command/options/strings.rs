//! Options of commands for strings, and for the expiry of keys.

use super::{Sink, Write, flags, words};

/// Options of [`SET`](https://redis.io/docs/latest/commands/set/): the condition, and the expiry.
///
/// ```no_run
/// use hitless::options::SetOptions;
///
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// // A lock that expires after 5 s: the caller that gets `true` holds it.
/// let locked: bool = client.set_with("lock", "me", SetOptions::new().nx().px(5000)).await?;
/// # let _ = locked;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SetOptions {
    condition: Option<&'static str>,
    get: bool,
    expiry: Option<Expiry>,
}

impl SetOptions {
    /// No options.
    pub fn new() -> Self {
        SetOptions::default()
    }

    /// Only if the key does not exist.
    pub fn nx(mut self) -> Self {
        self.condition = Some("NX");
        self
    }

    /// Only if the key exists.
    pub fn xx(mut self) -> Self {
        self.condition = Some("XX");
        self
    }

    /// Returns the previous value, or null.
    pub fn get(mut self) -> Self {
        self.get = true;
        self
    }

    /// Expires after this many seconds.
    pub fn ex(mut self, seconds: u64) -> Self {
        self.expiry = Some(Expiry::Until("EX", seconds));
        self
    }

    /// Expires after this many milliseconds.
    pub fn px(mut self, milliseconds: u64) -> Self {
        self.expiry = Some(Expiry::Until("PX", milliseconds));
        self
    }

    /// Expires at a second of Unix time.
    pub fn exat(mut self, second: u64) -> Self {
        self.expiry = Some(Expiry::Until("EXAT", second));
        self
    }

    /// Expires at a millisecond of Unix time.
    pub fn pxat(mut self, millisecond: u64) -> Self {
        self.expiry = Some(Expiry::Until("PXAT", millisecond));
        self
    }

    /// Keeps the key's expiry. Without it, `SET` removes the expiry.
    pub fn keep_ttl(mut self) -> Self {
        self.expiry = Some(Expiry::Word("KEEPTTL"));
        self
    }
}

impl Write for SetOptions {
    #[inline]
    fn write(&self, sink: &mut impl Sink) {
        if let Some(condition) = self.condition {
            sink.word(condition);
        }
        if self.get {
            sink.word("GET");
        }
        self.expiry.write(sink);
    }
}

/// Options of [`GETEX`](https://redis.io/docs/latest/commands/getex/): the key's new expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct GetExOptions {
    expiry: Option<Expiry>,
}

impl GetExOptions {
    /// Leaves the expiry unchanged.
    pub fn new() -> Self {
        GetExOptions::default()
    }

    /// Expires after this many seconds.
    pub fn ex(seconds: u64) -> Self {
        GetExOptions { expiry: Some(Expiry::Until("EX", seconds)) }
    }

    /// Expires after this many milliseconds.
    pub fn px(milliseconds: u64) -> Self {
        GetExOptions { expiry: Some(Expiry::Until("PX", milliseconds)) }
    }

    /// Expires at a second of Unix time.
    pub fn exat(second: u64) -> Self {
        GetExOptions { expiry: Some(Expiry::Until("EXAT", second)) }
    }

    /// Expires at a millisecond of Unix time.
    pub fn pxat(millisecond: u64) -> Self {
        GetExOptions { expiry: Some(Expiry::Until("PXAT", millisecond)) }
    }

    /// Removes the expiry.
    pub fn persist() -> Self {
        GetExOptions { expiry: Some(Expiry::Word("PERSIST")) }
    }
}

impl Write for GetExOptions {
    #[inline]
    fn write(&self, sink: &mut impl Sink) {
        self.expiry.write(sink);
    }
}

words! {
    /// Options of [`EXPIRE`](https://redis.io/docs/latest/commands/expire/) and its like: the condition.
    ExpireCondition {
        /// If the key has no expiry.
        Nx = "NX",
        /// If the key has an expiry.
        Xx = "XX",
        /// If the new expiry is later; a key without expiry counts as the latest.
        Gt = "GT",
        /// If the new expiry is earlier.
        Lt = "LT",
    }
}

/// Options of [`COPY`](https://redis.io/docs/latest/commands/copy/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct CopyOptions {
    db: Option<u32>,
    replace: bool,
}

impl CopyOptions {
    /// Copies within the database, unless the destination exists.
    pub fn new() -> Self {
        CopyOptions::default()
    }

    /// Copies to another database.
    pub fn db(mut self, db: u32) -> Self {
        self.db = Some(db);
        self
    }

    /// Replaces the destination.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

impl Write for CopyOptions {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(db) = self.db {
            sink.named("DB", db);
        }
        flags(sink, [(self.replace, "REPLACE")]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Word(&'static str),
    Until(&'static str, u64),
}

impl Write for Option<Expiry> {
    #[inline]
    fn write(&self, sink: &mut impl Sink) {
        match *self {
            Some(Expiry::Word(word)) => sink.word(word),
            Some(Expiry::Until(word, time)) => sink.named(word, time),
            None => {}
        }
    }
}
