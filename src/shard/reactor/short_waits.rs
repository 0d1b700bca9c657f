//! [`ShortWaits`]: whether a reactor waits for a moment before it parks.

/// Whether short waits pay off. Where what they wait for takes longer than a wait, all that a wait does is to delay other tasks.
#[derive(Default)]
pub(super) struct ShortWaits {
    /// How many of the last waits ended without anything; one that found something halves it.
    missed: u32,
    skipped: u32,
}

impl ShortWaits {
    pub(super) fn may_begin(&mut self) -> bool {
        self.skipped += 1;
        self.skipped > (1 << self.missed.min(MISSED_MAX)) >> 1
    }

    pub(super) fn note(&mut self, found: bool) {
        self.skipped = 0;
        self.missed = if found { self.missed / 2 } else { (self.missed + 1).min(MISSED_MAX) };
    }
}

/// Where nothing ever comes in time, one in 128 waits is tried.
const MISSED_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many chances to wait are taken.
    fn taken(waits: &mut ShortWaits, chances: usize, found: bool) -> usize {
        (0..chances)
            .filter(|_| {
                waits.may_begin() && {
                    waits.note(found);
                    true
                }
            })
            .count()
    }

    #[test]
    fn waits_that_find_nothing_become_rare() {
        let mut waits = ShortWaits::default();
        assert_eq!(taken(&mut waits, 100, true), 100);
        let few = taken(&mut waits, 10_000, false);
        assert!((50..120).contains(&few), "{few}");
        taken(&mut waits, 2_000, true);
        assert_eq!(taken(&mut waits, 100, true), 100);
    }
}
