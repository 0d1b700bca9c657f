//! [`ClusterFailure`]: why no node of a cluster can run a command.

use super::Failure;

/// Why no node of a cluster can run a command. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClusterFailure {
    #[error(
        "its keys belong to different hash slots: {one}, and {other}; give both keys the same {{hashtag}}, or send a command for each"
    )]
    CrossSlot { one: KeyOfSlot, other: KeyOfSlot },
    #[error("no node of the cluster serves hash slot {0}")]
    Uncovered(u16),
    #[error("the cluster is unknown: none of its seeds has described it")]
    Unknown,
    #[error("a client of a cluster has no {0}")]
    Unsupported(&'static str),
}

impl From<ClusterFailure> for Failure {
    fn from(failure: ClusterFailure) -> Self {
        Failure::Cluster(Box::new(failure))
    }
}

/// A key as an error shows it, and its slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is in slot {slot}")]
pub(crate) struct KeyOfSlot {
    key: String,
    slot: u16,
}

impl KeyOfSlot {
    pub(crate) fn new(key: &[u8], slot: u16) -> Self {
        let start = key.get(..KEY_SHOWN).unwrap_or(key);
        let mut text = String::from_utf8_lossy(start).into_owned();
        if start.len() < key.len() {
            text.push('…');
        }
        KeyOfSlot { key: text, slot }
    }
}

/// How many bytes of a key an error shows.
const KEY_SHOWN: usize = 64;
