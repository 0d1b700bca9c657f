//! [`Config`]: what a user says, and [`ResolvedConfig`]: what follows from it.
//!
//! A `Config` is a plain value that can be built in any order; it is checked as a whole, and every automatic value
//! is derived, once, in [`Config::validate`].

mod cgroup;
mod cores;
mod credentials;
mod error;
mod hook;
mod maintenance;
mod resolved;
mod resolver;
#[cfg(feature = "tls")]
mod tls;
mod url;

use std::time::Duration;

#[cfg(feature = "cli")]
pub(crate) use self::cgroup::CpuLimit;
#[cfg(feature = "cli")]
pub(crate) use self::cores::{allowed as allowed_cores, usable as usable_cores};
pub use self::credentials::CredentialsProvider;
pub(crate) use self::credentials::Provider;
pub use self::error::ConfigError;
pub(crate) use self::hook::Hook;
pub use self::maintenance::Maintenance;
pub use self::resolved::ResolvedConfig;
pub use self::resolver::Resolve;
pub(crate) use self::resolver::Resolver;
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsVersion};
pub use crate::proto::connection::Credentials;
use crate::proto::connection::Secret;
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::event::Event;
use crate::proto::resp::Limits;
pub use crate::proto::targets::{TargetPattern, Targets, TargetsError};

/// How to reach a server, and how much to ask of it.
///
/// The defaults suit a service on the same network as its server. Every setter says what it costs.
///
/// ```
/// use std::time::Duration;
/// use hitless::Config;
///
/// let config = Config::from_url("redis://app:s3cret@10.0.0.7:6379/2")?
///     .connections_per_shard(4)
///     .command_timeout(Duration::from_secs(1));
/// println!("{}", config.validate()?);
/// # Ok::<(), hitless::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    endpoint: Endpoint,
    username: Option<String>,
    password: Option<Secret>,
    client_name: Option<String>,
    database: u32,
    shards: Option<usize>,
    cores: Option<Vec<usize>>,
    connections_per_shard: usize,
    in_flight_max: usize,
    queue_max: usize,
    queue_bytes_max: usize,
    waiting_max: usize,
    command_timeout: Duration,
    reply_time_max: Option<Duration>,
    connect_timeout: Duration,
    reconnect_backoff: (Duration, Duration),
    dns_cache: Duration,
    keepalive: Duration,
    tcp_user_timeout: Option<Duration>,
    spin_before_park: Duration,
    wait_before_park: Option<bool>,
    limits: Limits,
    targets: Targets,
    maintenance: Maintenance,
    hook: Hook,
    resolver: Resolver,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    provider: Provider,
    idle_ping: Duration,
}

