//! The two ends of a list.

use super::keyspace::List;

/// The end of a list at which a command adds or takes elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListEnd {
    Left,
    Right,
}

impl ListEnd {
    /// Finds the end by its name in a command, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"LEFT") {
            Some(Self::Left)
        } else if name.eq_ignore_ascii_case(b"RIGHT") {
            Some(Self::Right)
        } else {
            None
        }
    }

    pub(crate) fn push(self, list: &mut List, element: Box<[u8]>) {
        match self {
            Self::Left => list.push_front(element),
            Self::Right => list.push_back(element),
        }
    }

    pub(crate) fn pop(self, list: &mut List) -> Option<Box<[u8]>> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }
}
