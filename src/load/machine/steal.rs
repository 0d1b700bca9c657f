//! The CPU time that a hypervisor gave to other machines, from `/proc/stat`.

/// CPU time of all cores since the machine started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTimes {
    all: u64,
    stolen: u64,
}

impl CpuTimes {
    /// `None` if the kernel does not report it.
    pub(super) fn read() -> Option<CpuTimes> {
        parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The share that was stolen since `before`; `None` if less than a tick has passed.
    pub(super) fn stolen_since(self, before: CpuTimes) -> Option<f64> {
        let all = self.all.saturating_sub(before.all);
        (all > 0).then(|| self.stolen.saturating_sub(before.stolen) as f64 / all as f64)
    }
}

fn parse(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_whitespace().take(FIELDS).map_while(|field| field.parse().ok()).collect();
    let stolen = *ticks.get(FIELDS - 1)?;
    let all = ticks.iter().try_fold(0u64, |sum, ticks| sum.checked_add(*ticks))?;
    Some(CpuTimes { all, stolen })
}

/// `user nice system idle iowait irq softirq steal`. The fields after these are part of the first two.
const FIELDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stolen_share_is_of_all_cores() {
        let stat = |idle, stolen| format!("cpu  100 0 50 {idle} 10 0 0 {stolen} 7 0\ncpu0 1 2 3 4 5 6 7 8\n");
        let (before, after) = (parse(&stat(840, 0)).expect("times"), parse(&stat(900, 40)).expect("times"));
        assert_eq!(before, CpuTimes { all: 1000, stolen: 0 });
        assert_eq!(after.stolen_since(before), Some(0.4));
        assert_eq!(before.stolen_since(before), None);
    }

    #[test]
    fn incomplete_kernel_statistics_are_rejected() {
        for text in ["", "cpu 1 2 3 4", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 x 5 6 7 8", "intr 5\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
