//! [`Facts`]: what the system says about itself and this process. What it does not say is `None`.

use std::fs;
use std::io;

use super::uring::{Uring, uring};

/// What executors depend on.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The kernel's release, such as `6.8.0-45-generic`.
    pub(crate) kernel: String,
    pub(crate) uring: io::Result<Uring>,
    /// The sysctl `kernel.io_uring_disabled`; kernels before 6.6 have none.
    pub(crate) uring_disabled: Option<u8>,
    /// 0: none, 1: strict, 2: a filter.
    pub(crate) seccomp: Option<u8>,
    pub(crate) locked_memory: Option<Limit>,
    /// Whether the process has CAP_IPC_LOCK, which lifts the limit of locked memory.
    pub(crate) locks_freely: bool,
    pub(crate) open_files: Option<Limit>,
    pub(crate) open_now: u64,
}

/// A limit of the process; `u64::MAX` means that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Facts {
    pub(crate) fn read() -> Facts {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (status, limits) = (text("/proc/self/status"), text("/proc/self/limits"));
        Facts {
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            uring: uring(),
            uring_disabled: text("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            seccomp: field(&status, "Seccomp:").and_then(|mode| mode.parse().ok()),
            locked_memory: limit(&limits, "Max locked memory"),
            locks_freely: has_capability(&status, CAP_IPC_LOCK),
            open_files: limit(&limits, "Max open files"),
            open_now: fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64),
        }
    }
}

impl Facts {
    /// The kernel's version: major and minor.
    pub(crate) fn release(&self) -> Option<(u32, u32)> {
        let mut numbers = self.kernel.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// The rest of the line that begins with this name.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn limit(limits: &str, name: &str) -> Option<Limit> {
    let number = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
    let mut words = field(limits, name)?.split_whitespace().map(number);
    Some(Limit { soft: words.next()??, hard: words.next()?? })
}

fn has_capability(status: &str, number: u32) -> bool {
    let config = field(status, "CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    config.is_some_and(|mask| mask >> number & 1 == 1)
}

const CAP_IPC_LOCK: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_system_are_parsed() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n\
                      Max locked memory         65536                unlimited            bytes     \n";
        assert_eq!(limit(limits, "Max open files"), Some(Limit { soft: 1024, hard: 524_288 }));
        assert_eq!(limit(limits, "Max locked memory"), Some(Limit { soft: 65536, hard: u64::MAX }));
        assert_eq!(limit(limits, "Max stack size"), None);
        assert_eq!(limit("Max open files", "Max open files"), None);
        let status = "Name:\tx\nCapEff:\t0000000000004000\nSeccomp:\t2\n";
        assert_eq!(field(status, "Seccomp:"), Some("2"));
        assert!(has_capability(status, CAP_IPC_LOCK) && !has_capability(status, 15));
        assert!(!has_capability("", CAP_IPC_LOCK));
    }

    #[test]
    fn this_machine_says_something() {
        let facts = Facts::read();
        assert!(facts.kernel.contains('.'), "{facts:?}");
        assert!(
            facts.locked_memory.is_some() && facts.open_files.is_some() && facts.open_now > 2,
            "{facts:?}"
        );
    }
}
