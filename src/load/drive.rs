//! One thread of callers: it starts them together, hands their measurements to the collector, and waits for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::caller::{Caller, Common, Finished};
use super::crew::{self, Timers};
use super::door::{ClientDoor, Door};
use super::gate::Gate;
use super::handoffs::{HandoffWatch, Overlap};
use super::plan::{LOOK, Message, Plan};
use super::recorder::{Interval, Recorder};
use super::verify::Findings;
use crate::{Client, Shard};

/// What one thread of callers returns.
#[derive(Debug)]
pub(crate) struct Driven {
    /// When the last command completed.
    pub(crate) at: Instant,
    pub(crate) findings: Option<Findings>,
    /// CPU time of the callers' thread during the measured time.
    pub(crate) cpu: Duration,
    /// Commands of an open loop that were due and that no caller was free to send.
    pub(crate) unsent: u64,
}

/// Runs the callers of one shard, on its thread. `number` is the shard's number among those of all clients.
pub(crate) async fn on_shard(
    shard: Shard,
    number: usize,
    plan: Arc<Plan>,
    watch: Arc<HandoffWatch>,
    begin: Instant,
) -> Driven {
    let overlap = watch.overlap(Some(number));
    let crew = Crew::new(plan, overlap, number, begin);
    let callers: Vec<_> = (0..crew.plan().workload.tasks)
        // Each clone of the handle is bound to the next connection of the pool.
        .map(|task| glommio::spawn_local(crew.caller(shard.clone(), task).run()))
        .collect();
    let watch = glommio::spawn_local(crew.clone().watch(shard));
    let mut finished = Vec::with_capacity(callers.len());
    for caller in callers {
        finished.push(caller.await);
    }
    watch.cancel().await;
    crew.finish(finished)
}

/// Runs the callers of one thread outside the shards, on the calling thread.
pub(crate) fn on_thread(
    client: &Client,
    plan: Arc<Plan>,
    watch: &HandoffWatch,
    thread: usize,
    begin: Instant,
) -> Driven {
    // Each handle is bound to one shard, and only the client knows which one.
    let crew = Crew::new(plan, watch.overlap(None), thread, begin);
    let timers = Timers::default();
    let door = || ClientDoor::new(client.clone(), timers.clone());
    let callers: Vec<crew::Member<Finished>> = (0..crew.plan().workload.tasks)
        .map(|task| Box::pin(crew.caller(door(), task).run()) as crew::Member<Finished>)
        .collect();
    let finished = crew::run(&timers, callers, crew.clone().watch(door()));
    crew.finish(finished)
}

/// The callers of one thread, with the channel on which empty recordings come back from the collector.
#[derive(Debug, Clone)]
struct Crew {
    common: Common,
    thread: usize,
    back: mpsc::Sender<Box<Interval>>,
    returned: Rc<mpsc::Receiver<Box<Interval>>>,
    /// When the last recording was handed to the collector.
    handed_out: Rc<Cell<Instant>>,
    /// CPU time of the thread at the start of the measured time.
    cpu_before: Rc<Cell<Duration>>,
}

impl Crew {
    fn new(plan: Arc<Plan>, overlap: Overlap, thread: usize, begin: Instant) -> Crew {
        let workload = &plan.workload;
        let open_loop = workload.rate.is_some();
        let common = Common {
            gate: Rc::new(Gate::new(workload, begin, thread, plan.shards)),
            recorder: Rc::new(RefCell::new(Recorder::new(open_loop, plan.kinds.names().len()))),
            overlap,
            plan,
        };
        if common.plan.is_stopped() {
            // The user stopped the run while the keys were written, so some keys may be missing.
            common.gate.close();
        }
        let (back, returned) = mpsc::channel();
        // The first exchange finds an empty recording ready.
        let _ = back.send(Box::new(Interval::new(open_loop, common.plan.kinds.names().len())));
        let cpu_before = Rc::new(Cell::new(thread_cpu()));
        let handed_out = Rc::new(Cell::new(common.gate.measured_from()));
        Crew { common, thread, back, returned: Rc::new(returned), handed_out, cpu_before }
    }

    fn plan(&self) -> &Plan {
        &self.common.plan
    }

    fn caller<D: Door>(&self, door: D, task: usize) -> Caller<D> {
        let number = self.thread * self.plan().workload.tasks + task;
        Caller::new(door, self.common.clone(), number as u64)
    }

    /// Runs until the callers have finished. It checks whether the user stops the run, and hands the recording to the
    /// collector at each tick.
    async fn watch(self, door: impl Door) {
        let from = self.common.gate.measured_from();
        while let Some(wait) = from.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            door.sleep(LOOK.min(wait)).await;
            self.look();
        }
        self.cpu_before.set(thread_cpu());
        let tick = self.plan().tick();
        let mut next = from + tick;
        loop {
            door.sleep(LOOK.min(next.saturating_duration_since(Instant::now()))).await;
            self.look();
            let now = Instant::now();
            if now >= next {
                while next <= now {
                    next += tick;
                }
                self.hand_out(door.connections());
            }
        }
    }

    /// Stops the callers if the user stopped the run.
    fn look(&self) {
        if self.plan().is_stopped() {
            self.common.gate.close();
        }
    }

    fn hand_out(&self, connections: Option<usize>) {
        let open_loop = self.plan().workload.rate.is_some();
        let empty = self.returned.try_recv();
        let kinds = self.plan().kinds.names().len();
        let empty = empty.unwrap_or_else(|_| Box::new(Interval::new(open_loop, kinds)));
        let interval = self.common.recorder.borrow_mut().exchange(empty);
        let (thread, back, now) = (self.thread, self.back.clone(), Instant::now());
        let span = (self.handed_out.replace(now).min(now), now);
        self.plan().report(Message::Recorded { thread, interval, back, connections, span });
    }

    fn finish(self, finished: Vec<Finished>) -> Driven {
        let cpu = thread_cpu().saturating_sub(self.cpu_before.get());
        self.hand_out(None);
        let gate = &self.common.gate;
        let mut at = gate.measured_from();
        let mut findings: Option<Findings> = None;
        for caller in finished {
            at = at.max(caller.at);
            if let Some(found) = caller.findings {
                findings.get_or_insert_with(Findings::default).add(found);
            }
        }
        Driven { at, findings, cpu, unsent: gate.unsent() }
    }
}

/// User and system time that the calling thread has used.
#[expect(unsafe_code, reason = "the thread's own clock, which the standard library does not read")]
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`, which `time` is, and keeps no reference to it.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    match (answer, u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (0, Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    }
}
