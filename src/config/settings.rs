//! [`Config`]: the settings that a user chooses.

use std::time::Duration;

use super::cluster_settings::ClusterSettings;
use super::cores::ShardCount;
use super::credentials::{CredentialsProvider, Provider};
use super::hook::Hook;
use super::maintenance::Maintenance;
use super::resolver::{Resolve, Resolver};
use super::sockets::Sockets;
use super::subscription_buffer::SubscriptionBuffer;
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::proto::connection::Secret;
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::event::Event;
use crate::proto::resp::Limits;
use crate::proto::targets::Targets;

/// The settings of a client: how to reach a server, and the bounds of the client.
///
/// The defaults suit a service on the same network as its server. Each setter documents its range and its default.
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
    pub(super) endpoint: Endpoint,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) client_name: Option<String>,
    pub(super) database: u32,
    pub(super) shards: ShardCount,
    pub(super) cores: Option<Vec<usize>>,
    pub(super) connections_per_shard: usize,
    pub(super) exclusive_connections_max: usize,
    pub(super) exclusive_idle: Duration,
    pub(super) subscription_buffer: SubscriptionBuffer,
    pub(super) in_flight_max: usize,
    pub(super) queue_max: usize,
    pub(super) queue_bytes_max: usize,
    pub(super) waiting_max: usize,
    pub(super) command_timeout: Option<Duration>,
    pub(super) reply_time_max: Option<Duration>,
    pub(super) connect_timeout: Duration,
    pub(super) reconnect_backoff: (Duration, Duration),
    pub(super) dns_cache: Duration,
    pub(super) keepalive: Duration,
    pub(super) tcp_user_timeout: Option<Duration>,
    pub(super) spin_before_park: Duration,
    pub(super) wait_before_park: Option<bool>,
    pub(super) sockets: Sockets,
    pub(super) limits: Limits,
    pub(super) targets: Targets,
    pub(super) maintenance: Maintenance,
    pub(super) hook: Hook,
    pub(super) resolver: Resolver,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
    pub(super) provider: Provider,
    pub(super) idle_ping: Option<Duration>,
    pub(super) cluster: ClusterSettings,
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
            shards: ShardCount::default(),
            cores: None,
            connections_per_shard: 4,
            exclusive_connections_max: 16,
            exclusive_idle: Duration::from_secs(60),
            subscription_buffer: SubscriptionBuffer::default(),
            in_flight_max: 4096,
            queue_max: 4096,
            queue_bytes_max: 16 << 20,
            waiting_max: 1 << 20,
            command_timeout: Some(Duration::from_secs(5)),
            reply_time_max: None,
            connect_timeout: Duration::from_secs(5),
            reconnect_backoff: (Duration::from_millis(50), Duration::from_secs(2)),
            dns_cache: Duration::from_secs(1),
            keepalive: Duration::from_secs(15),
            tcp_user_timeout: None,
            spin_before_park: Duration::ZERO,
            wait_before_park: None,
            sockets: Sockets::default(),
            limits: Limits::default(),
            targets: Targets::default(),
            maintenance: Maintenance::default(),
            hook: Hook::default(),
            resolver: Resolver::default(),
            #[cfg(feature = "tls")]
            tls: None,
            provider: Provider::default(),
            idle_ping: Some(Duration::from_secs(30)),
            cluster: ClusterSettings::default(),
        }
    }

    /// The user to log in as. Without a user, the password belongs to the user `default`.
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

    /// A provider that returns the credentials for each new connection. It replaces [`Config::username`] and
    /// [`Config::password`].
    ///
    /// Live connections log in again with [`Client::renew_credentials`](crate::Client::renew_credentials), and by
    /// themselves when the server no longer knows their user. If a login is refused, commands wait. The client then asks
    /// the provider again, after the waits of [`Config::reconnect_backoff`].
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

    /// The name of each connection in `CLIENT LIST` on the server, without spaces and control characters.
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

    /// How many shards a [`Client`](crate::Client) starts, 1 to 1024, and at most 64 for each core that this process may
    /// use (1).
    ///
    /// Each shard has a thread, a pool, connections and queues of its own. Shards whose number is set are pinned to the cores that
    /// this process may use, one after the other. The one of the default is not pinned, because other programs use the same
    /// cores. One shard serves some hundred thousand commands a second; more of them are for a machine that does little else.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = ShardCount::Exactly(count);
        self
    }

    /// Has a [`Client`](crate::Client) start one shard, pinned, on each core that this process may use: for a machine, or a
    /// set of cores, that is there for this client, as in a benchmark.
    ///
    /// A control group may grant less CPU time than these cores have, as `--cpus` does for containers and `CPUQuota=` for
    /// services. Then there is one shard for each whole core of that limit, and no shard is pinned.
    #[must_use]
    pub fn shard_on_each_core(mut self) -> Self {
        self.shards = ShardCount::OnEachCore;
        self
    }

    /// The cores that the shards of a [`Client`](crate::Client) are pinned to, one shard for each. They replace
    /// [`Config::shards`].
    #[must_use]
    pub fn cores(mut self, cores: impl Into<Vec<usize>>) -> Self {
        self.cores = Some(cores.into());
        self
    }

    /// How many connections each shard holds, 1 to 4096 (4).
    ///
    /// More connections spread the load over more I/O threads of the server and shorten the queue behind a large value.
    /// Fewer connections make larger batches, which cost both sides less.
    #[must_use]
    pub fn connections_per_shard(mut self, count: usize) -> Self {
        self.connections_per_shard = count;
        self
    }

    /// How many commands of one connection may be written and not answered, 1 to 1 Mi (4096). A pipeline counts as one.
    /// Further commands stay in the queue.
    #[must_use]
    pub fn in_flight_max(mut self, commands: usize) -> Self {
        self.in_flight_max = commands;
        self
    }

    /// How many commands may be queued, unsent, for one connection, 1 to 1 Mi (4096). Further callers wait for room, and
    /// the `try_` variants fail at once.
    #[must_use]
    pub fn queue_max(mut self, commands: usize) -> Self {
        self.queue_max = commands;
        self
    }

    /// How many bytes of commands may be queued, unsent, for one connection, 1 to 4 Gi (16 MiB). An empty queue accepts a
    /// command of any size.
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// How many calls of a [`Client`](crate::Client) may wait for room, 0 to 16 Mi (1 Mi).
    ///
    /// A call has to wait while the mailbox of its shard is full, or while the shard has 30,000 open calls. It waits in the
    /// order of the calls of its handle, until there is room or its deadline has passed. The deadline is its own
    /// ([`ClientReply::timeout`](crate::ClientReply::timeout)) or the command timeout.
    ///
    /// This many calls may wait on each shard, and this many again for the mailboxes of a client. Further calls fail at once
    /// with [`Overloaded`](crate::ErrorKind::Overloaded), unsent. A waiting call holds its encoded bytes and about 200 more.
    /// With 0, a call that finds no room fails at once.
    #[must_use]
    pub fn waiting_max(mut self, calls: usize) -> Self {
        self.waiting_max = calls;
        self
    }

    /// How long a command may take from the call to its reply, including all waiting, 1 ms to 1 h (5 s). `None`: commands
    /// wait without a limit, and only TCP detects a dead peer.
    ///
    /// After this time the caller gets an error. The connection stays open as long as bytes arrive on it. A connection that
    /// receives no byte for this long while replies are overdue is closed as dead.
    #[must_use]
    pub fn command_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.command_timeout = timeout.into();
        self
    }

    /// How long one reply may take from its first byte to its last, 100 ms to 1 h. The default is a minute, or the command
    /// timeout or the relaxed timeout if that is longer; without a command timeout it is an hour.
    ///
    /// A server that begins a reply and never ends it blocks all replies behind it, however many bytes it sends. The client
    /// then closes the connection and dials again. Commands that were written on it are ambiguous. Announced maintenance does
    /// not extend this time.
    #[must_use]
    pub fn reply_time_max(mut self, time: Duration) -> Self {
        self.reply_time_max = Some(time);
        self
    }

    /// How long connecting and the handshake may take together, including name resolution, 1 ms to 1 h (5 s).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The bounds of the wait between attempts to connect, 1 ms to 1 h (50 ms, 2 s). The wait doubles with each failure. It
    /// is jittered, so that many clients do not return at the same moment.
    #[must_use]
    pub fn reconnect_backoff(mut self, first: Duration, most: Duration) -> Self {
        self.reconnect_backoff = (first, most);
        self
    }

    /// For how long other connections of the same shard reuse the addresses of a name, up to 1 h (1 s). With 0, each
    /// connection looks its name up.
    ///
    /// The cache saves look-ups when many connections are made at once. The client looks a name up again after it has lost a
    /// connection to it, or failed to make one. It also does so when a server announces that the name now resolves
    /// differently. The cache does not hold failures.
    #[must_use]
    pub fn dns_cache(mut self, time: Duration) -> Self {
        self.dns_cache = time;
        self
    }

    /// After how much silence TCP begins to probe an idle peer, 1 s to 1 h (15 s).
    #[must_use]
    pub fn keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = idle;
        self
    }

    /// After how much silence an idle connection sends a `PING`, 1 s to 1 h (30 s). `None`: never.
    ///
    /// A connection whose `PING` is not answered within the command timeout is replaced. So the client detects a dead peer,
    /// or a middlebox that drops packets, before a command needs the connection.
    #[must_use]
    pub fn idle_ping(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.idle_ping = silence.into();
        self
    }

    /// How long sent bytes may stay unacknowledged before the kernel closes the connection, 1 ms to 1 h. The default is the
    /// longer of two: the command timeout, at least 1 s, or 15 s if there is none; and the relaxed timeout.
    #[must_use]
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }
}

