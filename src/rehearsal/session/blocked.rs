//! The request of a blocked session.

use std::collections::BTreeSet;

use crate::rehearsal::data::list_end::ListEnd;

/// The request for which a session waits. While it waits, the session handles no later request.
#[derive(Debug)]
pub(crate) struct BlockedRequest {
    /// The place of the session among all blocked sessions.
    pub(crate) turn: u64,
    pub(crate) database: usize,
    pub(crate) keys: BTreeSet<Box<[u8]>>,
    pub(crate) wanted: Wanted,
    /// When the session stops waiting; `None` waits forever.
    pub(crate) until_us: Option<u64>,
}

/// What a blocking command takes from the first list that has elements.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// One element, as `BLPOP` and `BRPOP` do.
    Element(ListEnd),
    /// At most `count` elements, as `BLMPOP` does.
    Elements { end: ListEnd, count: usize },
    /// One element, which is added to the list `target`, as `BLMOVE` and `BRPOPLPUSH` do.
    Move { from: ListEnd, to: ListEnd, target: Box<[u8]> },
}
