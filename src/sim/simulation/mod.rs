//! [`Simulation`]: everything that a plan sets in motion, and the loop that runs its events.

mod driver;
mod exclusive;
mod faults;
mod servers;
mod subscribers;
mod unlocked;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::connection::{ConnectionConfig, HandleId, HandshakeConfig, QueueBounds};
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::settings::MaintConfig;
use crate::proto::pool::{Pool, PoolConfig};
use crate::proto::resp::Limits;
use crate::proto::targets::Targets;
use crate::proto::time::Instant;
use crate::rehearsal::{Server, ServerConfig};
use crate::sim::blockers::Blocker;
use crate::sim::call_context::CallContext;
use crate::sim::callers::{self, Caller};
use crate::sim::checkers::bounds::Bounds;
use crate::sim::checkers::connection::ConnectionChecks;
use crate::sim::checkers::credential_requests::CredentialRequests;
use crate::sim::checkers::dedup::Dedup;
use crate::sim::checkers::demotions::Demotions;
use crate::sim::checkers::dial_rate::DialRate;
use crate::sim::checkers::elements::Elements;
use crate::sim::checkers::exclusive_use::Order;
use crate::sim::checkers::handoff_ends::HandoffEnds;
use crate::sim::checkers::make_before_break::MakeBeforeBreak;
use crate::sim::checkers::rejections::Rejections;
use crate::sim::checkers::subscriptions::SubscriptionChecks;
use crate::sim::checkers::{dead_peers, exclusive_use, executions, liveness, passwords};
use crate::sim::event_queue::{EventQueue, SimEvent};
use crate::sim::network::{Network, WireId};
use crate::sim::outcomes::{Call, Outcomes};
use crate::sim::plan::{FAULTS_END, NODES, Parameters, Plan, address};
use crate::sim::publications::Publications;
use crate::sim::session_caller::SessionCaller;
use crate::sim::subscription_caller::SubscriptionCaller;
use crate::sim::tally::Tally;
use crate::sim::trace::Trace;
use crate::sim::transactions::Transactions;
use crate::sim::unlocked::UnlockedDrivers;
use crate::sim::violation::Violation;

/// The state of a running simulation.
///
/// [`run`](Self::run) takes one event at a time from the queue, sets the clock to its time and handles it. [`driver`]
/// holds the methods of the shards, [`unlocked`] those of drivers that leave the pool to others while they write,
/// [`subscribers`] those of subscriptions and publishers, [`servers`] those of the servers, and [`faults`] those of the
/// faults. Every event of a shard ends with [`drive`](Self::drive), which runs the checkers: no event may leave a shard
/// unchecked.
pub(in crate::sim) struct Simulation<'a> {
    plan: &'a Plan,
    trace: &'a mut Trace,
    now: Instant,
    random: fastrand::Rng,
    events: EventQueue,
    shards: Vec<SimShard>,
    callers: Vec<Caller>,
    blockers: Vec<Blocker>,
    sessions: Vec<SessionCaller>,
    /// Draws for the callers that need connections for themselves.
    exclusive_random: fastrand::Rng,
    subscriptions: Vec<SubscriptionCaller>,
    publications: Publications,
    /// Draws for the subscriptions and publishers.
    subscriber_random: fastrand::Rng,
    network: Network,
    /// For each wire of the network, from its dial to its removal.
    checks: BTreeMap<WireId, ConnectionChecks>,
    server: Server,
    dns: Dns,
    server_timer: Option<Instant>,
    /// The number of the newest password, after the first rotation.
    password: Option<u32>,
    /// A driver reads: what ends now has drained.
    is_reading: bool,
    /// The faults have ended.
    is_recovering: bool,
    tally: Tally,
}

/// The answer for the configured name.
struct Dns {
    nodes: Vec<usize>,
    /// How long a look-up takes.
    time: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Dns { nodes: vec![0], time: Duration::from_millis(1) }
    }
}

