//! What `hitless doctor` says of a machine, beyond the checks without which no client runs.

use std::fs;
use std::io;

use super::checks::{Finding, Needs, necessary, shards};
use super::facts::Facts;
use crate::config::{CpuLimit, Sockets};

/// The facts that decide how fast executors can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cores {
    /// The CPUs that this process may use, each with all hardware threads of its core, itself included.
    pub(crate) allowed: Vec<(usize, Vec<usize>)>,
    pub(crate) clock_source: Option<String>,
    /// The limit of a control group, if there is one.
    pub(crate) limit: Option<CpuLimit>,
}

impl Cores {
    pub(crate) fn read(allowed: &[usize]) -> Cores {
        let siblings = |core: usize| {
            let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
            fs::read_to_string(path).map(|list| cores(&list)).unwrap_or_else(|_| vec![core])
        };
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        Cores {
            allowed: allowed.iter().map(|&core| (core, siblings(core))).collect(),
            clock_source: fs::read_to_string(source).ok().map(|name| name.trim().to_owned()),
            limit: CpuLimit::read(),
        }
    }
}

/// All findings, in the order in which you would mend them.
pub(crate) fn examine(facts: &Facts, cores: &Cores, needs: Needs) -> Vec<Finding> {
    let mut findings = vec![kernel(facts), sysctl(facts), seccomp(facts)];
    findings.extend(necessary(facts, needs));
    findings.extend([
        sockets(facts, needs),
        allowed_cores(cores, needs),
        cpu_limit(cores, needs),
        clock(cores),
    ]);
    findings
}

fn kernel(facts: &Facts) -> Finding {
    const CHECK: &str = "kernel";
    let found = format!("Linux {}", facts.kernel);
    match facts.release() {
        None => Finding::ok(CHECK, "the system does not say"),
        // Some distributions bring io_uring to older kernels. Another check tells whether it is there.
        Some(release) if release < KERNEL_MIN => {
            Finding::warn(CHECK, found, "Linux 5.8 is the oldest that is known to run it")
        }
        Some(_) => Finding::ok(CHECK, found),
    }
}

fn sysctl(facts: &Facts) -> Finding {
    const CHECK: &str = "kernel.io_uring_disabled";
    const REMEDY: &str = "`sysctl -w kernel.io_uring_disabled=0`";
    match facts.uring_disabled {
        None => Finding::ok(CHECK, "this kernel has no such switch"),
        Some(0) => Finding::ok(CHECK, "0: every process may use io_uring"),
        Some(1) if facts.uring.is_ok() => {
            Finding::ok(CHECK, "1: some may use io_uring, and this process may")
        }
        Some(1) => {
            let remedy =
                format!("{REMEDY}, or CAP_SYS_ADMIN, or membership in the group of kernel.io_uring_group");
            Finding::fail(CHECK, "1: some may use io_uring, and this process may not", remedy)
        }
        Some(number) => Finding::fail(CHECK, format!("{number}: no process may use io_uring"), REMEDY),
    }
}

