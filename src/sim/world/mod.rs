//! [`World`]: everything that a seed brings to life, and the loop that runs it.

mod deeds;
mod driver;
mod servers;

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
use crate::sim::agenda::{Agenda, Happening};
use crate::sim::callers::Caller;
use crate::sim::checkers::bounds::Bounds;
use crate::sim::checkers::demotions::Demotions;
use crate::sim::checkers::endings::Endings;
use crate::sim::checkers::handoffs::Handoffs;
use crate::sim::checkers::news::Told;
use crate::sim::checkers::providers::Providers;
use crate::sim::checkers::refusals::Refusals;
use crate::sim::checkers::storms::Storms;
use crate::sim::checkers::{Violation, dead, liveness, logins, truth};
use crate::sim::network::{Network, WireId};
use crate::sim::outcomes::Outcomes;
use crate::sim::plan::{DEEDS_END, NODES, Plan, Setting, address};
use crate::sim::trace::Trace;

pub(in crate::sim) struct World<'a> {
    plan: &'a Plan,
    trace: &'a mut Trace,
    now: Instant,
    random: fastrand::Rng,
    agenda: Agenda,
    shards: Vec<Shard>,
    callers: Vec<Caller>,
    network: Network,
    server: Server,
    /// The nodes that the name leads to, and how long it takes to find out.
    name: (Vec<usize>, Duration),
    server_timer: Option<Instant>,
    /// The number of the newest password, once there is one.
    password: Option<u32>,
    is_calm: bool,
    tally: Tally,
}

struct Shard {
    pool: Pool,
    outcomes: Outcomes,
    bounds: Bounds,
    /// The connections whose drivers have a reason to run.
    awake: BTreeSet<WireId>,
    endings: Endings,
    handoffs: Handoffs,
    told: Told,
    storms: Storms,
    demotions: Demotions,
    providers: Providers,
    refusals: Refusals,
    /// How often it was told of other credentials.
    renewals: u64,
    next_ticket: u32,
    armed: Option<Instant>,
    is_closing: bool,
}

/// What happened in a world, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) virtual_time: Duration,
    pub(crate) events: u64,
    pub(crate) commands: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) notifications: u64,
    pub(crate) handoffs: u64,
    pub(crate) handoffs_succeeded: u64,
    pub(crate) deeds: u64,
    pub(crate) connections: u64,
}

impl Tally {
    /// Both together.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.commands += other.commands;
        self.answered += other.answered;
        self.failed += other.failed;
        self.notifications += other.notifications;
        self.handoffs += other.handoffs;
        self.handoffs_succeeded += other.handoffs_succeeded;
        self.deeds += other.deeds;
        self.connections += other.connections;
    }
}