/// One shard: its pool, its drivers, and the checkers that watch it.
struct SimShard {
    pool: Pool,
    outcomes: Outcomes,
    bounds: Bounds,
    /// The connections whose drivers were woken.
    runnable: BTreeSet<WireId>,
    /// The drivers write while the pool is free for others.
    unlocked: Option<UnlockedDrivers>,
    handoff_ends: HandoffEnds,
    make_before_break: MakeBeforeBreak,
    dedup: Dedup,
    dial_rate: DialRate,
    demotions: Demotions,
    credential_requests: CredentialRequests,
    rejections: Rejections,
    elements: Elements,
    transactions: Transactions,
    order: Order,
    subscriptions: SubscriptionChecks,
    /// How often the shard got new credentials.
    renewals: u64,
    next_ticket: u32,
    /// The time for which the pool's timer is set.
    timer_at: Option<Instant>,
    is_shutting_down: bool,
}

impl SimShard {
    fn new(pool: Pool, unlocked: Option<UnlockedDrivers>) -> Self {
        SimShard {
            pool,
            outcomes: Outcomes::default(),
            bounds: Bounds::default(),
            runnable: BTreeSet::new(),
            unlocked,
            handoff_ends: HandoffEnds::default(),
            make_before_break: MakeBeforeBreak::default(),
            dedup: Dedup::default(),
            dial_rate: DialRate::default(),
            demotions: Demotions::default(),
            credential_requests: CredentialRequests::default(),
            rejections: Rejections::default(),
            elements: Elements::default(),
            transactions: Transactions::default(),
            order: Order::default(),
            subscriptions: SubscriptionChecks::default(),
            renewals: 0,
            next_ticket: 0,
            timer_at: None,
            is_shutting_down: false,
        }
    }

    /// What a caller needs to act.
    fn context<'a>(&'a mut self, random: &'a mut fastrand::Rng, now: Instant) -> CallContext<'a> {
        let SimShard { pool, outcomes, next_ticket, .. } = self;
        CallContext { pool, outcomes, next_ticket, random, now }
    }
}

