//! The log on standard error.
//!
//! While a run starts, the log is held back. If the start fails, its single error replaces a warning for each
//! connection. If it succeeds, the held lines are printed.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;

use crate::cli::terminal::live::LogWriter;
use crate::cli::terminal::style::Styles;

/// What is logged if neither `HITLESS_LOG` nor `RUST_LOG` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultLog {
    /// Nothing.
    Off,
    /// Warnings and errors.
    Warnings,
    /// The same, once [`release_held`] is called.
    WarningsOnceStarted,
}

/// Starts the log. `with_rehearsal` adds the events of the endpoints in this process.
pub(crate) fn start(with_rehearsal: bool, default: DefaultLog) {
    // The variable of this command takes precedence over that of all Rust programs.
    let variable = EnvFilter::try_from_env("HITLESS_LOG").or_else(|_| EnvFilter::try_from_default_env());
    if variable.is_err() && default == DefaultLog::WarningsOnceStarted {
        *held() = Some(Vec::new());
    }
    let mut filter = variable.unwrap_or_else(|_| {
        EnvFilter::new(match default {
            DefaultLog::Off => "off",
            // glommio warns about locked memory that this crate does not need.
            DefaultLog::Warnings | DefaultLog::WarningsOnceStarted => "warn,glommio=error",
        })
    });
    if with_rehearsal && let Ok(events) = "hitless::rehearsal=info".parse() {
        filter = filter.add_directive(events);
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| HeldWriter)
        .with_ansi(Styles::of(&io::stderr()).is_enabled())
        // Otherwise a line that cannot be written panics on the thread that logs it.
        .log_internal_errors(false)
        .init();
}

/// Prints the held lines and stops holding.
pub(crate) fn release_held() {
    if let Some(lines) = held().take() {
        // A closed standard error must not end the run.
        let _ = LogWriter.write_all(&lines);
    }
}

fn held() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to standard error, or to the held lines.
struct HeldWriter;

impl Write for HeldWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &mut *held() {
            Some(lines) if lines.len() + line.len() <= HELD_BYTES_MAX => lines.extend_from_slice(line),
            // The first lines name the cause; later ones are dropped.
            Some(_) => {}
            None => return LogWriter.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        LogWriter.flush()
    }
}

/// The most bytes that are held back.
const HELD_BYTES_MAX: usize = 64 << 10;

/// The held lines; `None` if lines are printed at once.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);
