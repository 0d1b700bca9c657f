//! What every thread of a run shares: the workload, and the sender of its events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::load::recording::recorder::Recording;
use crate::load::workload::kinds::CommandKinds;
use crate::load::workload::values::Filler;
use crate::load::workload::{Limit, Workload};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) filler: Filler,
    pub(crate) kinds: CommandKinds,
    /// Distinguishes the values of this run from those of earlier runs.
    pub(crate) run: u32,
    /// The counter of the `INCR` audit.
    pub(crate) audit_key: String,
    /// The number of shards of all clients.
    pub(crate) shards: usize,
    pub(crate) servers: usize,
    stop: Arc<AtomicBool>,
    events: mpsc::Sender<RunEvent>,
}

/// What the threads of a run send to the collector.
#[derive(Debug)]
pub(crate) enum RunEvent {
    /// This many more keys were written.
    Loaded(u64),
    /// The callers start, with a warm-up of this length.
    WarmingUp(Duration),
    /// The measured time starts at this time.
    Begin(Instant),
    /// The endpoint in use announced `MOVING` to this address; `handed_off` handoffs had succeeded before.
    Moving { to: SocketAddr, handed_off: u64 },
    /// What one thread of callers recorded. The collector empties the recording and sends it back.
    Recorded {
        thread: usize,
        recording: Box<Recording>,
        back: mpsc::Sender<Box<Recording>>,
        connections: Option<usize>,
        /// Start and end of the time in which it was recorded.
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
        events: mpsc::Sender<RunEvent>,
    ) -> Plan {
        // The same seed repeats the choices of a run; the values must still differ from those of the last run.
        let run = fastrand::u32(..);
        let filler = Filler::new(workload.form(), workload.seed);
        let kinds = CommandKinds::of(&workload.mix);
        let audit_key = format!("hitless:audit:{run:08x}");
        Plan { workload, filler, kinds, run, audit_key, shards, servers: 1, stop, events }
    }

    /// The number of callers on all shards.
    pub(crate) fn callers(&self) -> u64 {
        (self.shards * self.workload.tasks) as u64
    }

    /// How often a thread of callers hands its recording to the collector.
    pub(crate) fn tick(&self) -> Duration {
        match self.workload.limit {
            Limit::Duration(length) if length > SHORT => TICK,
            // The duration of a run that is limited by a number of commands is not known; the timeline joins intervals
            // when there are too many.
            _ => FINE_TICK,
        }
    }

    /// Whether the user stopped the run.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn send(&self, event: RunEvent) {
        // The collector is gone only after the run has failed, so no measurement is lost.
        let _ = self.events.send(event);
    }
}

/// How often a thread of callers checks whether the user stopped the run.
pub(crate) const STOP_CHECK: Duration = Duration::from_millis(100);
/// How often an observer receives the progress.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Runs of up to this length have finer intervals.
const SHORT: Duration = Duration::from_secs(60);
const FINE_TICK: Duration = Duration::from_millis(100);
