//! Of strings, and of the lives of keys.

use super::{Sink, Write, flags, words};

/// Of [`SET`](https://redis.io/docs/latest/commands/set/): on which condition, and for how long.
///
/// ```no_run
/// use hitless::options::SetOptions;
///
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// // A lock that ends by itself: whoever gets `true` has it.
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
    life: Option<Life>,
}

impl SetOptions {
    /// As `SET` without options.
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

    /// Returns the value before, or null.
    pub fn get(mut self) -> Self {
        self.get = true;
        self
    }

    /// For so many seconds.
    pub fn ex(mut self, seconds: u64) -> Self {
        self.life = Some(Life::Until("EX", seconds));
        self
    }

    /// For so many milliseconds.
    pub fn px(mut self, milliseconds: u64) -> Self {
        self.life = Some(Life::Until("PX", milliseconds));
        self
    }

    /// Until a second of Unix time.
    pub fn exat(mut self, second: u64) -> Self {
        self.life = Some(Life::Until("EXAT", second));
        self
    }

    /// Until a millisecond of Unix time.
    pub fn pxat(mut self, millisecond: u64) -> Self {
        self.life = Some(Life::Until("PXAT", millisecond));
        self
    }

    /// For as long as the key has left, in the place of for ever.
    pub fn keep_ttl(mut self) -> Self {
        self.life = Some(Life::Word("KEEPTTL"));
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
        self.life.write(sink);
    }
}

/// Of [`GETEX`](https://redis.io/docs/latest/commands/getex/): how long the key lives from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct GetExOptions {
    life: Option<Life>,
}

impl GetExOptions {
    /// As long as before.
    pub fn new() -> Self {
        GetExOptions::default()
    }

    /// For so many seconds.
    pub fn ex(seconds: u64) -> Self {
        GetExOptions { life: Some(Life::Until("EX", seconds)) }
    }

    /// For so many milliseconds.
    pub fn px(milliseconds: u64) -> Self {
        GetExOptions { life: Some(Life::Until("PX", milliseconds)) }
    }

    /// Until a second of Unix time.
    pub fn exat(second: u64) -> Self {
        GetExOptions { life: Some(Life::Until("EXAT", second)) }
    }

    /// Until a millisecond of Unix time.
    pub fn pxat(millisecond: u64) -> Self {
        GetExOptions { life: Some(Life::Until("PXAT", millisecond)) }
    }

    /// For ever.
    pub fn persist() -> Self {
        GetExOptions { life: Some(Life::Word("PERSIST")) }
    }
}

impl Write for GetExOptions {
    #[inline]
    fn write(&self, sink: &mut impl Sink) {
        self.life.write(sink);
    }
}

words! {
    /// Of [`EXPIRE`](https://redis.io/docs/latest/commands/expire/) and its like: when to do it.
    ExpireCondition {
        /// If the key lives for ever so far.
        Nx = "NX",
        /// If the key has an end already.
        Xx = "XX",
        /// If the new end is later; for ever is later than all.
        Gt = "GT",
        /// If the new end is earlier.
        Lt = "LT",
    }
}

/// Of [`COPY`](https://redis.io/docs/latest/commands/copy/).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct CopyOptions {
    db: Option<u32>,
    replace: bool,
}

impl CopyOptions {
    /// Within the database, unless the destination exists.
    pub fn new() -> Self {
        CopyOptions::default()
    }

    /// Into another database.
    pub fn db(mut self, db: u32) -> Self {
        self.db = Some(db);
        self
    }

    /// In the place of whatever is there.
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
enum Life {
    Word(&'static str),
    Until(&'static str, u64),
}

impl Write for Option<Life> {
    #[inline]
    fn write(&self, sink: &mut impl Sink) {
        match *self {
            Some(Life::Word(word)) => sink.word(word),
            Some(Life::Until(word, time)) => sink.named(word, time),
            None => {}
        }
    }
}