/// How shards wait and use their sockets, and what servers may send them.
impl Config {
    /// How long a shard polls before its thread sleeps, up to 1 s (0: not at all).
    ///
    /// Polling saves the time of a wake-up on each round trip, and uses the whole core meanwhile.
    #[must_use]
    pub fn spin_before_park(mut self, time: Duration) -> Self {
        self.spin_before_park = time;
        self
    }

    /// Whether a shard that has nothing to do first waits for up to 1 ms in one system call, for replies and for calls of other
    /// threads, before the runtime parks the thread. The default is yes on the executors of a [`Client`](crate::Client), and no
    /// on yours.
    ///
    /// The runtime needs nine system calls to park and to wake up once. This wait needs one, and saves most of that cost if
    /// the reply, or the call, comes within it: 50 callers on 50 connections cost 5.5 µs of CPU per GET instead of 10.4 µs. A
    /// shard whose replies and calls usually take longer hardly ever waits, and one that is idle never does.
    ///
    /// The wait delays other work of your tasks on that thread, such as files and timers of the runtime, by up to 1 ms. Set it
    /// to false if that matters.
    #[must_use]
    pub fn wait_before_park(mut self, waits: bool) -> Self {
        self.wait_before_park = Some(waits);
        self
    }

    /// The kernel interface through which shards use their sockets ([`Sockets::Auto`]). It has no effect in tokio.
    #[must_use]
    pub fn sockets(mut self, sockets: Sockets) -> Self {
        self.sockets = sockets;
        self
    }

