//! The cores that the shards are pinned to.

use super::cgroup::CpuLimit;
use super::error::ConfigError;
use super::range::check_number;

/// How many shards a client starts, where no cores are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ShardCount {
    /// One, which runs on any core.
    #[default]
    One,
    /// So many, which are pinned to the cores that this process may use.
    Exactly(usize),
    /// One for each core that this process may use and has CPU time for.
    OnEachCore,
}

/// The core that each shard is pinned to; `None` for shards that are not pinned.
///
/// # Errors
/// If this process may not use a requested core, or the number of shards is out of its range.
pub(super) fn resolve(
    wanted: Option<&[usize]>,
    shards: ShardCount,
) -> Result<Vec<Option<usize>>, ConfigError> {
    match wanted {
        Some(cores) => Ok(check(cores, &allowed())?.iter().copied().map(Some).collect()),
        None => spread(shards, &allowed(), CpuLimit::read().as_ref()),
    }
}

/// Checks the requested cores and shards against the shards of another client.
///
/// # Errors
/// Names the setting that differs.
pub(super) fn check_shared(
    wanted: Option<&[usize]>,
    shards: ShardCount,
    cores: &[Option<usize>],
) -> Result<(), ConfigError> {
    if let Some(wanted) = wanted
        && !wanted.iter().copied().map(Some).eq(cores.iter().copied())
    {
        let problem =
            format!("the shards of the other client run on {}; leave it out, or set the same", text(cores));
        return Err(ConfigError::new("cores", problem));
    }
    if let (None, ShardCount::Exactly(shards)) = (wanted, shards)
        && shards != cores.len()
    {
        let problem =
            format!("{shards}, and the other client has {}; leave it out, or set the same", cores.len());
        return Err(ConfigError::new("shards", problem));
    }
    Ok(())
}

/// The cores that this process may use; empty if the system does not report them.
pub(crate) fn allowed() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

/// As many of these cores as the limit of CPU time can keep busy.
#[cfg(any(test, feature = "cli", feature = "tokio"))]
pub(crate) fn usable() -> Vec<usize> {
    let mut cores = allowed();
    cores.truncate(CpuLimit::read().map_or(usize::MAX, |limit| limit.threads()));
    cores
}

fn check<'a>(cores: &'a [usize], allowed: &[usize]) -> Result<&'a [usize], ConfigError> {
    check_number("cores", cores.len(), 1, SHARDS_MAX)?;
    for (index, core) in cores.iter().enumerate() {
        if !allowed.contains(core) && !allowed.is_empty() {
            let problem = format!("this process may not use core {core}; it may use {allowed:?}");
            return Err(ConfigError::new("cores", problem));
        }
        if cores.iter().take(index).any(|earlier| earlier == core) {
            return Err(ConfigError::new("cores", format!("core {core} is listed twice")));
        }
    }
    Ok(cores)
}

/// Distributes the shards over the cores.
fn spread(
    shards: ShardCount,
    allowed: &[usize],
    limit: Option<&CpuLimit>,
) -> Result<Vec<Option<usize>>, ConfigError> {
    let count = match (shards, limit) {
        // It is not pinned: the first core would have the shards of every process of the machine.
        (ShardCount::One, _) => return Ok(vec![None]),
        // Nor are these: several containers with such limits would all use the first cores.
        (ShardCount::OnEachCore, Some(limit)) if limit.threads() < allowed.len() => {
            return Ok(vec![None; limit.threads().min(SHARDS_MAX)]);
        }
        (ShardCount::OnEachCore, _) => allowed.len().clamp(1, SHARDS_MAX),
        (ShardCount::Exactly(count), _) => count,
    };
    check_number("shards", count, 1, SHARDS_MAX)?;
    if !allowed.is_empty() && count > allowed.len() * SHARDS_PER_CORE_MAX {
        let problem = format!(
            "{count} is more than {SHARDS_PER_CORE_MAX} for each of the {} cores that this process may use; more shards \
             only wait for each other",
            allowed.len()
        );
        return Err(ConfigError::new("shards", problem));
    }
    let mut cores = allowed.iter().cycle().copied();
    Ok((0..count).map(|_| cores.next()).collect())
}

