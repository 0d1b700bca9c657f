//! How a shard wakes its own tasks: [`DriverWakers`] for the drivers of its connections, [`SupervisorWaker`] for its
//! [supervisor](super::supervisor).

use std::task::{Context, Waker};

use crate::proto::pool::{ConnectionId, EntryId};
use crate::proto::time::Instant;

/// The wakers of the connection drivers, by entry.
///
/// An entry may have several connections at a time: the active one, a successor that is being dialed, and predecessors that
/// drain. A command concerns the active one only. It wakes that driver once, however many commands follow until the driver
/// has run: [`notify`](DriverWakers::notify) marks the driver as notified, and [`register`](DriverWakers::register), which a
/// driver calls at the beginning of each turn, acknowledges the mark. A mark must never be lost: without it no task would
/// note the time of the command, and its timeout would not fire. So [`remove`](DriverWakers::remove) says whether one was
/// left.
pub(crate) struct DriverWakers(Vec<Entry>);

/// How other tasks reach the supervisor.
///
/// It runs when another task [wakes](SupervisorWaker::wake) it, or at the earliest time for which it is
/// [armed](SupervisorWaker::arm). `notified` closes the race between a wake-up and the moment at which the supervisor falls
/// asleep: the supervisor looks at it after it has registered its waker.
#[derive(Default)]
pub(crate) struct SupervisorWaker {
    waker: Option<Waker>,
    notified: bool,
    /// When it runs next without being woken.
    armed: Option<Instant>,
    /// The pool is shut down, and the supervisor has told the tasks that waited for that.
    pub(crate) finished: bool,
}

/// Whom a queued command wakes.
pub(crate) enum Notify<'a> {
    /// The driver of its connection.
    Driver(&'a Waker),
    /// The supervisor, because no driver can write the command.
    Supervisor,
    /// A task that acts on it was woken already.
    NoTask,
}

#[derive(Default)]
struct Entry {
    /// The generation whose driver was notified of a command and has not run since. If that generation has no driver, the
    /// supervisor was notified.
    notified: Option<u32>,
    drivers: Vec<DriverWaker>,
}

struct DriverWaker {
    generation: u32,
    waker: Waker,
}

impl DriverWakers {
    pub(crate) fn new(entries: usize) -> Self {
        DriverWakers((0..entries).map(|_| Entry::default()).collect())
    }

    /// A command was queued for this entry, whose active connection has this generation: whom to wake.
    #[inline]
    pub(crate) fn notify(&mut self, entry: EntryId, generation: u32) -> Notify<'_> {
        // Blocking commands are submitted to no entry: the supervisor finds one for them.
        let Some(entry) = self.0.get_mut(entry.0 as usize) else { return Notify::Supervisor };
        if entry.notified == Some(generation) {
            return Notify::NoTask;
        }
        entry.notified = Some(generation);
        match entry.driver(generation) {
            Some(driver) => Notify::Driver(&driver.waker),
            None => Notify::Supervisor,
        }
    }

    /// The driver of this connection is going to run without being woken: it counts as notified. If another driver of the entry
    /// is notified, that one has commands to see, and its mark stays.
    #[inline]
    pub(crate) fn expect(&mut self, id: ConnectionId) {
        if let Some(entry) = self.0.get_mut(id.entry.0 as usize)
            && entry.notified.is_none()
            && entry.driver(id.generation).is_some()
        {
            entry.notified = Some(id.generation);
        }
    }

    /// A driver runs: it sees every command that it could be notified of. Its next wake-up reaches it at this waker.
    #[inline]
    pub(crate) fn register(&mut self, id: ConnectionId, context: &Context<'_>) {
        let index = id.entry.0 as usize;
        if index >= self.0.len() {
            // A node has joined a cluster.
            self.0.resize_with(index + 1, Entry::default);
        }
        let Some(entry) = self.0.get_mut(index) else { return };
        entry.acknowledge(id.generation);
        match entry.driver(id.generation) {
            Some(driver) => driver.waker.clone_from(context.waker()),
            None => {
                entry.drivers.push(DriverWaker { generation: id.generation, waker: context.waker().clone() })
            }
        }
    }

    /// Wakes the driver of this connection. A driver that has not begun to run needs no wake-up.
    pub(crate) fn wake(&mut self, id: ConnectionId) {
        let entry = self.0.get_mut(id.entry.0 as usize);
        if let Some(driver) = entry.and_then(|entry| entry.driver(id.generation)) {
            driver.waker.wake_by_ref();
        }
    }

    /// The connection is gone: the waker of its driver, and whether that driver was notified of a command that it has not
    /// seen. The supervisor has to see to such a command.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> (Option<Waker>, bool) {
        let Some(entry) = self.0.get_mut(id.entry.0 as usize) else { return (None, false) };
        let index = entry.drivers.iter().position(|driver| driver.generation == id.generation);
        let waker = index.map(|index| entry.drivers.swap_remove(index).waker);
        (waker, entry.acknowledge(id.generation))
    }

    /// The supervisor runs: it sees every command of which no driver was notified.
    pub(crate) fn supervisor_runs(&mut self) {
        for entry in &mut self.0 {
            if let Some(notified) = entry.notified
                && entry.driver(notified).is_none()
            {
                entry.notified = None;
            }
        }
    }
}

impl SupervisorWaker {
    pub(crate) fn wake(&mut self) {
        self.notified = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Makes sure that the supervisor runs by `deadline`, or at once if that has passed.
    ///
    /// How late it runs tells for how long the thread was blocked. So a deadline that has passed counts from `now`: after an
    /// idle hour it may be an hour old, although nothing was blocked.
    #[inline]
    pub(crate) fn arm(&mut self, deadline: Option<Instant>, now: Instant) {
        if let Some(deadline) = deadline.map(|deadline| deadline.max(now))
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            self.armed = Some(deadline);
            self.wake();
        }
    }

    /// The supervisor begins a turn: what it was notified of, it sees now.
    pub(crate) fn begin_turn(&mut self) {
        self.notified = false;
    }

    /// The supervisor ends a turn, and runs again at `next`.
    pub(crate) fn end_turn(&mut self, next: Option<Instant>, now: Instant) {
        self.armed = next.map(|next| next.max(now));
    }

    /// When the supervisor runs next without being woken.
    pub(crate) fn armed(&self) -> Option<Instant> {
        self.armed
    }

    /// Whether another task has woken the supervisor since its last turn began.
    pub(crate) fn is_notified(&self) -> bool {
        self.notified
    }

    /// Registers the supervisor's task, unless it was notified and has to run.
    pub(crate) fn register(&mut self, context: &Context<'_>) -> bool {
        if self.notified {
            return false;
        }
        match &mut self.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            waker => *waker = Some(context.waker().clone()),
        }
        true
    }
}

impl Entry {
    #[inline]
    fn driver(&mut self, generation: u32) -> Option<&mut DriverWaker> {
        self.drivers.iter_mut().find(|driver| driver.generation == generation)
    }

    /// The next command notifies this generation again; true if it was notified.
    #[inline]
    fn acknowledge(&mut self, generation: u32) -> bool {
        let was_notified = self.notified == Some(generation);
        if was_notified {
            self.notified = None;
        }
        was_notified
    }
}
