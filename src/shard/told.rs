//! [`Told`]: which refused targets the application was told of lately, by whichever shard of a group.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// It is locked when a target is refused that its pool has not told of within a minute, and never else.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<(Endpoint, Instant)>>);

impl Told {
    /// Whether this target was not told of within the last minute. It counts as told from now on.
    pub(super) fn is_first(&self, target: &Endpoint, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(_, at)| now.since(*at) < MINUTE);
        if told.len() >= TOLD_MAX || told.iter().any(|(known, _)| known == target) {
            return false;
        }
        told.push((target.clone(), now));
        true
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// How many targets a group tells of within a minute.
const TOLD_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_once_a_minute_by_all_shards_together() {
        let (told, at) = (Told::default(), |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000));
        let target = |number: usize| Endpoint::new(format!("name-{number}"), 1).unwrap();
        assert!(told.is_first(&target(0), at(0)) && !told.is_first(&target(0), at(59)));
        assert!(told.is_first(&target(1), at(59)) && told.is_first(&target(0), at(60)));
        assert_eq!((0..1000).filter(|number| told.is_first(&target(*number), at(61))).count(), TOLD_MAX - 2);
    }
}
