//! [`ReportedTargets`]: which refused targets the shards of a group have reported to the application lately.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// A shard locks it only when its pool refuses a target that it has not reported within the last minute.
#[derive(Default)]
pub(crate) struct ReportedTargets(Mutex<Vec<(Endpoint, Instant)>>);

impl ReportedTargets {
    /// Whether no shard has reported this target within the last minute. It counts as reported from now on.
    pub(crate) fn is_first(&self, target: &Endpoint, now: Instant) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|(_, at)| now.since(*at) < MINUTE);
        if reported.len() >= REPORTED_MAX || reported.iter().any(|(known, _)| known == target) {
            return false;
        }
        reported.push((target.clone(), now));
        true
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// How many targets a group reports within a minute.
const REPORTED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_reported_once_a_minute_by_all_shards_together() {
        let (reported, at) =
            (ReportedTargets::default(), |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000));
        let target = |number: usize| Endpoint::new(format!("name-{number}"), 1).unwrap();
        assert!(reported.is_first(&target(0), at(0)) && !reported.is_first(&target(0), at(59)));
        assert!(reported.is_first(&target(1), at(59)) && reported.is_first(&target(0), at(60)));
        assert_eq!(
            (0..1000).filter(|number| reported.is_first(&target(*number), at(61))).count(),
            REPORTED_MAX - 2
        );
    }
}
