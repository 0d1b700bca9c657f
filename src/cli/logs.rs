//! The log on standard error: what is shown of what the library says, and from when on.
//!
//! While a run starts, the log is held back. If the start fails, its one error says what the log would say for each
//! connection; if it does not, what was held is shown.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;

use super::live::LogWriter;
use super::paint::Paint;

/// What is logged if neither `HITLESS_LOG` nor `RUST_LOG` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unasked {
    /// Nothing.
    Nothing,
    /// Warnings and errors.
    Warnings,
    /// The same, once [`release`] is called.
    WarningsOnceStarted,
}

/// Begins to log. `with_rehearsal`: the events of endpoints in this process are wanted as well.
pub(super) fn begin(with_rehearsal: bool, unasked: Unasked) {
    // What is meant for this command goes before what is meant for all of Rust.
    let asked = EnvFilter::try_from_env("HITLESS_LOG").or_else(|_| EnvFilter::try_from_default_env());
    if asked.is_err() && unasked == Unasked::WarningsOnceStarted {
        *held() = Some(Vec::new());
    }
    let mut filter = asked.unwrap_or_else(|_| {
        EnvFilter::new(match unasked {
            Unasked::Nothing => "off",
            // glommio warns of locked memory that this crate has no use for.
            Unasked::Warnings | Unasked::WarningsOnceStarted => "warn,glommio=error",
        })
    });
    if with_rehearsal && let Ok(events) = "hitless::rehearsal=info".parse() {
        filter = filter.add_directive(events);
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Holding)
        .with_ansi(Paint::of(&io::stderr()).is_on())
        // It would tell of a line that could not be written by a panic, on the thread that had something to say.
        .log_internal_errors(false)
        .init();
}

/// Shows what was held back, and holds nothing any more.
pub(super) fn release() {
    if let Some(lines) = held().take() {
        // The run goes on if standard error is gone.
        let _ = LogWriter.write_all(&lines);
    }
}

/// Lines that are held back; `None`: none are.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, or what is held back.
struct Holding;

impl Write for Holding {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *held() {
            Some(lines) if lines.len() + line.len() <= HELD_BYTES_MAX => lines.extend_from_slice(line),
            // The first ones say it.
            Some(_) => {}
            None => return LogWriter.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        LogWriter.flush()
    }
}

/// Most that is held back.
const HELD_BYTES_MAX: usize = 64 << 10;