impl<'a> Simulation<'a> {
    pub(in crate::sim) fn new(plan: &'a Plan, trace: &'a mut Trace) -> Self {
        let parameters = &plan.parameters;
        let now = Instant::from_nanos(1_000_000_000);
        let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x9e37_79b9_7f4a_7c15);
        let nodes: Vec<SocketAddr> = (0..NODES).filter_map(|node| address(node).parse().ok()).collect();
        let server = Server::new(ServerConfig::default(), nodes, now.as_nanos() / 1000);
        let mut shards: Vec<SimShard> = (0..parameters.shards)
            .map(|shard| {
                let pool = Pool::new(config(parameters, random.u64(..)), now);
                SimShard::new(pool, UnlockedDrivers::of_shard(plan.seed, shard))
            })
            .collect();
        let mut events = EventQueue::default();
        let mut callers = Vec::new();
        for (shard, state) in shards.iter_mut().enumerate() {
            for number in 0..parameters.callers {
                events.schedule(now, SimEvent::Caller { caller: callers.len() });
                callers.push(Caller::new(shard, number, &mut state.pool));
            }
        }
        for (index, fault) in plan.faults.iter().enumerate() {
            events.schedule(now.after(fault.at), SimEvent::Fault { index });
        }
        Simulation {
            plan,
            trace,
            now,
            random,
            events,
            shards,
            callers,
            blockers: Vec::new(),
            sessions: Vec::new(),
            exclusive_random: fastrand::Rng::with_seed(plan.seed ^ EXCLUSIVE_SEED),
            subscriptions: Vec::new(),
            publications: Publications::default(),
            subscriber_random: fastrand::Rng::with_seed(plan.seed ^ SUBSCRIBER_SEED),
            network: Network::default(),
            checks: BTreeMap::new(),
            server,
            dns: Dns::default(),
            server_timer: None,
            password: None,
            is_reading: false,
            is_recovering: false,
            tally: Tally::default(),
        }
    }

    /// Runs from the first dial to the last close.
    pub(in crate::sim) fn run(mut self) -> Result<Tally, Violation> {
        let begin = self.now;
        self.add_exclusive_callers();
        self.add_subscribers();
        for shard in 0..self.shards.len() {
            self.drive(shard)?;
        }
        self.run_until(begin.after(FAULTS_END))?;
        self.end_faults();
        self.run_until(begin.after(FAULTS_END + RECOVERY))?;
        let outcomes = |shard: usize| self.shards.get(shard).map(|state| &state.outcomes);
        dead_peers::check_recovered(&self.network, &self.checks, outcomes)?;
        self.drop_dead();
        self.check_subscriptions()?;
        for (shard, SimShard { pool, outcomes, is_shutting_down, .. }) in self.shards.iter_mut().enumerate() {
            match is_shutting_down {
                true => liveness::check_shut_down(pool, outcomes)?,
                false => {
                    liveness::check_recovered(pool, outcomes)?;
                    let checks = &self.checks;
                    let sent = |id| {
                        // A dead connection with a wait without a limit stays, and was judged above.
                        let Some(checks) = checks.get(&WireId::new(shard, id)) else {
                            return self.password;
                        };
                        // It logs in when the wait of its command is over.
                        let call = checks.written.newest().and_then(|ticket| outcomes.calls.get(&ticket));
                        let waits = call.is_some_and(Call::is_endless);
                        if waits { self.password } else { checks.passwords.newest() }
                    };
                    passwords::check_recovered(pool, self.password, sent)?;
                    let shared = self.plan.parameters.connections;
                    exclusive_use::check_recovered(pool, outcomes, shared)?;
                }
            }
            let stats = pool.maintenance();
            self.tally.notifications += stats.notifications;
            self.tally.handoffs += stats.handoffs_started;
            self.tally.handoffs_succeeded += stats.handoffs_succeeded;
            self.tally.connections += pool.counters().connected;
            self.tally.reissued += pool.exclusive().reissued;
            self.tally.stale += pool.exclusive().stale;
            let subscriptions = pool.subscriptions();
            self.tally.messages += subscriptions.messages;
            self.tally.gaps += subscriptions.gaps;
            self.tally.duplicates += subscriptions.duplicates_dropped;
            self.tally.bounded += subscriptions.overlaps_bounded;
        }
        for shard in 0..self.shards.len() {
            self.shut_down(shard, SHUTDOWN_GRACE)?;
        }
        self.run_until(self.now.after(SHUTDOWN_GRACE * 2))?;
        for SimShard { pool, outcomes, .. } in &mut self.shards {
            liveness::check_shut_down(pool, outcomes)?;
        }
        let open = self.server.sessions().count();
        if open > 0 {
            return Err(Violation::new("no connection stays open", format!("{open} connections are open")));
        }
        self.check_executions()?;
        self.tally.virtual_time = self.now.since(begin);
        self.tally.faults = self.plan.faults.len() as u64;
        Ok(self.tally)
    }

    fn run_until(&mut self, until: Instant) -> Result<(), Violation> {
        while self.events.next_at().is_some_and(|at| at <= until) {
            let Some((at, event)) = self.events.pop() else { break };
            self.now = at;
            self.tally.events += 1;
            if self.tally.events > EVENTS_MAX {
                return Err(Violation::new(
                    "everything resolves after the last fault",
                    "the number of events exceeds its bound",
                ));
            }
            self.handle(event)?;
        }
        self.now = until;
        Ok(())
    }

    fn handle(&mut self, event: SimEvent) -> Result<(), Violation> {
        self.is_reading = matches!(event, SimEvent::ToClient { .. } | SimEvent::Write { .. });
        match event {
            SimEvent::Timer { shard } => {
                let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
                if state.timer_at == Some(self.now) {
                    state.timer_at = None;
                    state.pool.handle_timeout(self.now, &mut state.outcomes);
                    self.drive(shard)?;
                }
                Ok(())
            }
            SimEvent::Writable { wire } => {
                self.mark_runnable(wire);
                self.drive(wire.shard)
            }
            SimEvent::Write { wire } => self.write_unlocked(wire),
            SimEvent::Dialed { wire } => self.dialed(wire),
            SimEvent::ToServer { wire } => self.arrive_at_server(wire),
            SimEvent::ToClient { wire } => self.arrive_at_client(wire),
            SimEvent::ServerTimer => {
                if self.server_timer.is_some_and(|at| at <= self.now) {
                    self.server_timer = None;
                    self.server.handle_time(self.micros());
                    self.send_replies(None);
                }
                Ok(())
            }
            SimEvent::Fault { index } => self.inject(index),
            SimEvent::Caller { caller } => self.run_caller(caller),
            SimEvent::Blocker { number } => self.run_blocker(number),
            SimEvent::Session { number } => self.run_session(number),
            SimEvent::Subscription { number } => self.run_subscription(number),
            SimEvent::Read { number } => self.read_subscription(number),
            SimEvent::Publish { publisher } => {
                self.run_publisher(publisher);
                Ok(())
            }
            SimEvent::Turn { shard } => self.turn(shard),
            SimEvent::Resolved { shard, lookup } => self.resolved(shard, lookup),
            SimEvent::Renewed { shard } => self.renewed(shard),
            SimEvent::Broadcast { shard, announcement } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.pool.handle_announcement(*announcement, self.now, &mut state.outcomes);
                }
                self.drive(shard)
            }
        }
    }

    fn run_caller(&mut self, number: usize) -> Result<(), Violation> {
        let Some(caller) = self.callers.get(number).filter(|_| !self.is_recovering) else { return Ok(()) };
        let shard = caller.shard;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let SimShard { pool, outcomes, next_ticket, .. } = state;
        let again = caller.act(pool, outcomes, next_ticket, &mut self.random, self.now);
        let in_use = pool.entries().active_generation(caller.entry);
        let wire = in_use.map(|generation| WireId { shard, entry: caller.entry.0, generation });
        self.events.schedule(self.now.after(again), SimEvent::Caller { caller: number });
        match wire {
            Some(wire) => self.mark_runnable(wire),
            // Without a connection there is no driver to wake; the supervisor notes the time.
            None => pool.handle_timeout(self.now, outcomes),
        }
        self.drive(shard)
    }

    fn check_executions(&mut self) -> Result<(), Violation> {
        // The checker reads the lists without a password.
        self.server.set_password(None);
        for shard in 0..self.shards.len() {
            let mut lists = BTreeMap::new();
            for handle in (0..self.plan.parameters.callers)
                .filter_map(|handle| u32::try_from(handle).ok())
                .map(HandleId)
            {
                let list = self.read_list(&callers::list(shard, handle));
                lists.insert(handle, list);
            }
            if let Some(state) = self.shards.get(shard) {
                self.tally.commands += state.outcomes.calls.len() as u64;
                executions::check(&state.outcomes, &lists)?;
            }
            self.check_exclusive(shard)?;
        }
        Ok(())
    }

    fn micros(&self) -> u64 {
        self.now.as_nanos() / 1000
    }
}