impl<'a> World<'a> {
    pub(in crate::sim) fn new(plan: &'a Plan, trace: &'a mut Trace) -> Self {
        let setting = &plan.setting;
        let now = Instant::from_nanos(1_000_000_000);
        let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x9e37_79b9_7f4a_7c15);
        let nodes: Vec<SocketAddr> = (0..NODES).filter_map(|node| address(node).parse().ok()).collect();
        let server = Server::new(ServerConfig::default(), nodes, now.as_nanos() / 1000);
        let mut shards: Vec<Shard> = (0..setting.shards)
            .map(|_| Shard {
                pool: Pool::new(config(setting, random.u64(..)), now),
                outcomes: Outcomes::default(),
                bounds: Bounds::default(),
                awake: BTreeSet::new(),
                endings: Endings::default(),
                handoffs: Handoffs::default(),
                told: Told::default(),
                storms: Storms::default(),
                demotions: Demotions::default(),
                providers: Providers::default(),
                refusals: Refusals::default(),
                renewals: 0,
                next_ticket: 0,
                armed: None,
                is_closing: false,
            })
            .collect();
        let mut agenda = Agenda::default();
        let mut people = Vec::new();
        for (shard, state) in shards.iter_mut().enumerate() {
            for number in 0..setting.callers {
                agenda.plan(now, Happening::Caller { caller: people.len() });
                people.push(Caller::new(shard, number, &mut state.pool));
            }
        }
        for (index, deed) in plan.deeds.iter().enumerate() {
            agenda.plan(now.after(deed.at), Happening::Deed { index });
        }
        World {
            plan,
            trace,
            now,
            random,
            agenda,
            shards,
            callers: people,
            network: Network::default(),
            server,
            name: (vec![0], Duration::from_millis(1)),
            server_timer: None,
            password: None,
            is_calm: false,
            tally: Tally::default(),
        }
    }

    /// From the first dial to the last close.
    pub(in crate::sim) fn run(mut self) -> Result<Tally, Violation> {
        let begin = self.now;
        for shard in 0..self.shards.len() {
            self.drive(shard)?;
        }
        self.run_until(begin.after(DEEDS_END))?;
        self.heal();
        self.run_until(begin.after(DEEDS_END + CALM))?;
        dead::check_calm(&self.network)?;
        self.bury();
        for (shard, Shard { pool, outcomes, is_closing, .. }) in self.shards.iter_mut().enumerate() {
            match is_closing {
                true => liveness::check_shut_down(pool, outcomes)?,
                false => {
                    liveness::check_calm(pool, outcomes)?;
                    logins::check_calm(shard, pool, &mut self.network, self.password)?;
                }
            }
            let stats = pool.maintenance();
            self.tally.notifications += stats.notifications;
            self.tally.handoffs += stats.handoffs_started;
            self.tally.handoffs_succeeded += stats.handoffs_succeeded;
            self.tally.connections += pool.counters().connected;
        }
        for shard in 0..self.shards.len() {
            self.shut_down(shard, SHUTDOWN_GRACE)?;
        }
        self.run_until(begin.after(DEEDS_END + CALM + SHUTDOWN_GRACE * 2))?;
        for Shard { pool, outcomes, .. } in &mut self.shards {
            liveness::check_shut_down(pool, outcomes)?;
        }
        let open = self.server.sessions().count();
        if open > 0 {
            return Err(Violation::new("nothing is left behind", format!("{open} connections are open")));
        }
        self.compare_with_the_truth()?;
        self.tally.virtual_time = self.now.since(begin);
        self.tally.deeds = self.plan.deeds.len() as u64;
        Ok(self.tally)
    }

    fn run_until(&mut self, until: Instant) -> Result<(), Violation> {
        while self.agenda.next_at().is_some_and(|at| at <= until) {
            let Some((at, happening)) = self.agenda.pop() else { break };
            self.now = at;
            self.tally.events += 1;
            if self.tally.events > EVENTS_MAX {
                return Err(Violation::new(
                    "everything comes to its end",
                    "events follow each other without end",
                ));
            }
            self.happen(happening)?;
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Timer { shard } => {
                let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
                if state.armed == Some(self.now) {
                    state.armed = None;
                    state.pool.handle_timeout(self.now, &mut state.outcomes);
                    self.drive(shard)?;
                }
                Ok(())
            }
            Happening::Writable { wire } => {
                self.wake(wire);
                self.drive(wire.shard)
            }
            Happening::Dialed { wire } => self.dialed(wire),
            Happening::ToServer { wire } => self.arrive_at_server(wire),
            Happening::ToClient { wire } => self.arrive_at_client(wire),
            Happening::ServerTimer => {
                if self.server_timer.is_some_and(|at| at <= self.now) {
                    self.server_timer = None;
                    self.server.handle_time(self.micros());
                    self.serve(None);
                }
                Ok(())
            }
            Happening::Deed { index } => self.deed(index),
            Happening::Caller { caller } => self.caller(caller),
            Happening::Resolved { shard, lookup } => self.resolved(shard, lookup),
            Happening::Renewed { shard } => self.renewed(shard),
            Happening::Told { shard, announcement } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.pool.handle_announcement(*announcement, self.now);
                }
                self.drive(shard)
            }
        }
    }

    fn caller(&mut self, number: usize) -> Result<(), Violation> {
        let Some(caller) = self.callers.get(number).filter(|_| !self.is_calm) else { return Ok(()) };
        let shard = caller.shard;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let Shard { pool, outcomes, next_ticket, .. } = state;
        let again = caller.act(pool, outcomes, next_ticket, &mut self.random, self.now);
        let in_use = pool.generation_in_use(caller.entry);
        let wire = in_use.map(|generation| WireId { shard, entry: caller.entry.0, generation });
        self.agenda.plan(self.now.after(again), Happening::Caller { caller: number });
        match wire {
            Some(wire) => self.wake(wire),
            // There is no driver to be told: the pilot notes the time.
            None => pool.handle_timeout(self.now, outcomes),
        }
        self.drive(shard)
    }

    fn compare_with_the_truth(&mut self) -> Result<(), Violation> {
        // Whoever looks at the truth needs no password.
        self.server.set_password(None);
        for shard in 0..self.shards.len() {
            let mut lists = BTreeMap::new();
            for handle in
                (0..self.plan.setting.callers).filter_map(|handle| u32::try_from(handle).ok()).map(HandleId)
            {
                let list = self.read_list(shard, handle);
                lists.insert(handle, list);
            }
            if let Some(state) = self.shards.get(shard) {
                self.tally.commands += state.outcomes.cases.len() as u64;
                truth::check(&state.outcomes, &lists)?;
            }
        }
        Ok(())
    }

    fn micros(&self) -> u64 {
        self.now.as_nanos() / 1000
    }
}

