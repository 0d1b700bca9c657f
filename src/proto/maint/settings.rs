//! [`MaintConfig`]: the settings of everything in this folder, and their defaults.

use std::time::Duration;

use super::mode::{EndpointType, Mode};

/// How this client takes part in maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaintConfig {
    pub(crate) mode: Mode,
    pub(crate) endpoint_type: EndpointType,
    /// What timeouts are raised to while maintenance is announced.
    pub(crate) relaxed_timeout: Duration,
    /// How long an announcement can relax timeouts if nothing ends it.
    pub(crate) window_max: Duration,
    /// How long timeouts stay relaxed after an announced end.
    pub(crate) post_event_relaxed: Duration,
    /// How long the timeouts of a connection that took over stay relaxed.
    pub(crate) post_handoff_relaxed: Duration,
    pub(crate) handoff_timeout: Duration,
    pub(crate) handoff_retries_max: u32,
    /// Permits; `None` derives them from the size of the pool.
    pub(crate) handoff_workers: Option<usize>,
    /// Places in the queue for permits; `None` derives them from the permits.
    pub(crate) handoff_queue: Option<usize>,
    pub(crate) breaker: BreakerConfig,
}

/// When a target is not dialed for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerConfig {
    /// The number of failures in a row that opens the breaker.
    pub(crate) failures: u32,
    /// How long an open breaker allows no dial.
    pub(crate) cooldown: Duration,
    /// How many dials it allows at once after that, until one of them succeeds or fails.
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
            handoff_workers: None,
            handoff_queue: None,
            breaker: BreakerConfig { failures: 5, cooldown: Duration::from_secs(60), probes: 3 },
        }
    }
}
