//! [`Finding`]: whether a fact meets a need, and the remedy if it does not.

use std::io;

use super::facts::{Facts, Limit};
use crate::config::Sockets;

/// What a client needs of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) shards: usize,
    /// For each shard.
    pub(crate) connections: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The name of the check, in a word or two.
    pub(crate) check: &'static str,
    pub(crate) level: Level,
    pub(crate) found: String,
    /// How to mend it.
    pub(crate) remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Ok,
    /// A client runs, but slower or with less room than it could.
    Warn,
    /// A client does not run.
    Fail,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, found: found.into(), remedy: None }
    }

    pub(crate) fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { level: Level::Fail, ..Finding::warn(check, found, remedy) }
    }
}

/// The checks without which no client runs.
pub(super) fn necessary(facts: &Facts, needs: Needs) -> Vec<Finding> {
    vec![io_uring(facts), locked_memory(facts, needs), open_files(facts, needs)]
}

pub(super) fn io_uring(facts: &Facts) -> Finding {
    const CHECK: &str = "io_uring";
    let uring = match &facts.uring {
        Ok(uring) => uring,
        Err(error) => return Finding::fail(CHECK, refused(error, facts), refusal(error, facts)),
    };
    let missing = NEEDED.iter().filter(|(number, _)| !uring.operations.contains(number));
    let missing: Vec<&str> = missing.map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        let found = format!("the kernel lacks the operations {}", missing.join(", "));
        return Finding::fail(CHECK, found, "Linux 5.8 or later has them");
    }
    let features: Vec<&str> =
        FEATURES.iter().filter(|(bit, _)| uring.features >> bit & 1 == 1).map(|(_, name)| *name).collect();
    let count = uring.operations.len();
    Finding::ok(CHECK, format!("usable: {count} operations, all that are needed; {}", features.join(", ")))
}

fn refused(error: &io::Error, facts: &Facts) -> String {
    let filter = if facts.seccomp == Some(2) { ", under a seccomp filter" } else { "" };
    format!("refused on Linux {}{filter}: {error}", facts.kernel)
}

/// Why io_uring is refused, and the remedy.
fn refusal(error: &io::Error, facts: &Facts) -> &'static str {
    match (error.raw_os_error(), facts.uring_disabled) {
        (Some(libc::EPERM | libc::EACCES), Some(1 | 2)) => {
            "the sysctl kernel.io_uring_disabled forbids it: set it to 0 \
             (`sysctl -w kernel.io_uring_disabled=0`), or, where it is 1, run with CAP_SYS_ADMIN or in the group \
             that kernel.io_uring_group names"
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a security policy forbids it, most likely the seccomp filter that container engines install by \
             default: allow the system calls io_uring_setup, io_uring_enter and io_uring_register in the \
             container's seccomp profile (`--security-opt seccomp=PROFILE.json`)"
        }
        (Some(libc::ENOSYS), _) => {
            "the kernel has no io_uring, or a seccomp filter hides it: Linux 5.8 or later is needed, with \
             io_uring_setup, io_uring_enter and io_uring_register allowed in the seccomp profile of the container"
        }
        (Some(libc::ENOMEM), _) => {
            "the locked-memory limit is used up: raise it (`ulimit -l`, LimitMEMLOCK= of the service)"
        }
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            "the limit of open files is reached: raise it (`ulimit -n`, LimitNOFILE= of the service)"
        }
        _ => "see `man io_uring_setup` for the error",
    }
}

