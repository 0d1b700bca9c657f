//! [`Maintenance`]: the settings for maintenance notifications and handoffs.
//!
//! `check` holds the range of each setting, and [`MaintConfig`] its default. The documentation of the setter repeats
//! both: change them together.

use std::time::Duration;

use super::error::ConfigError;
use super::range::{check_number, check_time};
use crate::proto::maint::mode::{EndpointType, Mode};
use crate::proto::maint::settings::MaintConfig;

/// Whether to ask servers for maintenance notifications, and how to react to them.
///
/// Each method names the range of its setting and, in parentheses, its default. A value out of range is rejected by
/// [`Config::validate`](crate::Config::validate). The [glossary](crate::manual::glossary) defines handoff, target and
/// grace period.
///
/// ```
/// use std::time::Duration;
/// use hitless::{Config, EndpointType, Maintenance};
///
/// let config = Config::from_url("redis://10.0.0.7:12000")?.maintenance(
///     Maintenance::enabled()
///         .endpoint_type(EndpointType::ExternalIp)
///         .relaxed_timeout(Duration::from_secs(30)),
/// );
/// # config.validate()?;
/// # Ok::<(), hitless::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance(pub(super) MaintConfig);

impl Maintenance {
    /// Asks for notifications, and accepts connections whose server does not offer them. The default.
    pub fn auto() -> Self {
        Maintenance::in_mode(Mode::Auto)
    }

    /// Asks for notifications, and refuses connections whose server does not offer them: for services that must not run
    /// without notifications. The server must speak RESP3, and the endpoint must not be a unix socket.
    pub fn enabled() -> Self {
        Maintenance::in_mode(Mode::Enabled)
    }

    /// Does not ask for notifications, and ignores those that come anyway.
    pub fn disabled() -> Self {
        Maintenance::in_mode(Mode::Disabled)
    }

    /// The default settings in this mode.
    pub(crate) fn in_mode(mode: Mode) -> Self {
        Maintenance(MaintConfig { mode, ..MaintConfig::default() })
    }

    /// The form in which servers have to name new endpoints ([`EndpointType::Auto`]).
    #[must_use]
    pub fn endpoint_type(mut self, kind: EndpointType) -> Self {
        self.0.endpoint_type = kind;
        self
    }

    /// While maintenance is announced, commands and new connections get at least this timeout, 1 ms to 1 h (10 s).
    /// Longer timeouts do not change.
    #[must_use]
    pub fn relaxed_timeout(mut self, timeout: Duration) -> Self {
        self.0.relaxed_timeout = timeout;
        self
    }

    /// The longest time for which one announcement relaxes timeouts, 1 ms to 1 h (60 s). Up to this limit, they stay
    /// relaxed for the announced time, and at least for the relaxed timeout. A server was seen to be busy for longer
    /// than it had announced. If the server announces the end, the time ends early.
    #[must_use]
    pub fn window_max(mut self, time: Duration) -> Self {
        self.0.window_max = time;
        self
    }

    /// How long timeouts stay relaxed after the end of maintenance is announced, up to 1 h (10 s). In this time the
    /// server answers the commands that piled up.
    #[must_use]
    pub fn post_event_relaxed(mut self, time: Duration) -> Self {
        self.0.post_event_relaxed = time;
        self
    }

    /// How long the timeouts of a successor connection stay relaxed after a handoff, up to 1 h (20 s).
    #[must_use]
    pub fn post_handoff_relaxed(mut self, time: Duration) -> Self {
        self.0.post_handoff_relaxed = time;
        self
    }

    /// How long dialing a new endpoint and its handshake may take together, 1 ms to 1 h (15 s). An attempt also ends
    /// with the grace period, when the server closes the old connection. A handoff that no server announced has this
    /// time for all of its attempts.
    #[must_use]
    pub fn handoff_timeout(mut self, timeout: Duration) -> Self {
        self.0.handoff_timeout = timeout;
        self
    }

    /// How often a failed handoff is tried again, 1 to 10 (3). After the last attempt, the old connection stays in use
    /// until the server closes it.
    #[must_use]
    pub fn handoff_retries_max(mut self, retries: u32) -> Self {
        self.0.handoff_retries_max = retries;
        self
    }

    /// How many connections of a shard are handed off at the same time, 1 to 4096. A worker is a permit, not a thread.
    ///
    /// The specification of maintenance notifications fixes two rules. The default is a third of the shard's
    /// connections, at least 1 and at most 10. A number below 10 is raised to 10.
    /// [`ResolvedConfig`](crate::ResolvedConfig) shows the result.
    #[must_use]
    pub fn handoff_workers(mut self, count: usize) -> Self {
        self.0.handoff_workers = Some(count);
        self
    }

