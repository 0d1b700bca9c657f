//! In the end every connection uses the newest password, however many rotations came during its handshake.

use crate::proto::pool::{ConnectionId, ConnectionSnapshot, Pool, Renewal, Role};
use crate::sim::violation::Violation;

/// The password with this number: [`PREFIX`] and four digits, so that the checkers find it in any bytes.
pub(in crate::sim) fn password(number: u32) -> String {
    format!("{}{number:04}", String::from_utf8_lossy(PREFIX))
}

/// The passwords that one connection sent.
#[derive(Debug, Default)]
pub(in crate::sim) struct SentPasswords {
    newest: Option<u32>,
    /// The end of the sent bytes, which may hold the beginning of a password.
    tail: Vec<u8>,
}

impl SentPasswords {
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

    /// The number of the password that was sent last.
    pub(in crate::sim) fn newest(&self) -> Option<u32> {
        self.newest
    }
}

/// Runs long after the last fault. `sent` is the password that a connection sent last.
pub(in crate::sim) fn check_recovered(
    pool: &mut Pool,
    newest: Option<u32>,
    sent: impl Fn(ConnectionId) -> Option<u32>,
) -> Result<(), Violation> {
    let violated = |what: String| Err(Violation::new("every connection uses the newest password", what));
    if matches!(pool.renewal(), Renewal::UnderWay { .. }) {
        return violated("a renewal still waits for a reply".to_owned());
    }
    let Some(newest) = newest else { return Ok(()) };
    for ConnectionSnapshot { id, role, .. } in pool.entries().snapshot() {
        let sent = sent(id);
        if role == Role::Active && sent != Some(newest) {
            return violated(format!("{id:?} logged in with {sent:?}, and the newest is {newest}"));
        }
    }
    Ok(())
}

/// The beginning of every password of a simulation.
pub(in crate::sim) const PREFIX: &[u8] = b"pw-";
const DIGITS: usize = 4;