pub(super) fn locked_memory(facts: &Facts, needs: Needs) -> Finding {
    const CHECK: &str = "locked memory";
    let Some(Limit { soft, hard }) = facts.locked_memory else {
        return Finding::ok(CHECK, "the system does not say");
    };
    if soft == u64::MAX {
        return Finding::ok(CHECK, "no limit");
    }
    let how = |least: u64| match hard < least {
        true => "LimitMEMLOCK= of the service, `--ulimit memlock=` of the container",
        false => "`ulimit -l`",
    };
    // Also with CAP_IPC_LOCK, which the runtime ignores.
    if soft < LOCKED_MEMORY_MIN {
        let found =
            format!("a limit of {}; {} is the least for an executor", kib(soft), kib(LOCKED_MEMORY_MIN));
        let remedy = format!("raise it to {} or more ({})", kib(LOCKED_MEMORY_MIN), how(LOCKED_MEMORY_MIN));
        return Finding::fail(CHECK, found, remedy);
    }
    if facts.locks_freely {
        return Finding::ok(CHECK, format!("a limit of {}, which CAP_IPC_LOCK lifts", kib(soft)));
    }
    let of_ring = match Sockets::Auto.resolve(needs.connections) {
        Sockets::IoUring => LOCKED_MEMORY_OF_RING,
        _ => 0,
    };
    let needed = LOCKED_MEMORY_MIN.max(needs.shards as u64 * (LOCKED_MEMORY_OF_SHARD + of_ring));
    let found = format!("a limit of {}; {} for {}", kib(soft), kib(needed), shards(needs));
    if soft < needed {
        let remedy = format!("raise it to {} or more ({}), or grant CAP_IPC_LOCK", kib(needed), how(needed));
        // Older kernels charge executors less, some of them nothing.
        return match facts.release() {
            Some(release) if release >= CHARGED_SINCE => Finding::fail(CHECK, found, remedy),
            _ => Finding::warn(CHECK, found, remedy),
        };
    }
    if soft / 2 < needed && needed > LOCKED_MEMORY_MIN {
        let remedy = "all processes of this user share it: raise it if there are others";
        return Finding::warn(CHECK, found, remedy);
    }
    Finding::ok(CHECK, found)
}

pub(super) fn open_files(facts: &Facts, needs: Needs) -> Finding {
    const CHECK: &str = "open files";
    let Some(Limit { soft, hard }) = facts.open_files else {
        return Finding::ok(CHECK, "the system does not say");
    };
    if soft == u64::MAX {
        return Finding::ok(CHECK, "no limit");
    }
    let (shards, connections) = (needs.shards as u64, needs.connections as u64);
    let needed = facts.open_now + FILES_BESIDE + shards * (FILES_OF_SHARD + connections);
    // During a handoff both connections are open.
    let during_handoffs = needed + shards * connections;
    let found = format!(
        "a limit of {soft}; {needed} for {} with {connections} connections each, and up to {during_handoffs} while \
         they are handed off",
        self::shards(needs)
    );
    let remedy = |count: u64| {
        let how = if hard < count {
            "LimitNOFILE= of the service, `--ulimit nofile=` of the container"
        } else {
            "`ulimit -n`"
        };
        format!("raise it to {count} or more ({how})")
    };
    match soft {
        soft if soft < needed => Finding::fail(CHECK, found, remedy(needed)),
        soft if soft < during_handoffs => Finding::warn(CHECK, found, remedy(during_handoffs)),
        _ => Finding::ok(CHECK, found),
    }
}

pub(super) fn shards(needs: Needs) -> String {
    format!("{} shard{}", needs.shards, if needs.shards == 1 { "" } else { "s" })
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

/// The runtime does not start with less.
const LOCKED_MEMORY_MIN: u64 = 512 << 10;
/// What the kernel charges for the rings of one executor.
const LOCKED_MEMORY_OF_SHARD: u64 = 48 << 10;
/// The same for the ring that serves the sockets of a shard.
const LOCKED_MEMORY_OF_RING: u64 = 40 << 10;
/// The oldest kernel that was measured to charge it.
const CHARGED_SINCE: (u32, u32) = (6, 18);
/// Three rings and the descriptor that wakes them; and at most five of the reactor: its own ring, two handles of the bell, the
/// copy that the runtime waits for, and the notifier.
const FILES_OF_SHARD: u64 = 9;
/// Descriptors that are open for a short time, such as those of look-ups.
const FILES_BESIDE: u64 = 8;
/// The operations that the runtime asks for when it starts.
pub(super) const NEEDED: &[(u8, &str)] = &[
    (0, "NOP"),
    (1, "READV"),
    (2, "WRITEV"),
    (3, "FSYNC"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (6, "POLL_ADD"),
    (7, "POLL_REMOVE"),
    (9, "SENDMSG"),
    (10, "RECVMSG"),
    (11, "TIMEOUT"),
    (12, "TIMEOUT_REMOVE"),
    (13, "ACCEPT"),
    (15, "LINK_TIMEOUT"),
    (16, "CONNECT"),
    (17, "FALLOCATE"),
    (18, "OPENAT"),
    (19, "CLOSE"),
    (21, "STATX"),
    (22, "READ"),
    (23, "WRITE"),
    (26, "SEND"),
    (27, "RECV"),
];

/// Bits of `features` that tell kernels apart.
const FEATURES: &[(u32, &str)] = &[
    (1, "NODROP (5.5)"),
    (5, "FAST_POLL (5.7)"),
    (8, "EXT_ARG (5.11)"),
    (11, "CQE_SKIP (5.17)"),
    (13, "REG_REG_RING (6.3)"),
];
