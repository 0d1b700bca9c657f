//! [`MaintConfig`]: the knobs of everything in this folder, and their defaults.

use std::time::Duration;

use super::mode::{EndpointType, Mode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaintConfig {
    pub(crate) mode: Mode,
    pub(crate) endpoint_type: EndpointType,
    /// What timeouts are raised to while maintenance is announced.
    pub(crate) relaxed_timeout: Duration,
    /// How long an announcement can relax timeouts if nothing ends it.
    pub(crate) window_max: Duration,
    /// How long timeouts stay relaxed when the end was announced.
    pub(crate) post_event_relaxed: Duration,
    /// How long the timeouts of a connection that took over stay relaxed.
    pub(crate) post_handoff_relaxed: Duration,
    pub(crate) handoff_timeout: Duration,
    pub(crate) handoff_retries_max: u32,
    /// 0 is automatic.
    pub(crate) handoff_workers: usize,
    /// 0 is automatic.
    pub(crate) handoff_queue: usize,
    pub(crate) breaker: BreakerConfig,
}

/// When a target is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerConfig {
    /// It opens after so many failures in a row,
    pub(crate) failures: u32,
    /// lets somebody try after this time,
    pub(crate) cooldown: Duration,
    /// and so many of them at once.
    pub(crate) probes: u32,
}

impl Default for MaintConfig {
    fn default() -> Self {
        MaintConfig {
            mode: Mode::Auto,
            endpoint_type: EndpointType::Auto,
            relaxed_timeout: Duration::from_secs(10),
            window_max: Duration::from_secs(60),
            post_event_relaxed: Duration::from_secs(10),
            post_handoff_relaxed: Duration::from_secs(20),
            handoff_timeout: Duration::from_secs(15),
            handoff_retries_max: 3,
            handoff_workers: 0,
            handoff_queue: 0,
            breaker: BreakerConfig { failures: 5, cooldown: Duration::from_secs(60), probes: 3 },
        }
    }
}
