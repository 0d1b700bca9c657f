//! Applies the faults of a node to the bytes of one session.

use std::collections::VecDeque;

use super::fault::{Direction, Fault};
use crate::rehearsal::ending::Ending;

/// Decides which bytes of a session's output may be written now, and at which byte the session ends.
///
/// A session has a filter only while its node has a fault that needs one. After each change of the output the owner
/// calls [`FaultFilter::ready_us`] and [`FaultFilter::note_output`], and plans a call of [`FaultFilter::release`] for
/// the returned time. The connection reports written bytes with [`FaultFilter::note_written`], and ends the session
/// when it returns an ending.
#[derive(Debug)]
pub(crate) struct FaultFilter {
    is_stalled: bool,
    is_split: bool,
    delay_us: Option<u64>,
    service_us: Option<u64>,
    /// Commands of the session whose service time is counted already.
    serviced: u64,
    /// Bytes at the head of the output that may be written.
    released: usize,
    /// The bytes behind them in pieces: when each piece may be written, and its length.
    held: VecDeque<(u64, usize)>,
    cut_out: Option<Cut>,
    cut_in: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    bytes_left: u64,
    ending: Ending,
}

impl FaultFilter {
    /// The filter for `faults`, or `None` if no fault needs one. The faults do not apply to the `pending` bytes of
    /// output, nor to the `commands` that the session has sent so far.
    pub(crate) fn new(
        faults: &[Fault],
        is_controller: bool,
        pending: usize,
        commands: u64,
    ) -> Option<Box<Self>> {
        let mut filter = Self {
            is_stalled: false,
            is_split: false,
            delay_us: None,
            service_us: None,
            serviced: commands,
            released: pending,
            held: VecDeque::new(),
            cut_out: None,
            cut_in: None,
        };
        let mut is_needed = false;
        for fault in faults {
            is_needed |= filter.add(*fault, is_controller, pending);
        }
        is_needed.then(|| Box::new(filter))
    }

    /// Adds `fault`. Returns whether it needs a filter.
    fn add(&mut self, fault: Fault, is_controller: bool, pending: usize) -> bool {
        match fault {
            Fault::Delay { us } => self.delay_us = Some(us),
            Fault::Service { us } => self.service_us = Some(us),
            // The controller must be able to send `FAULT off`.
            Fault::Stall if is_controller => return false,
            Fault::Stall => self.is_stalled = true,
            Fault::Split => self.is_split = true,
            Fault::Cut { at_byte, direction: Direction::Out, ending } => {
                self.cut_out = Some(Cut { bytes_left: at_byte.saturating_add(pending as u64), ending });
            }
            Fault::Cut { at_byte, direction: Direction::In, ending } => {
                self.cut_in = Some(Cut { bytes_left: at_byte, ending });
            }
            Fault::Refuse | Fault::Drop | Fault::Duplicate { .. } | Fault::Reorder | Fault::Answer(_) => {
                return false;
            }
        }
        true
    }

    /// When the replies to the session's `commands` may be written. `busy_us` is the time until which the node is busy
    /// with the commands of all sessions.
    pub(crate) fn ready_us(&mut self, commands: u64, now_us: u64, busy_us: &mut u64) -> u64 {
        let new = commands.saturating_sub(std::mem::replace(&mut self.serviced, commands));
        let mut at_us = now_us;
        if let Some(service_us) = self.service_us {
            *busy_us = (*busy_us).max(now_us).saturating_add(service_us.saturating_mul(new));
            at_us = *busy_us;
        }
        at_us.saturating_add(self.delay_us.unwrap_or(0))
    }

    /// Holds the new part of the `pending` output until `at_us`. Returns when to call [`FaultFilter::release`], if no
    /// earlier call is planned.
    pub(crate) fn note_output(&mut self, pending: usize, at_us: u64) -> Option<u64> {
        if !self.holds_back() {
            return None;
        }
        let known = self.released + self.held.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let added = pending.checked_sub(known).filter(|&added| added > 0)?;
        let (is_first, is_full) = (self.held.is_empty(), self.held.len() >= HELD_PIECES_MAX);
        match self.held.back_mut() {
            Some((last_us, bytes)) if *last_us == at_us => *bytes += added,
            Some((last_us, bytes)) if is_full => {
                (*last_us, *bytes) = (at_us, *bytes + added);
            }
            _ => self.held.push_back((at_us, added)),
        }
        is_first.then_some(at_us)
    }

    /// Releases the output that is due. Returns when to call this again.
    pub(crate) fn release(&mut self, now_us: u64) -> Option<u64> {
        while let Some(&(at_us, bytes)) = self.held.front() {
            if at_us > now_us {
                return Some(at_us);
            }
            self.released += bytes;
            self.held.pop_front();
        }
        None
    }