    /// How many connections of a shard may be queued for a handoff, 1 to 4096. Further connections stay in use and are
    /// queued later. The default is ten times the workers. The queue never exceeds the number of connections.
    /// [`ResolvedConfig`](crate::ResolvedConfig) shows the result.
    #[must_use]
    pub fn handoff_queue(mut self, count: usize) -> Self {
        self.0.handoff_queue = Some(count);
        self
    }

    /// The circuit breaker of each target, which is an endpoint that a server names. After `failures` failures in a
    /// row, 1 to 1000 (5), the client does not dial the target for `cooldown`, 1 ms to 1 h (60 s). A new announcement
    /// that names the target ends the cooldown early. Then `probes` connections, 1 to 1000 (3), may dial it at the same
    /// time. The first success closes the breaker, and a failure opens it again.
    #[must_use]
    pub fn circuit_breaker(mut self, failures: u32, cooldown: Duration, probes: u32) -> Self {
        self.0.breaker.failures = failures;
        self.0.breaker.cooldown = cooldown;
        self.0.breaker.probes = probes;
        self
    }

    /// Whether connections without notifications are refused.
    pub(super) fn is_enabled(&self) -> bool {
        self.0.mode == Mode::Enabled
    }

    /// The relaxed timeout, or zero if maintenance is disabled. The automatic `TCP_USER_TIMEOUT` and limit of the reply
    /// time are at least as long: neither may close a connection whose commands still have time.
    pub(super) fn relaxed(&self) -> Duration {
        if self.0.mode == Mode::Disabled { Duration::ZERO } else { self.0.relaxed_timeout }
    }

    /// Checks that every setting is within its range.
    ///
    /// # Errors
    /// The first setting that is not, as `maintenance.` and the name of its method.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        let config = &self.0;
        check_time("maintenance.relaxed_timeout", config.relaxed_timeout, ms, hour)?;
        check_time("maintenance.window_max", config.window_max, ms, hour)?;
        check_time("maintenance.post_event_relaxed", config.post_event_relaxed, Duration::ZERO, hour)?;
        check_time("maintenance.post_handoff_relaxed", config.post_handoff_relaxed, Duration::ZERO, hour)?;
        check_time("maintenance.handoff_timeout", config.handoff_timeout, ms, hour)?;
        check_number("maintenance.handoff_retries_max", config.handoff_retries_max as usize, 1, 10)?;
        // A count that is not set follows from the connections; 1 stands for it here and is within the range.
        check_number("maintenance.handoff_workers", config.handoff_workers.unwrap_or(1), 1, 4096)?;
        check_number("maintenance.handoff_queue", config.handoff_queue.unwrap_or(1), 1, 4096)?;
        check_number("maintenance.circuit_breaker (failures)", config.breaker.failures as usize, 1, 1000)?;
        check_time("maintenance.circuit_breaker (cooldown)", config.breaker.cooldown, ms, hour)?;
        check_number("maintenance.circuit_breaker (probes)", config.breaker.probes as usize, 1, 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_out_of_range_is_refused_by_name_and_range() {
        let (auto, hour) = (Maintenance::auto, Duration::from_secs(3600));
        for (maintenance, setting, range) in [
            (auto().relaxed_timeout(Duration::ZERO), "relaxed_timeout", "1ms to 3600s"),
            (auto().window_max(hour * 2), "window_max", "1ms to 3600s"),
            (auto().post_event_relaxed(hour * 2), "post_event_relaxed", "0ns to 3600s"),
            (auto().post_handoff_relaxed(hour * 20), "post_handoff_relaxed", "0ns to 3600s"),
            (auto().handoff_timeout(Duration::ZERO), "handoff_timeout", "1ms to 3600s"),
            (auto().handoff_retries_max(0), "handoff_retries_max", "1 to 10"),
            (auto().handoff_retries_max(11), "handoff_retries_max", "1 to 10"),
            (auto().handoff_workers(5000), "handoff_workers", "1 to 4096"),
            (auto().handoff_queue(0), "handoff_queue", "1 to 4096"),
            (auto().circuit_breaker(0, hour, 1), "failures", "1 to 1000"),
            (auto().circuit_breaker(1, Duration::ZERO, 1), "cooldown", "1ms to 3600s"),
            (auto().circuit_breaker(1, hour, 0), "probes", "1 to 1000"),
        ] {
            let error = maintenance.check().unwrap_err();
            assert!(
                error.setting().contains(setting) && error.setting().starts_with("maintenance."),
                "{error}"
            );
            assert!(error.to_string().contains(range), "{error}");
        }
        let zero = auto().post_event_relaxed(Duration::ZERO).post_handoff_relaxed(Duration::ZERO);
        assert_eq!(zero.check(), Ok(()));
    }
}
