//! How the server ends a connection.

/// How a connection ends.
///
/// ```text
///  open ──▶ AfterOutput ─┬─ output is written ──────────────▶ FIN
///    │  └─▶ HalfClose ───┼─ output is written ──▶ FIN, reads until the client closes
///    │                   │
///    └───────────────────┴──▶ AtOnce (FIN) or Reset (RST): pending output is dropped
/// ```
///
/// An immediate ending replaces a graceful one; nothing replaces an immediate ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection closes after its output is written.
    AfterOutput,
    /// The connection closes immediately with a FIN, and its output is dropped.
    AtOnce,
    /// The connection is reset immediately with a RST, and its output is dropped.
    Reset,
    /// The direction to the client is shut down after the output is written. The connection keeps reading, and closes
    /// when the client closes.
    HalfClose,
}

impl Ending {
    /// The ending that the verbs of `REHEARSE` call `fin`, `rst` or `half`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "fin" => Some(Self::AfterOutput),
            "rst" => Some(Self::Reset),
            "half" => Some(Self::HalfClose),
            _ => None,
        }
    }

    /// Whether output that is not written yet is dropped.
    pub(crate) fn is_immediate(self) -> bool {
        matches!(self, Self::AtOnce | Self::Reset)
    }
}
