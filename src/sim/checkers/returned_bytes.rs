//! Bytes that a driver gives back are the next that it takes: none is lost, repeated, or overtaken by later ones.

use crate::sim::violation::Violation;

/// What the driver of one connection gave back last and has not taken again.
#[derive(Debug, Default)]
pub(in crate::sim) struct ReturnedBytes(Vec<u8>);

impl ReturnedBytes {
    pub(in crate::sim) fn note(&mut self, rest: &[u8]) {
        self.0.clear();
        self.0.extend_from_slice(rest);
    }

    /// Checks what the driver takes next. Of the returned bytes, whole commands at the end may have moved to a successor; then
    /// no others follow, except those that a connection which drains sends as well: those that end the waits of other connections, and
    /// those for subscriptions.
    pub(in crate::sim) fn check(&mut self, taken: &[u8]) -> Result<(), Violation> {
        let returned = std::mem::take(&mut self.0);
        let unblock = memchr::memmem::find(taken, UNBLOCK).unwrap_or(taken.len());
        let subscribe =
            memchr::memmem::find(taken, SUBSCRIBE).and_then(|at| memchr::memrchr(b'*', taken.get(..at)?));
        let rest = taken.get(..subscribe.map_or(unblock, |at| at.min(unblock)));
        let is_moved = rest.is_some_and(|rest| returned.starts_with(rest));
        if taken.starts_with(&returned) || is_moved {
            return Ok(());
        }
        let (returned, taken) = (returned.escape_ascii(), taken.escape_ascii());
        let what = format!("the driver gave back {returned} and takes {taken}");
        Err(Violation::new("bytes that are given back are sent next", what))
    }
}

const UNBLOCK: &[u8] = b"*4\r\n$6\r\nCLIENT\r\n$7\r\nUNBLOCK\r\n";
/// The end of all six commands.
const SUBSCRIBE: &[u8] = b"SUBSCRIBE\r\n";