fn seccomp(facts: &Facts) -> Finding {
    const CHECK: &str = "seccomp";
    let refused = facts.uring.as_ref().err().and_then(io::Error::raw_os_error);
    match (facts.seccomp, refused) {
        (None, _) => Finding::ok(CHECK, "the system does not say"),
        (Some(0), _) => Finding::ok(CHECK, "no filter"),
        (Some(_), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
            if facts.uring_disabled.unwrap_or(0) == 0 =>
        {
            Finding::fail(CHECK, "a filter, and io_uring is refused", "see io_uring, below")
        }
        (Some(_), None) => Finding::ok(CHECK, "a filter, which lets io_uring pass"),
        (Some(_), Some(_)) => Finding::ok(CHECK, "a filter; whether it lets io_uring pass is not known"),
    }
}

/// What serves the sockets of a shard.
fn sockets(facts: &Facts, needs: Needs) -> Finding {
    const CHECK: &str = "sockets";
    if facts.uring.as_ref().is_ok_and(|uring| uring.serves_sockets) {
        let (count, chosen) = (needs.connections, Sockets::Auto.resolve(needs.connections));
        let found = format!("{chosen} for shards with {count} connections, unless Config::sockets chooses");
        return Finding::ok(CHECK, found);
    }
    Finding::ok(CHECK, "epoll: io_uring for sockets needs Linux 6.1")
}

fn allowed_cores(cores: &Cores, needs: Needs) -> Finding {
    const CHECK: &str = "cores";
    if cores.allowed.is_empty() {
        return Finding::ok(CHECK, "the system does not say");
    }
    let numbers = |cores: &[usize]| cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let allowed: Vec<usize> = cores.allowed.iter().map(|(core, _)| *core).collect();
    let mut physical: Vec<&[usize]> = Vec::new();
    for (_, siblings) in &cores.allowed {
        if !physical.contains(&siblings.as_slice()) {
            physical.push(siblings);
        }
    }
    let mut found = format!("this process may use {}: {}", allowed.len(), numbers(&allowed));
    let shared: Vec<String> =
        physical.iter().filter(|siblings| siblings.len() > 1).map(|siblings| numbers(siblings)).collect();
    match (shared.is_empty(), allowed.len()) {
        (true, 1) => {}
        (true, _) => found.push_str(", no two of which are threads of one core"),
        (false, _) => found.push_str(&format!("; threads of one core: {}", shared.join(" "))),
    }
    if needs.shards > allowed.len() {
        let remedy = "shards that share a core take turns: start no more than there are (--shards, Config::shards), \
                      or allow more (`taskset`, CPUAffinity= or AllowedCPUs= of the service, `--cpuset-cpus`)";
        return Finding::warn(CHECK, format!("{found}; {} are to run there", shards(needs)), remedy);
    }
    Finding::ok(CHECK, found)
}

fn cpu_limit(cores: &Cores, needs: Needs) -> Finding {
    const CHECK: &str = "CPU limit";
    match &cores.limit {
        None => Finding::ok(CHECK, "none by a control group"),
        Some(limit) if needs.shards > limit.threads() => {
            let threads = limit.threads();
            let remedy = format!(
                "shards beyond the limit are stopped for tens of milliseconds at a time: start {threads} (--shards, \
                 Config::shards), or raise the limit (`--cpus` of the container, CPUQuota= of the service)"
            );
            Finding::warn(CHECK, format!("{limit}; {} are to run there", shards(needs)), remedy)
        }
        Some(limit) => Finding::ok(CHECK, limit.to_string()),
    }
}

fn clock(cores: &Cores) -> Finding {
    const CHECK: &str = "clock source";
    match cores.clock_source.as_deref() {
        None | Some("") => Finding::ok(CHECK, "the system does not say"),
        Some(source) if FAST_CLOCKS.contains(&source) => Finding::ok(CHECK, source),
        Some(source) => {
            let found = format!("{source}: reading the clock takes a system call");
            let remedy = "use a faster one, if the machine has it (/sys/devices/system/clocksource/clocksource0/available_clocksource)";
            Finding::warn(CHECK, found, remedy)
        }
    }
}

/// Parses a list as the system writes it: `0-2,8`.
fn cores(list: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend((first..=last).take(SIBLINGS_MAX));
        }
    }
    cores
}

const KERNEL_MIN: (u32, u32) = (5, 8);
/// Clock sources that are read without a system call.
const FAST_CLOCKS: &[&str] = &[
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "hyperv_clocksource",
    "arch_sys_counter",
    "timebase",
];

/// More than the hardware threads of any core.
const SIBLINGS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_parsed() {
        assert_eq!(cores("0-2,8\n"), [0, 1, 2, 8]);
        assert!(cores("nonsense").is_empty());
    }
}
