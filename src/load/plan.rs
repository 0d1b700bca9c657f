//! What every thread of a run knows: the workload, and where to report to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::kinds::Kinds;
use super::recorder::Interval;
use super::values::Filler;
use super::workload::{Limit, Workload};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) filler: Filler,
    pub(crate) kinds: Kinds,
    /// Tells the values of this run from those of earlier ones.
    pub(crate) run: u32,
    /// The counter of the `INCR` audit.
    pub(crate) audit_key: String,
    /// Shards over all servers.
    pub(crate) shards: usize,
    pub(crate) servers: usize,
    stop: Arc<AtomicBool>,
    desk: mpsc::Sender<Message>,
}

/// What is reported while a run goes on.
#[derive(Debug)]
pub(crate) enum Message {
    /// This many more keys are loaded.
    Loaded(u64),
    /// The callers start, and nothing counts for so long.
    WarmingUp(Duration),
    /// What counts starts at this time.
    Begin(Instant),
    /// The endpoint in use has announced that it moves; that many handoffs had succeeded before.
    Moving { to: SocketAddr, handed_off: u64 },
    /// What one thread of callers has recorded; the interval goes back when it is emptied.
    Recorded {
        thread: usize,
        interval: Box<Interval>,
        back: mpsc::Sender<Box<Interval>>,
        connections: Option<usize>,
        /// From when to when it was recorded.
        span: (Instant, Instant),
    },
    /// The run is over.
    End,
}

impl Plan {
    pub(crate) fn new(
        workload: Workload,
        shards: usize,
        stop: Arc<AtomicBool>,
        desk: mpsc::Sender<Message>,
    ) -> Plan {
        // The seed repeats the choices of a run; its values must still differ from last time's.
        let run = fastrand::u32(..);
        let filler = Filler::new(workload.form(), workload.seed);
        let kinds = Kinds::of(&workload.mix);
        let audit_key = format!("hitless:audit:{run:08x}");
        Plan { workload, filler, kinds, run, audit_key, shards, servers: 1, stop, desk }
    }

    /// Callers over all shards.
    pub(crate) fn callers(&self) -> u64 {
        (self.shards * self.workload.tasks) as u64
    }

    /// How often a thread of callers hands out what it has recorded.
    pub(crate) fn tick(&self) -> Duration {
        match self.workload.limit {
            Limit::Duration(length) if length > SHORT => TICK,
            // How long so many commands take is not known; the timeline joins what becomes too much.
            _ => FINE_TICK,
        }
    }

    /// Whether the user wants the run to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn report(&self, message: Message) {
        // Nobody listens any more only when the run has failed; then nothing is lost.
        let _ = self.desk.send(message);
    }
}

/// How often a shard looks whether the user wants to stop.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How often an observer is told how far a run is.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Runs up to this long are told apart more finely.
const SHORT: Duration = Duration::from_secs(60);
const FINE_TICK: Duration = Duration::from_millis(100);
