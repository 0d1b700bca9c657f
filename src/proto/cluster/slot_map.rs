//! [`SlotMap`]: which node owns each hash slot.

use std::collections::BTreeMap;
use std::fmt;

use super::ids::NodeId;
use super::slot::Slot;

/// Which node owns each hash slot.
///
/// It has two sources. A [view](super::view::View) of the cluster sets all slots, and a `MOVED` sets one. A view is as old as the
/// question that it answers: a slot that a `MOVED` has set since keeps its owner, or a late answer would send its commands back to
/// the node that has just redirected them (jedis#4729).
pub(super) struct SlotMap {
    owners: Box<[NodeId]>,
    /// The slots that were set since the last view, and during which refresh.
    patched: BTreeMap<Slot, Refresh>,
}

/// The number of a refresh. It rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refresh(pub(super) u64);

impl SlotMap {
    /// A map in which no slot has an owner.
    pub(super) fn new() -> Self {
        SlotMap { owners: vec![NodeId::NONE; usize::from(Slot::COUNT)].into(), patched: BTreeMap::new() }
    }

    /// The owner of this slot.
    #[inline]
    pub(super) fn owner(&self, slot: Slot) -> Option<NodeId> {
        let owner = *self.owners.get(usize::from(slot.get()))?;
        (owner != NodeId::NONE).then_some(owner)
    }

    /// A node says that this slot has this owner, while this refresh was under way, or the last one.
    pub(super) fn patch(&mut self, slot: Slot, owner: NodeId, during: Refresh) {
        self.patched.insert(slot, during);
        self.set(slot, owner);
    }

    /// Takes over the owners of a view that was asked for by this refresh. `changed` gets the slots whose owner differs.
    pub(super) fn apply(
        &mut self,
        refresh: Refresh,
        owner_of: impl Fn(Slot) -> Option<NodeId>,
        mut changed: impl FnMut(Slot),
    ) {
        self.patched.retain(|_, during| *during >= refresh);
        for slot in (0..Slot::COUNT).filter_map(Slot::new) {
            if self.patched.contains_key(&slot) {
                continue;
            }
            let owner = owner_of(slot).unwrap_or(NodeId::NONE);
            if self.owner(slot).unwrap_or(NodeId::NONE) != owner {
                self.set(slot, owner);
                changed(slot);
            }
        }
    }

    /// How many slots have an owner.
    pub(super) fn covered(&self) -> usize {
        self.owners.iter().filter(|owner| **owner != NodeId::NONE).count()
    }

    fn set(&mut self, slot: Slot, owner: NodeId) {
        if let Some(place) = self.owners.get_mut(usize::from(slot.get())) {
            *place = owner;
        }
    }
}

/// Sixteen thousand owners would say nothing.
impl fmt::Debug for SlotMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotMap({} of {} slots)", self.covered(), Slot::COUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn view_sets_all_slots_and_reports_the_changes() {
        let mut map = SlotMap::new();
        let mut changed = 0;
        map.apply(Refresh(1), |_| Some(NodeId(1)), |_| changed += 1);
        assert_eq!((changed, map.covered()), (16384, 16384));
        let mut changed = Vec::new();
        let half = |slot: Slot| (slot.get() != 7).then_some(NodeId(1));
        map.apply(Refresh(2), half, |slot| changed.push(slot));
        assert_eq!((changed, map.owner(slot(7))), (vec![slot(7)], None));
    }

    #[test]
    fn older_view_does_not_undo_a_newer_redirect() {
        let mut map = SlotMap::new();
        map.apply(Refresh(1), |_| Some(NodeId(1)), |_| {});
        map.patch(slot(3), NodeId(2), Refresh(2));
        map.apply(Refresh(2), |_| Some(NodeId(1)), |_| {});
        assert_eq!(map.owner(slot(3)), Some(NodeId(2)), "the view was asked for before the redirect");
        map.apply(Refresh(3), |_| Some(NodeId(1)), |_| {});
        assert_eq!(map.owner(slot(3)), Some(NodeId(1)), "a newer view knows better");
    }
}
