//! Machines that meet every need, and machines that do not.

use std::io;

use super::checks::NEEDED;
use super::facts::Limit;
use super::uring::Uring;
use super::*;

fn good() -> Facts {
    let operations = NEEDED.iter().map(|(number, _)| *number).collect();
    Facts {
        kernel: "6.8.0-45-generic".to_owned(),
        uring: Ok(Uring { features: u32::MAX, operations, serves_sockets: true }),
        uring_disabled: Some(0),
        seccomp: Some(0),
        locked_memory: Some(Limit { soft: 8 << 20, hard: 8 << 20 }),
        locks_freely: false,
        open_files: Some(Limit { soft: 1024, hard: 4096 }),
        open_now: 10,
    }
}

fn refused(code: i32) -> Facts {
    Facts { uring: Err(io::Error::from_raw_os_error(code)), ..good() }
}

fn cores(count: usize) -> Cores {
    Cores {
        allowed: (0..count).map(|core| (core, vec![core])).collect(),
        clock_source: Some("tsc".to_owned()),
        limit: None,
    }
}

const NEEDS: Needs = Needs { shards: 2, connections: 4 };

/// The finding of one check.
fn of(check: &str, facts: &Facts, needs: Needs) -> Finding {
    let mut findings = examine(facts, &cores(2), needs).into_iter();
    findings.find(|finding| finding.check == check).unwrap()
}

/// The one finding that is not ok, which must be of this level.
fn only(facts: &Facts, cores: &Cores, level: Level) -> Finding {
    let mut odd = examine(facts, cores, NEEDS).into_iter().filter(|finding| finding.level != Level::Ok);
    let finding = odd.next().unwrap();
    assert_eq!((finding.level, odd.next()), (level, None), "{finding:?}");
    finding
}

#[test]
fn a_good_machine_has_nothing_to_mend() {
    let findings = examine(&good(), &cores(2), NEEDS);
    let is_good = |finding: &Finding| finding.level == Level::Ok && finding.remedy.is_none();
    assert!(findings.iter().all(is_good), "{findings:?}");
    assert_eq!(findings.len(), 10);
    assert_eq!(problem(&good(), NEEDS), None);
}

#[test]
fn each_refusal_names_its_remedy() {
    for (code, disabled, remedy) in [
        (libc::EPERM, Some(2), "sysctl -w kernel.io_uring_disabled=0"),
        (libc::EPERM, Some(0), "--security-opt seccomp="),
        (libc::EACCES, None, "seccomp profile"),
        (libc::ENOSYS, None, "Linux 5.8"),
        (libc::ENOMEM, None, "ulimit -l"),
        (libc::EMFILE, None, "ulimit -n"),
        (libc::EINVAL, None, "man io_uring_setup"),
    ] {
        let facts = Facts { uring_disabled: disabled, ..refused(code) };
        let problem = problem(&facts, NEEDS).unwrap();
        assert!(problem.contains(remedy) && problem.contains("os error"), "{problem}");
    }
}

#[test]
fn a_filter_or_a_switch_is_named_as_the_cause() {
    let filtered = Facts { seccomp: Some(2), ..refused(libc::EPERM) };
    assert_eq!(of("seccomp", &filtered, NEEDS).level, Level::Fail);
    assert!(problem(&filtered, NEEDS).unwrap().contains("under a seccomp filter"));
    assert_eq!(of("seccomp", &Facts { seccomp: Some(2), ..good() }, NEEDS).level, Level::Ok);
    for number in [1, 2] {
        let facts = Facts { uring_disabled: Some(number), seccomp: Some(2), ..refused(libc::EPERM) };
        assert_eq!(of("kernel.io_uring_disabled", &facts, NEEDS).level, Level::Fail);
        assert_eq!(of("seccomp", &facts, NEEDS).level, Level::Ok, "it is not the filter's fault");
    }
    let permitted = Facts { uring_disabled: Some(1), ..good() };
    assert_eq!(of("kernel.io_uring_disabled", &permitted, NEEDS).level, Level::Ok);
}

#[test]
fn an_old_kernel_lacks_something() {
    let few = Uring { features: 1, operations: (0..26).collect(), serves_sockets: false };
    let finding = only(&Facts { uring: Ok(few), ..good() }, &cores(2), Level::Fail);
    assert!(finding.found.contains("SEND, RECV"), "{finding:?}");
    let old = Facts { kernel: "5.4.0-1".to_owned(), ..good() };
    assert_eq!(only(&old, &cores(2), Level::Warn).check, "kernel");
    assert_eq!(of("kernel", &Facts { kernel: String::new(), ..good() }, NEEDS).level, Level::Ok);
}

#[test]
fn engine_for_sockets_follows_the_kernel_and_the_connections() {
    for (connections, engine) in [(4, "epoll for shards with 4"), (50, "io_uring for shards with 50")] {
        let found = of("sockets", &good(), Needs { connections, ..NEEDS }).found;
        assert!(found.starts_with(engine), "{found}");
    }
    let operations = NEEDED.iter().map(|(number, _)| *number).collect();
    let old = Uring { features: u32::MAX, operations, serves_sockets: false };
    assert_eq!(
        of("sockets", &Facts { uring: Ok(old), ..good() }, NEEDS).found,
        "epoll: io_uring for sockets needs Linux 6.1"
    );
}

