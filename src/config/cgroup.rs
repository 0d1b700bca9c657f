//! [`CpuLimit`]: the CPU time that the control groups of this process grant. Containers and services have such limits.

use std::fmt;
use std::fs;

/// A limit of CPU time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CpuLimit {
    /// In cores: 1.5 is one and a half seconds of CPU time per second.
    pub(crate) cores: f64,
    /// The file that holds the limit.
    pub(crate) file: String,
}

impl CpuLimit {
    /// The lowest limit of this process, if there is one.
    pub(crate) fn read() -> Option<CpuLimit> {
        let text = |path: &str| fs::read_to_string(path).ok();
        lowest(&text("/proc/self/cgroup")?, &text("/proc/self/mountinfo")?, text)
    }

    /// How many threads the limit keeps busy: at least one.
    pub(crate) fn threads(&self) -> usize {
        // The number is finite and not negative, and no machine has as many cores as the cast cannot represent.
        (self.cores as usize).max(1)
    }
}

impl fmt::Display for CpuLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} cores ({})", self.cores, self.file)
    }
}

/// The lowest limit among the groups of a process and their parents. `groups` is `/proc/self/cgroup`, `mounts` is
/// `/proc/self/mountinfo`, and `read` returns the text of a file.
fn lowest(groups: &str, mounts: &str, read: impl Fn(&str) -> Option<String>) -> Option<CpuLimit> {
    let mut lowest: Option<CpuLimit> = None;
    for (version, group) in groups.lines().filter_map(hierarchy) {
        let Some((root, place)) = mounts.lines().find_map(|mount| mounted(mount, version)) else { continue };
        // A container may see the name that the host gives its group. The mount itself is the group then.
        let below = group.strip_prefix(root.trim_end_matches('/')).filter(|rest| rest.starts_with('/'));
        let mut folder = format!("{place}{}", below.unwrap_or_default());
        folder.truncate(folder.trim_end_matches('/').len());
        while folder.len() >= place.len() {
            if let Some(limit) = limit(version, &folder, &read)
                && lowest.as_ref().is_none_or(|known| limit.cores < known.cores)
            {
                lowest = Some(limit);
            }
            folder.truncate(folder.rfind('/').unwrap_or_default());
        }
    }
    lowest
}

/// The two versions of control groups. A machine may use both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Reads a line such as `0::/system.slice/app.service` or `4:cpu,cpuacct:/docker/4f2a`, if it concerns CPU time.
fn hierarchy(line: &str) -> Option<(Version, &str)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    match (number, controllers) {
        ("0", "") => Some((Version::V2, group)),
        _ if controllers.split(',').any(|name| name == "cpu") => Some((Version::V1, group)),
        _ => None,
    }
}

/// The group that is mounted, and its place, if this line mounts groups of this version:
/// `30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw`.
fn mounted(line: &str, version: Version) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, place) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
    let is_it = match version {
        Version::V2 => kind == "cgroup2",
        Version::V1 => kind == "cgroup" && options.split(',').any(|name| name == "cpu"),
    };
    is_it.then_some((root, place))
}

/// The limit of one group.
fn limit(version: Version, folder: &str, read: impl Fn(&str) -> Option<String>) -> Option<CpuLimit> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|number| *number > 0);
    let (file, quota, period) = match version {
        Version::V2 => {
            let file = format!("{folder}/cpu.max");
            let text = read(&file)?;
            // `max` means no limit, and is not a number.
            let (quota, period) = text.trim().split_once(' ')?;
            (file, number(quota)?, number(period)?)
        }
        Version::V1 => {
            let file = format!("{folder}/cpu.cfs_quota_us");
            // -1 means no limit, and is not a positive number.
            let quota = number(&read(&file)?)?;
            (file, quota, number(&read(&format!("{folder}/cpu.cfs_period_us"))?)?)
        }
    };
    Some(CpuLimit { cores: quota as f64 / period as f64, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "33 23 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      34 23 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

    fn found(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<(f64, String)> {
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        lowest(groups, mounts, read).map(|limit| (limit.cores, limit.file))
    }

    #[test]
    fn limit_of_version_2_is_the_lowest_along_the_path() {
        let files = [
            ("/sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "400000 100000\n"),
        ];
        let file = "/sys/fs/cgroup/a.slice/cpu.max".to_owned();
        assert_eq!(found("0::/a.slice/b.service\n", V2, &files), Some((1.5, file)));
        assert_eq!(found("0::/c\n", V2, &files), Some((4.0, "/sys/fs/cgroup/cpu.max".to_owned())));
        assert_eq!(found("0::/a.slice/b.service\n", V2, &files[..1]), None);
    }

    #[test]
    fn limit_of_version_1_is_its_quota_per_period() {
        let group = "5:memory:/docker/4f\n4:cpu,cpuacct:/docker/4f\n0::/\n";
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/docker/4f/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/docker/4f/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(found(group, V1, &files), Some((0.5, files[0].0.to_owned())));
        assert_eq!(found(group, V1, &files[2..]), None);
    }

    #[test]
    fn container_that_sees_only_its_own_group_finds_it() {
        // The group has the host's name, and only that group is mounted.
        let inside = V1.replace("0:30 / ", "0:30 /docker/4f ");
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
        ];
        for group in ["4:cpu,cpuacct:/docker/4f\n", "4:cpu,cpuacct:/elsewhere\n", "4:cpu:/docker/4f0\n"] {
            assert_eq!(found(group, &inside, &files), Some((2.0, files[0].0.to_owned())), "{group}");
        }
        let files = [("/sys/fs/cgroup/cpu.max", "250000 100000")];
        assert_eq!(found("0::/\n", V2, &files), Some((2.5, files[0].0.to_owned())));
        assert_eq!(
            found("0::/../../x\n", &V2.replace("0:26 / ", "0:26 /../.. "), &files).map(|f| f.0),
            Some(2.5)
        );
    }

    #[test]
    fn malformed_text_is_no_limit() {
        let file = "/sys/fs/cgroup/cpu.max";
        for text in ["", "max", "0 100000", "100000 0", "-5 100000", "x y", "100000"] {
            assert_eq!(found("0::/\n", V2, &[(file, text)]), None, "{text}");
        }
        for (groups, mounts) in [("", V2), ("0::/\n", ""), ("nonsense\n0:\n", V2), ("0::/\n", "a - b\n")] {
            assert_eq!(found(groups, mounts, &[(file, "100000 100000")]), None, "{groups} {mounts}");
        }
    }

    #[test]
    fn fraction_of_a_core_is_dropped_unless_it_is_all() {
        for (cores, threads) in [(0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2), (7.5, 7)] {
            assert_eq!(CpuLimit { cores, file: String::new() }.threads(), threads, "{cores}");
        }
    }
}
