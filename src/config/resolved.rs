//! [`ResolvedConfig`]: a validated configuration with all automatic values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cores;
use super::credentials::CredentialsProvider;
use super::hook::Hook;
use super::resolver::Resolver;
use super::settings::Config;
use super::sockets::Sockets;
use super::subscription_buffer::SubscriptionBuffer;
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::proto::connection::{ConnectionConfig, HandshakeConfig, QueueBounds};
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::queue::HandoffLimits;
use crate::proto::pool::PoolConfig;
use crate::proto::root::RootConfig;

/// A validated configuration with all automatic values. It prints one `name = value` per line, without secrets.
#[derive(Clone, Debug)]
pub struct ResolvedConfig {
    pub(super) config: Config,
    pub(super) cores: Vec<Option<usize>>,
    pub(super) tcp_user_timeout: Duration,
    pub(super) reply_time_max: Duration,
}

impl ResolvedConfig {
    /// The core that each shard is pinned to, if it is pinned.
    pub fn shard_cores(&self) -> &[Option<usize>] {
        &self.cores
    }

    /// All settings and their values as text, without passwords.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let secret = |is_set: bool| if is_set { "(set)" } else { "(none)" }.to_owned();
        let none = || "(none)".to_owned();
        let time_or_none = |time: Option<Duration>| time.map_or_else(none, |time| format!("{time:?}"));
        let (first, most) = config.reconnect_backoff;
        let mut fields = vec![
            ("endpoint", config.endpoint.to_string()),
            ("username", config.username.clone().unwrap_or_else(none)),
            ("password", secret(config.password.is_some())),
            ("credentials", secret(config.provider.get().is_some())),
            ("client_name", config.client_name.clone().unwrap_or_else(none)),
            ("database", config.database.to_string()),
            ("tls", self.tls_text().unwrap_or_else(none)),
            ("shards", self.cores.len().to_string()),
            ("cores", cores::text(&self.cores)),
            ("connections_per_shard", config.connections_per_shard.to_string()),
            ("cluster.seeds", config.cluster.text()),
            ("cluster.connections_per_node", config.cluster.connections_per_node.to_string()),
            (
                "cluster.address_map",
                if config.cluster.address_map.is_set() { "(set)".to_owned() } else { none() },
            ),
            ("exclusive_connections_max", config.exclusive_connections_max.to_string()),
            ("exclusive_idle", format!("{:?}", config.exclusive_idle)),
            ("subscription_buffer", config.subscription_buffer.to_string()),
            ("in_flight_max", config.in_flight_max.to_string()),
            ("queue_max", config.queue_max.to_string()),
            ("queue_bytes_max", config.queue_bytes_max.to_string()),
            ("waiting_max", config.waiting_max.to_string()),
            ("command_timeout", time_or_none(config.command_timeout)),
            ("reply_time_max", format!("{:?}", self.reply_time_max)),
            ("connect_timeout", format!("{:?}", config.connect_timeout)),
            ("reconnect_backoff", format!("{first:?}..{most:?}")),
            ("dns_cache", format!("{:?}", config.dns_cache)),
            ("keepalive", format!("{:?}", config.keepalive)),
            ("idle_ping", time_or_none(config.idle_ping)),
            ("tcp_user_timeout", format!("{:?}", self.tcp_user_timeout)),
            ("spin_before_park", format!("{:?}", config.spin_before_park)),
            // Reports of earlier versions have this name, and programs read it.
            ("nap_before_park", config.wait_before_park.map_or("auto".to_owned(), |waits| waits.to_string())),
            ("sockets", self.sockets().to_string()),
            ("limits.depth", config.limits.depth.to_string()),
            ("limits.elements", config.limits.elements.to_string()),
            ("limits.bytes", config.limits.bytes.to_string()),
            ("targets", config.targets.to_string()),
        ];
        fields.extend(self.maintenance_fields());
        fields
    }

    fn maintenance_fields(&self) -> Vec<(&'static str, String)> {
        let maint = &self.config.maintenance.0;
        let breaker = maint.breaker;
        let limits = HandoffLimits::derive(
            self.config.connections_per_shard,
            maint.handoff_workers,
            maint.handoff_queue,
        );
        vec![
            ("maintenance.mode", maint.mode.to_string()),
            ("maintenance.endpoint_type", maint.endpoint_type.to_string()),
            ("maintenance.relaxed_timeout", format!("{:?}", maint.relaxed_timeout)),
            ("maintenance.window_max", format!("{:?}", maint.window_max)),
            ("maintenance.post_event_relaxed", format!("{:?}", maint.post_event_relaxed)),
            ("maintenance.post_handoff_relaxed", format!("{:?}", maint.post_handoff_relaxed)),
            ("maintenance.handoff_timeout", format!("{:?}", maint.handoff_timeout)),
            ("maintenance.handoff_retries_max", maint.handoff_retries_max.to_string()),
            ("maintenance.handoff_workers", limits.workers.to_string()),
            ("maintenance.handoff_queue", limits.queue.to_string()),
            (
                "maintenance.circuit_breaker",
                format!("{} failures, {:?}, {} probes", breaker.failures, breaker.cooldown, breaker.probes),
            ),
        ]
    }

    /// The configured endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.config.endpoint
    }

    /// The database that each connection selects.
    pub fn database(&self) -> u32 {
        self.config.database
    }

    /// The configured user, password and database.
    #[cfg(feature = "cli")]
    pub(crate) fn login(&self) -> (Option<&str>, Option<&str>, u32) {
        let config = &self.config;
        let password = config.password.as_ref().map(|password| password.0.as_str());
        (config.username.as_deref(), password, config.database)
    }

    /// The number of shared connections per shard; in a cluster, of those to each node.
    pub fn connections_per_shard(&self) -> usize {
        match self.config.cluster.is_on() {
            true => self.config.cluster.connections_per_node,
            false => self.config.connections_per_shard,
        }
    }

    /// How much each subscription keeps.
    pub(crate) fn subscription_buffer(&self) -> SubscriptionBuffer {
        self.config.subscription_buffer
    }

    /// How many entries the pool of a shard has at most.
    pub(crate) fn entries_max(&self) -> usize {
        self.connections_per_shard() + self.config.exclusive_connections_max
    }

    pub(crate) fn waiting_max(&self) -> usize {
        self.config.waiting_max
    }

    /// [`Duration::MAX`] if commands have no timeout.
    pub(crate) fn command_timeout(&self) -> Duration {
        self.config.command_timeout.unwrap_or(Duration::MAX)
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.connect_timeout
    }

    /// How long a shard awaits the last replies after its last handle is dropped.
    pub(crate) fn last_replies(&self) -> Duration {
        self.config.command_timeout.unwrap_or(LAST_REPLIES_MAX)
    }

    pub(crate) fn dns_cache(&self) -> Duration {
        self.config.dns_cache
    }

    pub(crate) fn keepalive(&self) -> Duration {
        self.config.keepalive
    }

    pub(crate) fn tcp_user_timeout(&self) -> Duration {
        self.tcp_user_timeout
    }

    pub(crate) fn spin_before_park(&self) -> Duration {
        self.config.spin_before_park
    }

    /// `None`: it depends on the owner of the executor.
    pub(crate) fn wait_before_park(&self) -> Option<bool> {
        self.config.wait_before_park
    }

    /// The kernel interface that shards with threads of their own ask for.
    pub(crate) fn sockets(&self) -> Sockets {
        self.config.sockets.resolve(self.config.connections_per_shard)
    }

    pub(crate) fn hook(&self) -> &Hook {
        &self.config.hook
    }

    pub(crate) fn resolver(&self) -> &Resolver {
        &self.config.resolver
    }

    /// The settings of TLS, if connections use it.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.config.tls.as_ref()
    }

    #[cfg(feature = "tls")]
    fn tls_text(&self) -> Option<String> {
        self.tls().map(Tls::to_string)
    }

    #[cfg(not(feature = "tls"))]
    fn tls_text(&self) -> Option<String> {
        None
    }

    #[cfg(feature = "tls")]
    pub(crate) fn is_tls(&self) -> bool {
        self.tls().is_some()
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn is_tls(&self) -> bool {
        false
    }

    pub(crate) fn provider(&self) -> Option<&Arc<dyn CredentialsProvider>> {
        self.config.provider.get()
    }

    /// The settings of what the driver of one shard holds.
    pub(crate) fn root(&self, seed: u64) -> RootConfig {
        let pool = self.pool(seed);
        match self.config.cluster.resolve(&pool) {
            Some(cluster) => RootConfig::Cluster(Box::new(cluster)),
            None => RootConfig::Pool(Box::new(pool)),
        }
    }

    /// The settings of the pool of one shard.
    pub(crate) fn pool(&self, seed: u64) -> PoolConfig {
        let config = &self.config;
        let handshake = HandshakeConfig {
            username: config.username.clone(),
            password: config.password.clone(),
            client_name: config.client_name.clone(),
            database: config.database,
            mode: config.maintenance.0.mode,
            endpoint_type: config.maintenance.0.endpoint_type,
            tls: self.is_tls(),
        };
        PoolConfig {
            endpoint: config.endpoint.clone(),
            named: None,
            generation: 0,
            connections: config.connections_per_shard,
            exclusive_connections_max: config.exclusive_connections_max,
            exclusive_idle: config.exclusive_idle,
            connection: ConnectionConfig {
                handshake: Arc::new(handshake),
                limits: config.limits,
                in_flight_max: config.in_flight_max,
                connect_timeout: config.connect_timeout,
                command_timeout: self.command_timeout(),
                reply_time_max: self.reply_time_max,
                idle_ping: config.idle_ping.unwrap_or(Duration::MAX),
            },
            queue: QueueBounds { commands: config.queue_max, bytes: config.queue_bytes_max },
            maint: config.maintenance.0.clone(),
            targets: config.targets.clone(),
            backoff_first: config.reconnect_backoff.0,
            backoff_max: config.reconnect_backoff.1,
            renewable: config.provider.get().is_some(),
            seed,
        }
    }
}

impl fmt::Display for ResolvedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.fields() {
            writeln!(f, "{name} = {value}")?;
        }
        Ok(())
    }
}

/// How long a shard without handles awaits its last replies if commands have no timeout: such a shard must end as well.
const LAST_REPLIES_MAX: Duration = Duration::from_secs(60);