impl Config {
    /// The defaults for this endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Config {
            endpoint,
            username: None,
            password: None,
            client_name: None,
            database: 0,
            shards: None,
            cores: None,
            connections_per_shard: 4,
            in_flight_max: 4096,
            queue_max: 4096,
            queue_bytes_max: 16 << 20,
            waiting_max: 1 << 20,
            command_timeout: Duration::from_secs(5),
            reply_time_max: None,
            connect_timeout: Duration::from_secs(5),
            reconnect_backoff: (Duration::from_millis(50), Duration::from_secs(2)),
            dns_cache: Duration::from_secs(1),
            keepalive: Duration::from_secs(15),
            tcp_user_timeout: None,
            spin_before_park: Duration::ZERO,
            wait_before_park: None,
            limits: Limits::default(),
            targets: Targets::default(),
            maintenance: Maintenance::default(),
            hook: Hook::default(),
            resolver: Resolver::default(),
            #[cfg(feature = "tls")]
            tls: None,
            provider: Provider::default(),
            idle_ping: Duration::from_secs(30),
        }
    }

    /// Reads `redis://[user[:password]@][host[:port]][/database][?option=value&…]`, or, for a unix socket,
    /// `unix://[user[:password]@]/the/path[?option=value&…]`.
    ///
    /// | scheme | |
    /// |---|---|
    /// | `redis`, `valkey` | TCP |
    /// | `rediss`, `valkeys` | TLS, with the feature `tls` |
    /// | `unix`, `redis+unix`, `valkey+unix` | a unix socket |
    ///
    /// User, password, the path of a socket and what options are set to are percent-decoded. Without a host it is
    /// `localhost`.
    ///
    /// | option | sets | also called |
    /// |---|---|---|
    /// | `db` | [`Config::database`], if the path does not | |
    /// | `client_name` | [`Config::client_name`] | |
    /// | `connections_per_shard` | [`Config::connections_per_shard`] | |
    /// | `command_timeout` | [`Config::command_timeout`] | `timeout` |
    /// | `reply_time_max` | [`Config::reply_time_max`] | |
    /// | `connect_timeout` | [`Config::connect_timeout`] | `dial_timeout` |
    /// | `keepalive` | [`Config::keepalive`] | |
    /// | `dns_cache` | [`Config::dns_cache`] | |
    /// | `protocol` | nothing: it may be `3`, which is asked for anyway | |
    /// | `maint` | the mode: `auto`, `enabled` or `disabled` | `maint_notifications` |
    /// | `moving_endpoint_type` | [`Maintenance::endpoint_type`], e.g. `external-ip` | |
    /// | `relaxed_timeout` | [`Maintenance::relaxed_timeout`] | |
    /// | `handoff_timeout` | [`Maintenance::handoff_timeout`] | |
    /// | `max_handoff_retries` | [`Maintenance::handoff_retries_max`] | `handoff_retries_max` |
    /// | `targets` | [`Config::targets`]: `same-reach`, `any`, or patterns with commas between | |
    /// | `server_name` | the name in the server's certificate | `sni` |
    /// | `ca_file` | a PEM file with the authorities to trust | `ssl_ca_certs` |
    /// | `cert_file`, `key_file` | PEM files of what the client shows the server | `ssl_certfile`, `ssl_keyfile` |
    ///
    /// Times have a unit: `500ms`, `2s`, `1m`, `1h`. No option switches the verification of certificates off.
    ///
    /// # Errors
    /// Names the part of the URL that is wrong. No error holds the password.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        url::parse(url)
    }

    /// The user to log in as. Without one, a password is that of the user `default`.
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.username = Some(name.into());
        self
    }

    /// The password to log in with. It is never printed.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret(password.into()));
        self
    }

    /// Whom to ask for credentials, each time that a connection is made. It takes the place of [`Config::username`] and
    /// [`Config::password`].
    ///
    /// Connections that live log in again with [`Client::renew_credentials`](crate::Client::renew_credentials), and by
    /// themselves when the server does not know them any more. Where a login is refused, commands wait, and the provider
    /// is asked again, with the waits of [`Config::reconnect_backoff`].
    ///
    /// ```
    /// use hitless::{Config, net::Credentials};
    ///
    /// let config = Config::from_url("redis://10.0.0.7:6379")?.credentials(|| {
    ///     let token = std::fs::read_to_string("/run/secrets/redis")?;
    ///     Ok(Credentials::user("app", token.trim()))
    /// });
    /// # config.validate()?;
    /// # Ok::<(), hitless::ConfigError>(())
    /// ```
    #[must_use]
    pub fn credentials(mut self, provider: impl CredentialsProvider + 'static) -> Self {
        self.provider = Provider::new(provider);
        self
    }

    /// What `CLIENT LIST` on the server calls each connection. No spaces, no control characters.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// The database that each connection selects (0).
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        self.database = number;
        self
    }

    /// How many shards a [`Client`](crate::Client) starts, 1 to 1024, and at most 64 for each core that this
    /// process may use (one for each).
    ///
    /// Where a control group grants less CPU time than these cores have, as containers are limited by `--cpus` and
    /// services by `CPUQuota=`, it is one shard for each whole core of that, and none is pinned.
    ///
    /// Shards share nothing: a pool, its connections and its queues exist once for each.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count);
        self
    }

    /// The cores that a [`Client`](crate::Client)'s shards are pinned to, one shard for each. It takes the place of
    /// [`Config::shards`].
    #[must_use]
    pub fn cores(mut self, cores: impl Into<Vec<usize>>) -> Self {
        self.cores = Some(cores.into());
        self
    }

    /// How many connections each shard holds, 1 to 4096 (4).
    ///
    /// More connections spread the load over more of the server's I/O threads and shorten the queue behind a large
    /// value; fewer make larger batches, which cost both sides less.
    #[must_use]
    pub fn connections_per_shard(mut self, count: usize) -> Self {
        self.connections_per_shard = count;
        self
    }

    /// How many commands (a pipeline counts as one) one connection may have written and not yet got answers to, 1
    /// to 1 Mi (4096). What comes on top waits in the queue.
    #[must_use]
    pub fn in_flight_max(mut self, commands: usize) -> Self {
        self.in_flight_max = commands;
        self
    }

    /// How many commands may be queued, unsent, for one connection, 1 to 1 Mi (4096). Callers beyond it wait for
    /// room, and the `try_` variants fail at once.
    #[must_use]
    pub fn queue_max(mut self, commands: usize) -> Self {
        self.queue_max = commands;
        self
    }

    /// How many bytes of commands may be queued, unsent, for one connection, 1 to 4 Gi (16 MiB). A command larger
    /// than that is let into an empty queue.
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// How many calls of a [`Client`](crate::Client) may wait for room, 0 to 16 Mi (1 Mi).
    ///
    /// A call finds no room where its shard's mailbox is full, or where the shard has 30,000 calls open. It then waits, in
    /// the order of its handle's calls, until there is room or its deadline has passed: its own
    /// ([`ClientReply::timeout`](crate::ClientReply::timeout)) or the command timeout. So many may wait on each shard, and
    /// as many again in front of the mailboxes of a client; what comes on top fails at once as
    /// [`Overloaded`](crate::ErrorKind::Overloaded), unsent. A call that waits takes its encoded bytes and about 200 more.
    ///
    /// With 0 no call waits: a call that finds no room fails at once.
    #[must_use]
    pub fn waiting_max(mut self, calls: usize) -> Self {
        self.waiting_max = calls;
        self
    }

    /// How long a command may take from the call to its reply, waiting included, 1 ms to 1 h (5 s).
    ///
    /// When it has passed, the caller gets an error; the connection lives on as long as bytes arrive on it. A
    /// connection that is silent for this long while replies are overdue is given up as dead.
    ///
    /// [`Duration::MAX`] stands for no timeout: commands wait for as long as it takes, and only TCP finds out that a
    /// peer is dead.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// How long one reply may take from its first byte to its last, 100 ms to 1 h (a minute, or the command timeout or the
    /// relaxed timeout if that is longer; an hour if there is no command timeout).
    ///
    /// A server that begins a reply and never ends it keeps everything behind it from being answered, however many bytes
    /// it sends. Its connection is closed then, and dialed again; what was written on it is ambiguous. No announcement of
    /// maintenance makes it longer.
    #[must_use]
    pub fn reply_time_max(mut self, time: Duration) -> Self {
        self.reply_time_max = Some(time);
        self
    }

    /// How long connecting and the handshake may take together, name resolution included, 1 ms to 1 h (5 s).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The bounds of the wait between attempts to connect, 1 ms to 1 h (50 ms, 2 s). It doubles with each failure
    /// and is jittered, so that many clients do not come back at the same moment.
    #[must_use]
    pub fn reconnect_backoff(mut self, first: Duration, most: Duration) -> Self {
        self.reconnect_backoff = (first, most);
        self
    }

    /// For how long the addresses of a name are used again for other connections of the same shard, up to 1 h (1 s); 0
    /// stands for never.
    ///
    /// It saves look-ups when many connections are made at once. A name is looked up anew after a connection to it was
    /// lost or was not to be had, and whenever a server says that its name leads elsewhere by now. Failures are not
    /// remembered.
    #[must_use]
    pub fn dns_cache(mut self, time: Duration) -> Self {
        self.dns_cache = time;
        self
    }

    /// After how much silence TCP begins to probe whether an idle peer is alive, 1 s to 1 h (15 s).
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = idle;
        self
    }

    /// After how much silence a connection that has nothing to do sends a `PING`, 1 s to 1 h (30 s). One that is not
    /// answered within the command timeout is replaced: a dead peer, or a silent middlebox, is found before a command
    /// needs it.
    ///
    /// [`Duration::MAX`] stands for never.
    #[must_use]
    pub fn idle_ping(mut self, silence: Duration) -> Self {
        self.idle_ping = silence;
        self
    }

    /// How long sent bytes may stay unacknowledged before the kernel gives the connection up, 1 ms to 1 h (the
    /// longer of the command timeout, or 15 s if there is none, and the relaxed timeout; at least 1 s).
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }

    /// How long a shard polls before it lets its core sleep, up to 1 s (0: not at all).
    ///
    /// Polling saves the time of a wake-up on each round trip and uses the whole core while it lasts.
    #[must_use]
    pub fn spin_before_park(mut self, time: Duration) -> Self {
        self.spin_before_park = time;
        self
    }

    /// Whether a shard, while replies are due, first sleeps for up to 1 ms in a system call of its own, before it leaves
    /// sleeping to the runtime (on the executors of a [`Client`](crate::Client) it does; on yours not).
    ///
    /// The runtime takes nine system calls to sleep and to wake up once; a nap is one, and makes most of a wake-up's cost
    /// go away where replies come within it. A reply ends it, and so does a call from another thread. What else your
    /// tasks wait for on that thread, such as files and timers of the runtime, is begun or seen by so much later: turn it
    /// off where that matters. A shard whose replies take longer hardly ever naps.
    #[must_use]
    pub fn wait_before_park(mut self, naps: bool) -> Self {
        self.wait_before_park = Some(naps);
        self
    }

    /// What is accepted from the server.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where servers may send this client ([`Targets::SameReach`]). What they name beyond it is not dialed.
    ///
    /// Without TLS, every target that a server names gets the credentials of this client. Where servers and the network are not
    /// trusted, list the targets: [`Targets::only`].
    #[must_use]
    pub fn targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// What to do about maintenance that a server announces ([`Maintenance::auto`]).
    #[must_use]
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// Whom to tell what happens: with the number of the shard, and what it was.
    ///
    /// What a server announces is told once, by one of the shards of a client or a
    /// [`ShardGroup`](crate::ShardGroup), however many copies of it they read; everything else is told by the shard on
    /// which it happens. It is called on that shard's thread, after the callers of what was answered before it are
    /// woken, and keeps that thread from everything else: it must not block. A panic in it is caught, and logged once.
    ///
    /// ```
    /// use hitless::{Config, observe::Event};
    ///
    /// let config = Config::from_url("redis://10.0.0.7:12000")?.on_event(|shard, event| {
    ///     if let Event::HandoffEnded { from, to, result, duration, .. } = event {
    ///         println!("shard {shard}: {from} to {to}: {result} after {duration:?}");
    ///     }
    /// });
    /// # config.validate()?;
    /// # Ok::<(), hitless::ConfigError>(())
    /// ```
    #[must_use]
    pub fn on_event(mut self, hook: impl Fn(usize, &Event) + Send + Sync + 'static) -> Self {
        self.hook = Hook::new(hook);
        self
    }

    /// What finds the addresses of names, of the configured endpoint and of those that a server says to move to (the
    /// system's resolver).
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use hitless::Config;
    ///
    /// let config = Config::from_url("redis://cache.internal:6379")?.resolver(|host: &str, port: u16| {
    ///     assert_eq!(host, "cache.internal");
    ///     Ok(vec![SocketAddr::from(([10, 0, 0, 7], port))])
    /// });
    /// # config.validate()?;
    /// # Ok::<(), hitless::ConfigError>(())
    /// ```
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Resolver::new(resolver);
        self
    }

    /// Speaks TLS with the server (no). Files are read when the configuration is [checked](Config::validate).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whether there is a user to log in as, and a password.
    #[cfg(feature = "cli")]
    pub(crate) fn has_login(&self) -> (bool, bool) {
        (self.username.is_some(), self.password.is_some())
    }

    /// What was said about TLS, before any file is read.
    #[cfg(feature = "cli")]
    pub(crate) fn tls_settings(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Checks everything and derives what was left open.
    ///
    /// # Errors
    /// Names the first setting that is out of its range, and the range.
    pub fn validate(&self) -> Result<ResolvedConfig, ConfigError> {
        self.check()?;
        Ok(self.derived(cores::resolve(self.cores.as_deref(), self.shards)?))
    }

    /// The same for shards on the threads of another client's.
    ///
    /// # Errors
    /// As [`Config::validate`]; and if a setting that concerns the threads asks for others than there are.
    pub(crate) fn validate_on(&self, threads: &ResolvedConfig) -> Result<ResolvedConfig, ConfigError> {
        self.check()?;
        cores::agree(self.cores.as_deref(), self.shards, threads.shard_cores())?;
        let spin = threads.spin_before_park();
        if !self.spin_before_park.is_zero() && self.spin_before_park != spin {
            let problem =
                format!("the other client's shards poll for {spin:?}: leave it out, or set the same");
            return Err(ConfigError::new("spin_before_park", problem));
        }
        Ok(self.clone().spin_before_park(spin).derived(threads.shard_cores().to_vec()))
    }

    fn derived(&self, cores: Vec<Option<usize>>) -> ResolvedConfig {
        let patience = match self.command_timeout {
            Duration::MAX => TCP_USER_TIMEOUT_ALONE,
            timeout => timeout.max(Duration::from_secs(1)),
        };
        // The kernel must not cut off what the relaxed timeouts wait for.
        let tcp_user_timeout = self.tcp_user_timeout.unwrap_or(patience.max(self.maintenance.relaxed()));
        let longest = match self.command_timeout {
            Duration::MAX => REPLY_TIME_ALONE,
            timeout => timeout.max(self.maintenance.relaxed()).max(REPLY_TIME_LEAST),
        };
        let reply_time_max = self.reply_time_max.unwrap_or(longest);
        ResolvedConfig { cores, tcp_user_timeout, reply_time_max, config: self.clone() }
    }

    fn check(&self) -> Result<(), ConfigError> {
        within("connections_per_shard", self.connections_per_shard, 1, 4096)?;
        within("in_flight_max", self.in_flight_max, 1, 1 << 20)?;
        within("queue_max", self.queue_max, 1, 1 << 20)?;
        within("queue_bytes_max", self.queue_bytes_max, 1, 4 << 30)?;
        within("waiting_max", self.waiting_max, 0, 16 << 20)?;
        let (ms, second, hour) =
            (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(3600));
        if self.command_timeout != Duration::MAX {
            lasts("command_timeout", self.command_timeout, ms, hour)?;
        }
        lasts("connect_timeout", self.connect_timeout, ms, hour)?;
        if let Some(time) = self.reply_time_max {
            lasts("reply_time_max", time, Duration::from_millis(100), hour)?;
        }
        lasts("reconnect_backoff", self.reconnect_backoff.0, ms, self.reconnect_backoff.1.max(ms))?;
        lasts("reconnect_backoff", self.reconnect_backoff.1, ms, hour)?;
        lasts("dns_cache", self.dns_cache, Duration::ZERO, hour)?;
        lasts("keepalive", self.keepalive, second, hour)?;
        if self.idle_ping != Duration::MAX {
            lasts("idle_ping", self.idle_ping, second, hour)?;
        }
        lasts("spin_before_park", self.spin_before_park, Duration::ZERO, second)?;
        if let Some(timeout) = self.tcp_user_timeout {
            lasts("tcp_user_timeout", timeout, ms, hour)?;
        }
        if let Some(name) = &self.client_name
            && !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let problem = format!("{name:?} holds a space, a control character or one beyond ASCII");
            return Err(ConfigError::new("client_name", problem));
        }
        if self.username.is_some() && self.password.is_none() {
            return Err(ConfigError::new("username", "a user needs a password"));
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            if self.endpoint.path().is_some() {
                return Err(ConfigError::new(
                    "tls",
                    "a unix socket stays within the machine: it takes no TLS",
                ));
            }
            tls.check()?;
        }
        within("limits.depth", self.limits.depth, 1, 1024)?;
        within("limits.elements", self.limits.elements, 1, 1 << 30)?;
        within("limits.bytes", self.limits.bytes, 64, 4 << 30)?;
        if self.endpoint.path().is_some() && self.maintenance.is_enabled() {
            let problem = "servers announce no maintenance on unix sockets: use `auto`, or a TCP endpoint";
            return Err(ConfigError::new("maintenance.mode", problem));
        }
        self.maintenance.check()
    }
}

fn within(setting: &str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("{value} is not within {least} to {most}")))
}

fn lasts(setting: &str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(setting, format!("{value:?} is not within {least:?} to {most:?}")))
}

/// How long a reply may take to arrive where nothing is said: the largest value there is, at 10 MB/s.
const REPLY_TIME_LEAST: Duration = Duration::from_secs(60);
/// The same where commands may take for ever.
const REPLY_TIME_ALONE: Duration = Duration::from_secs(3600);
/// Where no command times out, nothing else finds out that a peer is gone: as soon as keepalive finds it on an idle
/// connection, and later than a path takes that is mended by itself.
const TCP_USER_TIMEOUT_ALONE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