/// What the pools are configured with.
fn endpoint(setting: &Setting) -> Endpoint {
    let endpoint = if setting.by_name { "db.sim:6379".to_owned() } else { address(0) };
    // Both are well-formed; the fallback only spares a panic.
    endpoint.parse().unwrap_or_else(|_| SocketAddr::from(([10, 0, 0, 1], 6379)).into())
}

fn config(setting: &Setting, seed: u64) -> PoolConfig {
    let seconds = Duration::from_secs;
    PoolConfig {
        endpoint: endpoint(setting),
        connections: setting.connections,
        connection: ConnectionConfig {
            handshake: Arc::new(HandshakeConfig::default()),
            limits: Limits::default(),
            in_flight_max: setting.in_flight_max,
            connect_timeout: seconds(1),
            command_timeout: setting.command_timeout,
            reply_time_max: setting.reply_time_max,
            idle_ping: setting.idle_ping,
        },
        queue: QueueBounds { commands: setting.queue_max, bytes: 1 << 16 },
        maint: MaintConfig {
            relaxed_timeout: setting.relaxed_timeout,
            window_max: seconds(6),
            post_event_relaxed: seconds(1),
            post_handoff_relaxed: seconds(2),
            handoff_timeout: seconds(3),
            ..MaintConfig::default()
        },
        targets: Targets::default(),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(500),
        renewable: setting.renewable,
        seed,
    }
}

/// From the last fault to the time when all must be well: the longest grace, drain, timeout and window together.
const CALM: Duration = Duration::from_secs(20);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// No world of this length has as many.
const EVENTS_MAX: u64 = 2_000_000;

#[cfg(test)]
mod tests {
    use crate::sim::*;
    use crate::sim::{Plan, Trace, run, shrink};

    /// As many worlds as `HITLESS_WORLDS` says, or enough for every day.
    #[test]
    fn no_world_violates_an_invariant() {
        let wanted = std::env::var("HITLESS_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
        let mut tally = Tally::default();
        for seed in 0..wanted {
            let plan = Plan::new(seed);
            match run(&plan, &mut Trace::default()) {
                Ok(world) => tally.add(&world),
                Err(violation) => {
                    let (plan, violation) = shrink(&plan, &violation);
                    let deeds: String = plan.deeds.iter().map(|deed| format!("{deed}\n")).collect();
                    panic!("seed {seed}: {violation}\n{:?}\n{deeds}", plan.setting);
                }
            }
        }
        println!("{tally:?}");
        assert!(tally.handoffs_succeeded > wanted && tally.answered > 20 * wanted, "{tally:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        let fingerprint = |seed| {
            let mut trace = Trace::default();
            let _ = run(&Plan::new(seed), &mut trace);
            trace.fingerprint()
        };
        assert_eq!(fingerprint(7), fingerprint(7));
        assert_ne!(fingerprint(7), fingerprint(8));
    }
}
