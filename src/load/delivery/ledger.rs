//! The accounts of a queue: where each element went.
//!
//! Every element whose push the server has confirmed must be found exactly once: taken by a consumer, returned by a wait that
//! was ended, or left in the queue.

use super::stamp::Stamp;

/// What became of the push of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    /// The server has confirmed it.
    Confirmed,
    /// It may have been executed; the element may be found or not.
    Ambiguous,
    /// It was not executed.
    Refused,
}

/// Where an element was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// A consumer took it.
    Popped,
    /// A consumer's wait was ended, and returned it.
    Returned,
    /// It was in the queue at the end.
    Left,
}

/// An element that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) stamp: Stamp,
    pub(super) fate: Fate,
}

/// The elements of all producers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// For each producer, its elements in the order of their numbers.
    elements: Vec<Vec<Element>>,
    balance: Balance,
}

/// The sums. `pushed` is `popped` + `returned` + `left` + `lost`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// Elements that were in the queue: confirmed ones, and ambiguous ones that were found.
    pub(super) pushed: u64,
    pub(super) popped: u64,
    pub(super) returned: u64,
    pub(super) left: u64,
    /// Confirmed elements that were found nowhere.
    pub(super) lost: u64,
    /// How often an element was found again.
    pub(super) doubled: u64,
    /// Elements that no producer of this run has pushed, or whose push was refused.
    pub(super) unexpected: u64,
}

#[derive(Debug, Clone, Copy)]
struct Element {
    push: Push,
    is_found: bool,
}

impl Ledger {
    /// Accounts for these pushes, one list for each producer.
    pub(super) fn new(pushes: Vec<Vec<Push>>) -> Ledger {
        let element = |push| Element { push, is_found: false };
        let elements = pushes.into_iter().map(|pushes| pushes.into_iter().map(element).collect()).collect();
        Ledger { elements, balance: Balance::default() }
    }

    pub(super) fn note(&mut self, found: Found) {
        let Found { stamp, fate } = found;
        let element = usize::try_from(stamp.number).ok().and_then(|number| {
            let of_source = self.elements.get_mut(stamp.source)?;
            of_source.get_mut(number).filter(|element| element.push != Push::Refused)
        });
        let Some(element) = element else { return self.note_unexpected() };
        if std::mem::replace(&mut element.is_found, true) {
            self.balance.doubled += 1;
            return;
        }
        *match fate {
            Fate::Popped => &mut self.balance.popped,
            Fate::Returned => &mut self.balance.returned,
            Fate::Left => &mut self.balance.left,
        } += 1;
    }

    /// Notes an element that is not one of this run.
    pub(super) fn note_unexpected(&mut self) {
        self.balance.unexpected += 1;
    }

    /// Whether this element was found before.
    pub(super) fn has_found(&self, stamp: Stamp) -> bool {
        let element = usize::try_from(stamp.number)
            .ok()
            .and_then(|number| self.elements.get(stamp.source)?.get(number));
        element.is_some_and(|element| element.is_found)
    }

    pub(super) fn balance(&self) -> Balance {
        let all = || self.elements.iter().flatten();
        let is_pushed = |element: &&Element| match element.push {
            Push::Confirmed => true,
            Push::Ambiguous => element.is_found,
            Push::Refused => false,
        };
        let pushed = all().filter(is_pushed).count() as u64;
        let lost = all().filter(|element| element.push == Push::Confirmed && !element.is_found).count();
        Balance { pushed, lost: lost as u64, ..self.balance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: usize, number: u64, fate: Fate) -> Found {
        Found { stamp: Stamp { run: 0, source, number, at: 0 }, fate }
    }

    fn balance(pushes: &[&[Push]], all: &[Found]) -> Balance {
        let mut ledger = Ledger::new(pushes.iter().map(|pushes| pushes.to_vec()).collect());
        all.iter().for_each(|found| ledger.note(*found));
        ledger.balance()
    }

    use Fate::{Left, Popped, Returned};
    use Push::{Ambiguous, Confirmed, Refused};

    #[test]
    fn every_element_has_one_fate() {
        let all = [found(0, 0, Popped), found(1, 0, Popped), found(0, 1, Returned), found(0, 2, Left)];
        let balance = balance(&[&[Confirmed; 3], &[Confirmed]], &all);
        assert_eq!(balance, Balance { pushed: 4, popped: 2, returned: 1, left: 1, ..Balance::default() });
    }

    #[test]
    fn an_element_that_is_nowhere_is_lost() {
        let balance = balance(&[&[Confirmed; 3]], &[found(0, 0, Popped), found(0, 2, Popped)]);
        assert_eq!(balance, Balance { pushed: 3, popped: 2, lost: 1, ..Balance::default() });
    }

    #[test]
    fn an_element_that_is_found_twice_is_doubled() {
        for again in [Popped, Returned, Left] {
            let balance = balance(&[&[Confirmed]], &[found(0, 0, Popped), found(0, 0, again)]);
            assert_eq!(balance, Balance { pushed: 1, popped: 1, doubled: 1, ..Balance::default() });
        }
    }

    #[test]
    fn an_ambiguous_push_is_neither_lost_nor_unexpected() {
        let missing = balance(&[&[Ambiguous]], &[]);
        assert_eq!(missing, Balance::default());
        let arrived = balance(&[&[Ambiguous]], &[found(0, 0, Popped)]);
        assert_eq!(arrived, Balance { pushed: 1, popped: 1, ..Balance::default() });
    }

    #[test]
    fn an_element_without_a_push_is_unexpected() {
        let all = [found(0, 0, Popped), found(0, 1, Popped), found(7, 0, Left)];
        assert_eq!(balance(&[&[Refused]], &all), Balance { unexpected: 3, ..Balance::default() });
    }

    #[test]
    fn an_element_is_known_once_it_is_found() {
        let mut ledger = Ledger::new(vec![vec![Confirmed, Confirmed]]);
        ledger.note(found(0, 1, Popped));
        let has_found = |number| ledger.has_found(found(0, number, Left).stamp);
        assert_eq!([0, 1, 2].map(has_found), [false, true, false]);
    }
}