    /// The largest frames that the client accepts from the server.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where servers may redirect this client ([`Targets::SameReach`]). The client does not dial other targets.
    ///
    /// Without TLS, every target that a server names receives the credentials of this client. If you do not trust the
    /// servers and the network, list the targets: [`Targets::only`].
    #[must_use]
    pub fn targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// How the client reacts to maintenance that a server announces ([`Maintenance::auto`]).
    #[must_use]
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// A function that is called for each event, with the number of the shard.
    ///
    /// An announcement of a server is reported once, by one of the shards of a client or a
    /// [`ShardGroup`](crate::ShardGroup), however many copies of it they read. Other events are reported by the shard on
    /// which they happen. The function runs on the thread of that shard, after the callers of earlier replies are woken. It
    /// blocks all other work of that thread, so it must return quickly. A panic in it is caught, and logged once.
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

    /// The resolver for the names of the configured endpoint and of announced targets (the resolver of the system).
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

    /// Speaks TLS with the server (no). [`Config::validate`] reads the files.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

#[cfg(feature = "cli")]
impl Config {
    /// Whether a user is set, and whether a password is set.
    pub(crate) fn has_login(&self) -> (bool, bool) {
        (self.username.is_some(), self.password.is_some())
    }

    /// The settings of TLS, before any file is read.
    pub(crate) fn tls_settings(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}