/// The endpoint in the configuration of the pools.
fn endpoint(parameters: &Parameters) -> Endpoint {
    let endpoint = if parameters.by_name { "db.sim:6379".to_owned() } else { address(0) };
    // Both are well-formed; the fallback only spares a panic.
    endpoint.parse().unwrap_or_else(|_| SocketAddr::from(([10, 0, 0, 1], 6379)).into())
}

fn config(parameters: &Parameters, seed: u64) -> PoolConfig {
    let seconds = Duration::from_secs;
    PoolConfig {
        endpoint: endpoint(parameters),
        named: None,
        generation: 0,
        connections: parameters.connections,
        exclusive_connections_max: parameters.exclusive.connections_max,
        exclusive_idle: parameters.exclusive.idle,
        connection: ConnectionConfig {
            handshake: Arc::new(HandshakeConfig::default()),
            limits: Limits::default(),
            in_flight_max: parameters.in_flight_max,
            connect_timeout: seconds(1),
            command_timeout: parameters.command_timeout,
            reply_time_max: parameters.reply_time_max,
            idle_ping: parameters.idle_ping,
        },
        queue: QueueBounds { commands: parameters.queue_max, bytes: 1 << 16 },
        maint: MaintConfig {
            relaxed_timeout: parameters.relaxed_timeout,
            window_max: seconds(6),
            post_event_relaxed: seconds(1),
            post_handoff_relaxed: seconds(2),
            handoff_timeout: seconds(3),
            ..MaintConfig::default()
        },
        targets: Targets::default(),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(500),
        renewable: parameters.renewable,
        seed,
    }
}

/// From the last fault to the check of the recovery: the longest grace, drain, timeout and window together.
const RECOVERY: Duration = Duration::from_secs(20);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
const EXCLUSIVE_SEED: u64 = 0xa076_1d64_78bd_642f;
const SUBSCRIBER_SEED: u64 = 0xe703_7ed1_a0b4_28db;
/// Far more events than a simulation of this length has.
const EVENTS_MAX: u64 = 2_000_000;
