//! The names that the included files have for connections and times.

pub(crate) mod pool {
    /// As in the crate.
    #[derive(Clone, Copy)]
    pub(crate) struct EntryId(pub(crate) u32);

    /// As in the crate.
    #[derive(Clone, Copy)]
    pub(crate) struct ConnectionId {
        pub(crate) entry: EntryId,
        pub(crate) generation: u32,
    }
}

pub(crate) mod time {
    /// As in the crate.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Instant(u64);
}