    /// The number of `pending` bytes that may be written now.
    pub(crate) fn writable(&self, pending: usize) -> usize {
        if self.is_stalled {
            return 0;
        }
        let mut writable = if self.holds_back() { pending.min(self.released) } else { pending };
        if let Some(cut) = self.cut_out {
            writable = writable.min(usize::try_from(cut.bytes_left).unwrap_or(usize::MAX));
        }
        if self.is_split { writable.min(1) } else { writable }
    }

    fn holds_back(&self) -> bool {
        self.delay_us.is_some() || self.service_us.is_some()
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// The connection has written `bytes`. Returns the ending, if the session must end now.
    pub(crate) fn note_written(&mut self, bytes: usize) -> Option<Ending> {
        self.released = self.released.saturating_sub(bytes);
        count(&mut self.cut_out, bytes)
    }

    /// The number of arrived `bytes` that the session may still handle.
    pub(crate) fn readable(&self, bytes: usize) -> usize {
        self.cut_in.map_or(bytes, |cut| bytes.min(usize::try_from(cut.bytes_left).unwrap_or(usize::MAX)))
    }

    /// The session has taken `bytes`. Returns the ending, if the session must end now.
    pub(crate) fn note_read(&mut self, bytes: usize) -> Option<Ending> {
        count(&mut self.cut_in, bytes)
    }
}

fn count(cut: &mut Option<Cut>, bytes: usize) -> Option<Ending> {
    let cut = cut.as_mut()?;
    cut.bytes_left = cut.bytes_left.saturating_sub(bytes as u64);
    (cut.bytes_left == 0).then_some(cut.ending)
}

/// Most pieces of output with a time of their own; further pieces get the time of the last.
const HELD_PIECES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(line: &str, pending: usize) -> FaultFilter {
        let words: Vec<&str> = line.split(' ').collect();
        *FaultFilter::new(&[Fault::parse(&words).unwrap()], false, pending, 0).unwrap()
    }

    #[test]
    fn each_piece_of_output_waits_for_its_own_time() {
        let mut filter = filter("delay 5", 2);
        assert_eq!(filter.note_output(2, 0), None);
        assert_eq!(filter.ready_us(3, 1_000, &mut 0), 6_000);
        assert_eq!(filter.note_output(5, 6_000), Some(6_000));
        assert_eq!(filter.note_output(9, 7_000), None);
        assert_eq!(filter.writable(9), 2);
        assert_eq!(filter.note_written(2), None);
        assert_eq!((filter.release(5_999), filter.writable(7)), (Some(6_000), 0));
        assert_eq!((filter.release(6_000), filter.writable(7)), (Some(7_000), 3));
        assert_eq!((filter.release(7_000), filter.writable(7)), (None, 7));
    }

    #[test]
    fn commands_are_served_one_after_the_other() {
        let (mut one, mut other) = (filter("service 2", 0), filter("service 2", 0));
        let mut busy_us = 0;
        assert_eq!(one.ready_us(1, 1_000, &mut busy_us), 3_000);
        // The two commands of the other connection wait for the first. A push needs no service, but waits its turn.
        assert_eq!(other.ready_us(2, 1_500, &mut busy_us), 7_000);
        assert_eq!(one.ready_us(1, 1_600, &mut busy_us), 7_000);
        assert_eq!(one.ready_us(2, 9_000, &mut busy_us), 11_000, "idle meanwhile");
        assert_eq!((one.note_output(4, 11_000), one.writable(4)), (Some(11_000), 0));
        assert_eq!((one.release(11_000), one.writable(4)), (None, 4));
    }

    #[test]
    fn pieces_that_wait_are_bounded() {
        let mut filter = filter("delay 5", 0);
        for piece in 1..=2 * HELD_PIECES_MAX {
            filter.note_output(piece, piece as u64);
        }
        assert_eq!(filter.held.len(), HELD_PIECES_MAX);
        assert_eq!(filter.release(u64::MAX), None);
        assert_eq!(filter.writable(usize::MAX), 2 * HELD_PIECES_MAX);
    }

    #[test]
    fn a_cut_counts_from_when_it_is_made() {
        let mut out = filter("reset 3", 2);
        assert_eq!(out.writable(9), 5);
        assert_eq!((out.note_written(4), out.writable(5)), (None, 1));
        assert_eq!(out.note_written(1), Some(Ending::Reset));
        let mut back = filter("close-at-byte 3 in", 2);
        assert_eq!((back.readable(2), back.note_read(2)), (2, None));
        assert_eq!((back.readable(2), back.note_read(1)), (1, Some(Ending::AtOnce)));
    }

    #[test]
    fn faults_without_a_byte_limit_need_no_filter() {
        assert!(FaultFilter::new(&[Fault::Refuse, Fault::Drop, Fault::Reorder], false, 0, 0).is_none());
        assert!(FaultFilter::new(&[Fault::Stall], true, 0, 0).is_none());
        assert_eq!(filter("stall", 1).writable(9), 0);
        assert_eq!(filter("split", 1).writable(9), 1);
    }
}
