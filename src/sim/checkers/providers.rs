//! Whoever knows the credentials is not asked in a storm, however often servers say that they know nobody.

use std::time::Duration;

use super::Violation;
use crate::proto::time::Instant;

/// When a shard last asked.
#[derive(Debug, Default)]
pub(in crate::sim) struct Providers(Option<Instant>);

impl Providers {
    pub(in crate::sim) fn note_asked(&mut self, now: Instant) -> Result<(), Violation> {
        match self.0.replace(now) {
            Some(before) if now.since(before) < WINDOW => {
                let what = format!("others were asked for {:?} before", now.since(before));
                Err(Violation::new("nobody asks for credentials in a storm", what))
            }
            _ => Ok(()),
        }
    }
}

const WINDOW: Duration = Duration::from_secs(10);
