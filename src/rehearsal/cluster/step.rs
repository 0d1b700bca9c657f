//! What a cluster does at a planned time.

use std::sync::Arc;

use super::topology::{MemberId, Topology};

/// A step of the cluster. A step whose cause is gone does nothing: each names its cause by a number that is never used
/// again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClusterStep {
    /// The nodes agree that `member`, which died with this number, has failed.
    Fail { member: MemberId, death: u64 },
    /// They elect a replica of it.
    Elect { member: MemberId, death: u64 },
    /// A node that lags learns this.
    Learn { member: MemberId, known: Arc<Topology> },
    /// A classic migration moves some keys, or ends.
    MoveKeys { migration: u64 },
    /// Held writes continue, after what the pause was for has happened.
    EndPause { pause: u64 },
}
