//! [`Config::validate`]: checks all settings, and derives the automatic values.

use std::time::Duration;

use super::cores;
use super::error::ConfigError;
use super::range::{check_number, check_time};
use super::resolved::ResolvedConfig;
use super::settings::Config;

impl Config {
    /// Checks all settings and derives the automatic values.
    ///
    /// # Errors
    /// Names the first setting that is out of its range, and the range.
    pub fn validate(&self) -> Result<ResolvedConfig, ConfigError> {
        self.check()?;
        Ok(self.derived(cores::resolve(self.cores.as_deref(), self.shards)?))
    }

    /// Like [`Config::validate`], for a client whose shards run on the threads of another client.
    ///
    /// # Errors
    /// As [`Config::validate`]; and if a setting that concerns the threads differs from theirs.
    pub(crate) fn validate_on(&self, threads: &ResolvedConfig) -> Result<ResolvedConfig, ConfigError> {
        self.check()?;
        cores::check_shared(self.cores.as_deref(), self.shards, threads.shard_cores())?;
        let spin = threads.spin_before_park();
        if !self.spin_before_park.is_zero() && self.spin_before_park != spin {
            let problem =
                format!("the shards of the other client poll for {spin:?}; leave it out, or set the same");
            return Err(ConfigError::new("spin_before_park", problem));
        }
        Ok(self.clone().spin_before_park(spin).derived(threads.shard_cores().to_vec()))
    }

    /// Like [`Config::validate`], for a client whose shards run in a runtime of the application: without threads of their own,
    /// and one shard unless more are asked for.
    ///
    /// # Errors
    /// As [`Config::validate`].
    #[cfg(feature = "tokio")]
    pub(crate) fn validate_in_runtime(&self) -> Result<ResolvedConfig, ConfigError> {
        self.check()?;
        let count = match self.shards {
            cores::ShardCount::One => 1,
            cores::ShardCount::Exactly(count) => count,
            cores::ShardCount::OnEachCore => cores::usable().len().max(1),
        };
        Ok(self.derived(vec![None; count]))
    }

    fn derived(&self, cores: Vec<Option<usize>>) -> ResolvedConfig {
        let unacknowledged = match self.command_timeout {
            None => TCP_USER_TIMEOUT_ALONE,
            Some(timeout) => timeout.max(Duration::from_secs(1)),
        };
        // Commands may wait for the relaxed timeout, so the kernel must not close the connection before.
        let tcp_user_timeout =
            self.tcp_user_timeout.unwrap_or(unacknowledged.max(self.maintenance.relaxed()));
        let longest = match self.command_timeout {
            None => REPLY_TIME_ALONE,
            Some(timeout) => timeout.max(self.maintenance.relaxed()).max(REPLY_TIME_LEAST),
        };
        let reply_time_max = self.reply_time_max.unwrap_or(longest);
        ResolvedConfig { cores, tcp_user_timeout, reply_time_max, config: self.clone() }
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_bounds()?;
        self.check_times()?;
        self.check_login()?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            if self.endpoint.path().is_some() {
                let problem = "a unix socket stays within the machine and takes no TLS; leave TLS out";
                return Err(ConfigError::new("tls", problem));
            }
            tls.check()?;
        }
        let seeds = self.cluster.more_seeds.iter().flatten();
        if self.cluster.is_on() && seeds.chain([&self.endpoint]).any(|seed| seed.path().is_some()) {
            let problem =
                "the nodes of a cluster are known by host and port; give the TCP endpoint of a node";
            return Err(ConfigError::new("cluster", problem));
        }
        if self.endpoint.path().is_some() && self.maintenance.is_enabled() {
            let problem = "servers announce no maintenance on unix sockets; use `auto`, or a TCP endpoint";
            return Err(ConfigError::new("maintenance.mode", problem));
        }
        self.maintenance.check()
    }

    fn check_bounds(&self) -> Result<(), ConfigError> {
        check_number("connections_per_shard", self.connections_per_shard, 1, 4096)?;
        check_number("connections_per_node", self.cluster.connections_per_node, 1, 64)?;
        check_number("exclusive_connections_max", self.exclusive_connections_max, 1, 4096)?;
        check_number("in_flight_max", self.in_flight_max, 1, 1 << 20)?;
        check_number("queue_max", self.queue_max, 1, 1 << 20)?;
        check_number("queue_bytes_max", self.queue_bytes_max, 1, 4 << 30)?;
        check_number("waiting_max", self.waiting_max, 0, 16 << 20)?;
        check_number("limits.depth", self.limits.depth, 1, 1024)?;
        check_number("limits.elements", self.limits.elements, 1, 1 << 30)?;
        check_number("limits.bytes", self.limits.bytes, 64, 4 << 30)
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let (ms, second, hour) =
            (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(3600));
        if let Some(timeout) = self.command_timeout {
            check_time("command_timeout", timeout, ms, hour)?;
        }
        check_time("connect_timeout", self.connect_timeout, ms, hour)?;
        if let Some(time) = self.reply_time_max {
            check_time("reply_time_max", time, Duration::from_millis(100), hour)?;
        }
        check_time("reconnect_backoff", self.reconnect_backoff.0, ms, self.reconnect_backoff.1.max(ms))?;
        check_time("reconnect_backoff", self.reconnect_backoff.1, ms, hour)?;
        check_time("exclusive_idle", self.exclusive_idle, second, 24 * hour)?;
        check_time("dns_cache", self.dns_cache, Duration::ZERO, hour)?;
        check_time("keepalive", self.keepalive, second, hour)?;
        if let Some(silence) = self.idle_ping {
            check_time("idle_ping", silence, second, hour)?;
        }
        check_time("spin_before_park", self.spin_before_park, Duration::ZERO, second)?;
        match self.tcp_user_timeout {
            Some(timeout) => check_time("tcp_user_timeout", timeout, ms, hour),
            None => Ok(()),
        }
    }

    fn check_login(&self) -> Result<(), ConfigError> {
        if let Some(name) = &self.client_name
            && !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let problem = format!("{name:?} holds a space, a control character or one beyond ASCII");
            return Err(ConfigError::new("client_name", problem));
        }
        if self.username.is_some() && self.password.is_none() {
            return Err(ConfigError::new("username", "a user needs a password"));
        }
        Ok(())
    }
}

/// The least default of `reply_time_max`: the largest value that servers store arrives in this time at 10 MB/s.
const REPLY_TIME_LEAST: Duration = Duration::from_secs(60);
/// The default of `reply_time_max` without a command timeout.
const REPLY_TIME_ALONE: Duration = Duration::from_secs(3600);
/// The default of `tcp_user_timeout` without a command timeout, when only the kernel detects a dead peer. It is as long as
/// the default keepalive of an idle connection, and longer than most short outages of a network path.
const TCP_USER_TIMEOUT_ALONE: Duration = Duration::from_secs(15);
