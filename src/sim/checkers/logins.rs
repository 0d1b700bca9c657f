//! Every connection has logged in with the newest password in the end, however many rotations overtook its handshake.

use super::Violation;
use crate::proto::pool::{Census, Pool, Renewal, Role};
use crate::sim::network::{Network, WireId};

/// What a password begins with in these worlds; its number follows, in four digits.
pub(in crate::sim) const PREFIX: &[u8] = b"pw-";

/// The password with this number.
pub(in crate::sim) fn password(number: u32) -> String {
    format!("{}{number:04}", String::from_utf8_lossy(PREFIX))
}

/// The numbers of the passwords that were sent on one connection.
#[derive(Debug, Default)]
pub(in crate::sim) struct Sent {
    newest: Option<u32>,
    /// The end of what was sent, in which a password may have begun.
    tail: Vec<u8>,
}

impl Sent {
    pub(in crate::sim) fn note(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        for at in memchr::memmem::find_iter(&self.tail, PREFIX) {
            let digits = self.tail.get(at + PREFIX.len()..at + PREFIX.len() + DIGITS);
            let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            self.newest = number.or(self.newest);
        }
        let kept = self.tail.len().saturating_sub(PREFIX.len() + DIGITS - 1);
        self.tail.drain(..kept);
    }
}

/// A while after the last fault.
pub(in crate::sim) fn check_calm(
    shard: usize,
    pool: &mut Pool,
    network: &mut Network,
    newest: Option<u32>,
) -> Result<(), Violation> {
    if matches!(pool.renewal(), Renewal::UnderWay { .. }) {
        return Err(Violation::new("everybody logs in anew", "and still waits to be answered"));
    }
    let Some(newest) = newest else { return Ok(()) };
    for Census { id, role, .. } in pool.census() {
        let sent = network.get(WireId::new(shard, id)).and_then(|wire| wire.passwords.newest);
        if role == Role::Active && sent != Some(newest) {
            let what = format!("{id:?} has logged in with {sent:?}, and the newest is {newest}");
            return Err(Violation::new("everybody logs in anew", what));
        }
    }
    Ok(())
}

const DIGITS: usize = 4;
