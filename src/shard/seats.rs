//! [`Seats`]: how the drivers of a shard's connections are reached.
//!
//! An entry may have several connections at a time: the one in use, a successor that is dialed, predecessors that
//! drain. A command concerns the one in use only, and wakes its driver once, however many commands follow until the
//! driver has run.

use std::task::{Context, Waker};

use crate::proto::pool::{ConnectionId, EntryId};

pub(super) struct Seats(Vec<Entry>);

#[derive(Default)]
struct Entry {
    /// The generation whose driver was told of a command and has not run since; or, if it has no driver, of whose
    /// command the pilot was told.
    told: Option<u32>,
    seats: Vec<Seat>,
}

struct Seat {
    generation: u32,
    waker: Waker,
}

impl Seats {
    pub(super) fn new(entries: usize) -> Self {
        Seats((0..entries).map(|_| Entry::default()).collect())
    }

    /// Something was submitted for this entry, of which this generation is in use. True if the pilot has to be told,
    /// because there is no driver to write it.
    #[inline]
    pub(super) fn tell(&mut self, entry: EntryId, generation: u32) -> bool {
        let Some(entry) = self.0.get_mut(entry.0 as usize) else { return false };
        if entry.told == Some(generation) {
            return false;
        }
        entry.told = Some(generation);
        match entry.seat(generation) {
            Some(seat) => {
                seat.waker.wake_by_ref();
                false
            }
            None => true,
        }
    }

    /// A driver runs: it will see whatever it could be told of. It is reached at its seat from here on.
    #[inline]
    pub(super) fn take(&mut self, id: ConnectionId, context: &Context<'_>) {
        let Some(entry) = self.0.get_mut(id.entry.0 as usize) else { return };
        entry.hear(id.generation);
        match entry.seat(id.generation) {
            Some(seat) => seat.waker.clone_from(context.waker()),
            None => entry.seats.push(Seat { generation: id.generation, waker: context.waker().clone() }),
        }
    }

    /// Wakes the driver of this connection. One that has not begun to run needs no waking.
    pub(super) fn wake(&mut self, id: ConnectionId) {
        let entry = self.0.get_mut(id.entry.0 as usize);
        if let Some(seat) = entry.and_then(|entry| entry.seat(id.generation)) {
            seat.waker.wake_by_ref();
        }
    }

    /// The connection is gone: its driver's waker, and whether a command had been told of that somebody else has to
    /// be told of now.
    pub(super) fn clear(&mut self, id: ConnectionId) -> (Option<Waker>, bool) {
        let Some(entry) = self.0.get_mut(id.entry.0 as usize) else { return (None, false) };
        let place = entry.seats.iter().position(|seat| seat.generation == id.generation);
        let waker = place.map(|place| entry.seats.swap_remove(place).waker);
        (waker, entry.hear(id.generation))
    }

    /// The pilot runs: it sees to all commands that no driver was told of.
    pub(super) fn pilot_runs(&mut self) {
        for entry in &mut self.0 {
            if let Some(told) = entry.told
                && entry.seat(told).is_none()
            {
                entry.told = None;
            }
        }
    }
}

impl Entry {
    #[inline]
    fn seat(&mut self, generation: u32) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.generation == generation)
    }

    /// The next command is to be told of again; whether one had been.
    #[inline]
    fn hear(&mut self, generation: u32) -> bool {
        let heard = self.told == Some(generation);
        if heard {
            self.told = None;
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn sit(self: &Arc<Self>, seats: &mut Seats, generation: u32) {
            let waker = Waker::from(self.clone());
            seats.take(id(generation), &Context::from_waker(&waker));
        }

        fn get(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    const ENTRY: EntryId = EntryId(1);

    fn id(generation: u32) -> ConnectionId {
        ConnectionId { entry: ENTRY, generation }
    }

    #[test]
    fn commands_wake_the_driver_in_use_once_until_it_runs() {
        let (mut seats, old, new) = (Seats::new(2), Arc::new(Count::default()), Arc::new(Count::default()));
        old.sit(&mut seats, 1);
        new.sit(&mut seats, 2);
        for _ in 0..3 {
            assert!(!seats.tell(ENTRY, 1));
        }
        assert_eq!((old.get(), new.get()), (1, 0));
        old.sit(&mut seats, 1);
        seats.tell(ENTRY, 1);
        assert_eq!(old.get(), 2);
    }

    #[test]
    fn after_a_cut_over_the_successor_is_woken_whatever_the_predecessor_was_told() {
        let (mut seats, old, new) = (Seats::new(2), Arc::new(Count::default()), Arc::new(Count::default()));
        old.sit(&mut seats, 1);
        new.sit(&mut seats, 2);
        seats.tell(ENTRY, 1);
        seats.tell(ENTRY, 2);
        assert_eq!((old.get(), new.get()), (1, 1));
        // That the predecessor runs takes nothing from what the successor was told.
        old.sit(&mut seats, 1);
        seats.tell(ENTRY, 2);
        assert_eq!(new.get(), 1);
        new.sit(&mut seats, 2);
        seats.tell(ENTRY, 2);
        assert_eq!((old.get(), new.get()), (1, 2));
    }

    #[test]
    fn without_a_driver_the_pilot_is_told_once_until_it_runs() {
        let (mut seats, driver) = (Seats::new(2), Arc::new(Count::default()));
        assert!(seats.tell(ENTRY, 1));
        assert!(!seats.tell(ENTRY, 1), "it was told");
        seats.pilot_runs();
        assert!(seats.tell(ENTRY, 1));
        driver.sit(&mut seats, 1);
        assert!(!seats.tell(ENTRY, 1));
        assert_eq!(driver.get(), 1);
        seats.pilot_runs();
        seats.tell(ENTRY, 1);
        assert_eq!(driver.get(), 1, "what a driver was told is not the pilot's to forget");
    }

    #[test]
    fn a_wake_up_is_for_exactly_one_and_an_empty_seat_says_what_was_left_to_do() {
        let (mut seats, old, new) = (Seats::new(2), Arc::new(Count::default()), Arc::new(Count::default()));
        old.sit(&mut seats, 1);
        new.sit(&mut seats, 2);
        seats.wake(id(1));
        seats.wake(id(3));
        assert_eq!((old.get(), new.get()), (1, 0));
        seats.tell(ENTRY, 2);
        let (waker, untold) = seats.clear(id(1));
        assert!(waker.is_some() && !untold);
        let (waker, untold) = seats.clear(id(2));
        assert!(waker.is_some() && untold, "its driver had not run since");
        assert!(seats.clear(id(2)).0.is_none());
        assert!(seats.tell(ENTRY, 2));
    }
}
