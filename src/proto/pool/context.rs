//! [`Context`]: what a pool hands to each of its parts.

use super::action::PoolCounters;
use super::config::PoolConfig;
use super::effects::Effects;
use crate::proto::maint::event::MaintenanceStats;
use crate::proto::time::Instant;

/// The settings, the time, and where a part leaves its effects and counts.
///
/// A part changes its own state and this, and nothing else: what it wants of other parts it pushes to `effects`.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: PoolConfig,
    /// The time of the call that is being handled. It never goes backwards.
    pub(super) now: Instant,
    /// Set once the pool accepts no new command: the time at which the rest is given up.
    pub(super) closing: Option<Instant>,
    pub(super) random: fastrand::Rng,
    pub(super) counters: PoolCounters,
    pub(super) stats: MaintenanceStats,
    pub(super) effects: Effects,
}

impl Context {
    pub(super) fn new(config: PoolConfig, now: Instant) -> Self {
        Context {
            now,
            closing: None,
            random: fastrand::Rng::with_seed(config.seed),
            counters: PoolCounters::default(),
            stats: MaintenanceStats::default(),
            effects: Effects::default(),
            config,
        }
    }
}
