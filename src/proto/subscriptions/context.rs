//! [`Context`]: what one change of a name works on besides the name.

use std::collections::VecDeque;

use super::event::SubscriptionStats;
use super::link::Links;
use super::names::Name;
use super::overlap::HeldBytes;
use crate::proto::time::Instant;

/// What the names of a shard share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) links: &'a mut Links,
    pub(super) stats: &'a mut SubscriptionStats,
    pub(super) held: &'a mut HeldBytes,
    pub(super) deadlines: &'a mut VecDeque<OverlapDeadline>,
    pub(super) now: Instant,
}

/// The time at which the overlap of a name has to be over.
#[derive(Debug)]
pub(super) struct OverlapDeadline {
    pub(super) at: Instant,
    pub(super) name: Name,
}