#[test]
fn locked_memory_has_to_be_enough_for_every_shard() {
    let limited = |kib: u64, locks_freely| Facts {
        locked_memory: Some(Limit { soft: kib << 10, hard: kib << 10 }),
        locks_freely,
        ..good()
    };
    let many = Needs { shards: 100, connections: 1 };
    // The runtime ignores the capability that lifts the limit.
    for locks_freely in [false, true] {
        let finding = only(&limited(64, locks_freely), &cores(2), Level::Fail);
        let remedy = finding.remedy.unwrap();
        assert!(remedy.contains("512 KiB") && !remedy.contains("CAP_IPC_LOCK"), "{remedy}");
        assert!(problem(&limited(64, locks_freely), NEEDS).unwrap().contains("512 KiB"));
    }
    let level = |facts: &Facts| of("locked memory", facts, many).level;
    assert_eq!(of("locked memory", &limited(512, false), NEEDS).level, Level::Ok);
    assert_eq!(level(&limited(9600, false)), Level::Ok);
    assert_eq!(level(&limited(4800, false)), Level::Warn, "there may be other processes");
    assert_eq!(level(&limited(4799, true)), Level::Ok);
    // What kernels charge for a ring has changed more than once.
    assert_eq!(level(&limited(4799, false)), Level::Warn);
    let new = Facts { kernel: "6.18.2".to_owned(), ..limited(4799, false) };
    assert_eq!(level(&new), Level::Fail);
    assert!(problem(&new, many).unwrap().contains("raise it to 4800 KiB"));
    let with_rings = Needs { connections: 32, ..many };
    assert!(of("locked memory", &limited(8799, true), with_rings).found.contains("CAP_IPC_LOCK"));
    assert!(of("locked memory", &limited(8799, false), with_rings).remedy.unwrap().contains("8800 KiB"));
    let unlimited = Facts { locked_memory: Some(Limit { soft: u64::MAX, hard: u64::MAX }), ..good() };
    assert_eq!(of("locked memory", &unlimited, many).found, "no limit");
}

#[test]
fn open_files_have_to_be_enough_for_every_connection() {
    // 10 are open, 8 are for what comes and goes; 10 shards of 9 + 10.
    let needs = Needs { shards: 10, connections: 10 };
    let limited = |soft| Facts { open_files: Some(Limit { soft, hard: 4096 }), ..good() };
    for (soft, level) in [(207, Level::Fail), (208, Level::Warn), (307, Level::Warn), (308, Level::Ok)] {
        assert_eq!(of("open files", &limited(soft), needs).level, level, "{soft}");
        assert_eq!(problem(&limited(soft), needs).is_some(), level == Level::Fail, "{soft}");
    }
    let remedy = of("open files", &limited(207), needs).remedy.unwrap();
    assert!(remedy.contains("208") && remedy.contains("ulimit -n"), "{remedy}");
    let fixed = Facts { open_files: Some(Limit { soft: 20, hard: 20 }), ..good() };
    assert!(of("open files", &fixed, needs).remedy.unwrap().contains("LimitNOFILE"));
}

#[test]
fn shards_that_share_a_core_and_slow_clocks_are_pointed_out() {
    let finding = only(&good(), &cores(1), Level::Warn);
    assert!(finding.found.contains("may use 1: 0"), "{finding:?}");
    let siblings = Cores { allowed: vec![(0, vec![0, 4]), (4, vec![0, 4]), (2, vec![2])], ..cores(0) };
    let found = examine(&good(), &siblings, NEEDS).into_iter().find(|finding| finding.check == "cores");
    let found = found.unwrap().found;
    assert!(found.ends_with("0,4,2; threads of one core: 0,4"), "{found}");
    let slow = Cores { clock_source: Some("hpet".to_owned()), ..cores(2) };
    assert_eq!(only(&good(), &slow, Level::Warn).check, "clock source");
}

#[test]
fn a_limit_of_cpu_time_is_told_and_has_to_be_enough() {
    let limited = |limit| {
        let limit = Some(crate::config::CpuLimit { cores: limit, file: "/sys/fs/cgroup/cpu.max".to_owned() });
        Cores { limit, ..cores(8) }
    };
    let finding = only(&good(), &limited(1.5), Level::Warn);
    assert_eq!(finding.check, "CPU limit");
    assert!(finding.found.contains("1.50 cores (/sys/fs/cgroup/cpu.max); 2 shards"), "{finding:?}");
    assert!(finding.remedy.unwrap().contains("start 1 (--shards"));
    let enough = examine(&good(), &limited(2.0), NEEDS);
    assert!(enough.iter().all(|finding| finding.level == Level::Ok), "{enough:?}");
}

#[test]
fn this_machine_says_which_cores_there_are() {
    let cores = Cores::read(&crate::config::allowed_cores());
    assert!(!cores.allowed.is_empty(), "{cores:?}");
    assert!(cores.allowed.iter().all(|(core, siblings)| siblings.contains(core)), "{cores:?}");
}