/// The cores as a list, such as `0,1` or `any,any`.
pub(super) fn text(cores: &[Option<usize>]) -> String {
    let names = cores.iter().map(|core| core.map_or_else(|| "any".to_owned(), |core| core.to_string()));
    names.collect::<Vec<_>>().join(",")
}

const SHARDS_MAX: usize = 1024;
/// More shards per core take seconds to start and some hundred kilobytes each, and only wait for each other.
const SHARDS_PER_CORE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::ShardCount::{Exactly, OnEachCore, One};
    use super::*;

    #[test]
    fn shards_are_distributed_over_the_allowed_cores() {
        assert_eq!(spread(OnEachCore, &[2, 5], None).unwrap(), [Some(2), Some(5)]);
        assert_eq!(spread(Exactly(3), &[2, 5], None).unwrap(), [Some(2), Some(5), Some(2)]);
        assert_eq!(spread(Exactly(2), &[], None).unwrap(), [None, None]);
        assert_eq!(spread(One, &[2, 5], None).unwrap(), [None]);
        assert_eq!(text(&[Some(2), None]), "2,any");
        assert_eq!(spread(Exactly(128), &[2, 5], None).unwrap().len(), 128);
        let error = spread(Exactly(129), &[2, 5], None).unwrap_err().to_string();
        assert!(error.contains("129 is more than 64 for each of the 2 cores"), "{error}");
        assert_eq!(
            spread(Exactly(SHARDS_MAX), &[], None).unwrap().len(),
            SHARDS_MAX,
            "the system reports no cores"
        );
    }

    #[test]
    fn shards_on_each_core_keep_to_a_limit_of_cpu_time() {
        let limit = |cores| CpuLimit { cores, file: "cpu.max".to_owned() };
        assert_eq!(spread(OnEachCore, &[0, 1, 2, 3], Some(&limit(2.5))).unwrap(), [None, None]);
        assert_eq!(spread(OnEachCore, &[0, 1, 2, 3], Some(&limit(0.2))).unwrap(), [None]);
        // The limit keeps all cores busy, or the number is requested.
        assert_eq!(spread(OnEachCore, &[0, 1], Some(&limit(2.0))).unwrap(), [Some(0), Some(1)]);
        assert_eq!(spread(OnEachCore, &[0, 1], Some(&limit(9.0))).unwrap(), [Some(0), Some(1)]);
        assert_eq!(spread(Exactly(2), &[0, 1], Some(&limit(1.0))).unwrap(), [Some(0), Some(1)]);
    }

    #[test]
    fn shared_shards_must_match_the_settings() {
        let cores = [Some(2), Some(5)];
        assert!(check_shared(None, One, &cores).is_ok());
        assert!(check_shared(None, Exactly(2), &cores).is_ok());
        assert!(check_shared(Some(&[2, 5]), One, &cores).is_ok());
        let problem = |wanted, shards| check_shared(wanted, shards, &cores).unwrap_err().to_string();
        assert!(problem(None, Exactly(3)).contains("shards: 3, and the other client has 2"));
        assert!(problem(Some(&[5, 2]), One).contains("cores: the shards of the other client run on 2,5"));
    }

    #[test]
    fn core_must_be_allowed_and_listed_once() {
        assert_eq!(check(&[5], &[2, 5]).unwrap(), [5]);
        assert!(check(&[2, 2], &[2, 5]).unwrap_err().to_string().contains("twice"));
        let error = check(&[7], &[2, 5]).unwrap_err();
        assert!(error.to_string().contains("may not use core 7; it may use [2, 5]"), "{error}");
    }
}
