//! How a command ends: its exit code, or why it could not do its work.

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The options are invalid.
    Usage(String),
    /// The endpoint cannot be reached, or the machine cannot run the client.
    Unreachable(anyhow::Error),
    /// The user interrupted it; the text says during what.
    Interrupted(&'static str),
    /// Anything else.
    Failed(anyhow::Error),
}

/// All well.
pub(crate) const SUCCESS: u8 = 0;
/// The command ran, but commands or a check failed.
pub(crate) const FAILED: u8 = 1;
/// The options are invalid.
pub(crate) const USAGE: u8 = 2;
/// The endpoint cannot be reached, or the machine cannot run the client.
pub(crate) const UNREACHABLE: u8 = 3;
