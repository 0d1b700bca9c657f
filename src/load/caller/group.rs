//! One thread of callers: it starts them together, hands their measurements to the collector, and waits for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::budget::SendBudget;
use super::executor::{self, Timers};
use super::target::{ClientTarget, Target};
use super::{Caller, CallerOutcome, ThreadContext};
use crate::load::machine::thread_cpu;
use crate::load::plan::{Plan, RunEvent, STOP_CHECK};
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::{HandoffWatch, Overlap};
use crate::load::recording::recorder::{Recorder, Recording};
use crate::{Client, Shard};

/// What one thread of callers returns.
#[derive(Debug)]
pub(crate) struct ThreadOutcome {
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
) -> ThreadOutcome {
    let overlap = watch.overlap(Some(number));
    let group = CallerGroup::new(plan, overlap, number, begin);
    let callers: Vec<_> = (0..group.plan().workload.tasks)
        // Each clone of the handle is bound to the next connection of the pool.
        .map(|task| glommio::spawn_local(group.caller(shard.clone(), task).run()))
        .collect();
    let watch = glommio::spawn_local(group.clone().watch(shard));
    let mut finished = Vec::with_capacity(callers.len());
    for caller in callers {
        finished.push(caller.await);
    }
    watch.cancel().await;
    group.finish(finished)
}

/// Runs the callers of one thread outside the shards, on the calling thread.
pub(crate) fn on_thread(
    client: &Client,
    plan: Arc<Plan>,
    watch: &HandoffWatch,
    thread: usize,
    begin: Instant,
) -> ThreadOutcome {
    // Each handle is bound to one shard, and only the client knows which one.
    let group = CallerGroup::new(plan, watch.overlap(None), thread, begin);
    let timers = Timers::default();
    let target = || ClientTarget::new(client.clone(), timers.clone());
    let callers: Vec<executor::Task<CallerOutcome>> = (0..group.plan().workload.tasks)
        .map(|task| Box::pin(group.caller(target(), task).run()) as executor::Task<CallerOutcome>)
        .collect();
    let finished = executor::run(&timers, callers, group.clone().watch(target()));
    group.finish(finished)
}

/// The callers of one thread, with the channel on which empty recordings come back from the collector.
#[derive(Debug, Clone)]
struct CallerGroup {
    context: ThreadContext,
    thread: usize,
    back: mpsc::Sender<Box<Recording>>,
    returned: Rc<mpsc::Receiver<Box<Recording>>>,
    /// When the last recording was handed to the collector.
    handed_out: Rc<Cell<Instant>>,
    /// CPU time of the thread at the start of the measured time.
    cpu_before: Rc<Cell<Duration>>,
}

impl CallerGroup {
    fn new(plan: Arc<Plan>, overlap: Overlap, thread: usize, begin: Instant) -> CallerGroup {
        let workload = &plan.workload;
        let open_loop = workload.rate.is_some();
        let context = ThreadContext {
            budget: Rc::new(SendBudget::new(workload, begin, thread, plan.shards)),
            recorder: Rc::new(RefCell::new(Recorder::new(open_loop, plan.kinds.names().len()))),
            overlap,
            plan,
        };
        if context.plan.is_stopped() {
            // The user stopped the run while the keys were written, so some keys may be missing.
            context.budget.stop();
        }
        let (back, returned) = mpsc::channel();
        // The first exchange finds an empty recording ready.
        let _ = back.send(Box::new(Recording::new(open_loop, context.plan.kinds.names().len())));
        let cpu_before = Rc::new(Cell::new(thread_cpu()));
        let handed_out = Rc::new(Cell::new(context.budget.measured_from()));
        CallerGroup { context, thread, back, returned: Rc::new(returned), handed_out, cpu_before }
    }

    fn plan(&self) -> &Plan {
        &self.context.plan
    }

    fn caller<D: Target>(&self, target: D, task: usize) -> Caller<D> {
        let number = self.thread * self.plan().workload.tasks + task;
        Caller::new(target, self.context.clone(), number as u64)
    }

    /// Runs until the callers have finished. It checks whether the user stops the run, and hands the recording to the
    /// collector at each tick.
    async fn watch(self, target: impl Target) {
        let from = self.context.budget.measured_from();
        while let Some(wait) = from.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            target.sleep(STOP_CHECK.min(wait)).await;
            self.check_stop();
        }
        self.cpu_before.set(thread_cpu());
        let tick = self.plan().tick();
        let mut next = from + tick;
        loop {
            target.sleep(STOP_CHECK.min(next.saturating_duration_since(Instant::now()))).await;
            self.check_stop();
            let now = Instant::now();
            if now >= next {
                while next <= now {
                    next += tick;
                }
                self.hand_out(target.connections());
            }
        }
    }

    /// Stops the callers if the user stopped the run.
    fn check_stop(&self) {
        if self.plan().is_stopped() {
            self.context.budget.stop();
        }
    }

    fn hand_out(&self, connections: Option<usize>) {
        let open_loop = self.plan().workload.rate.is_some();
        let empty = self.returned.try_recv();
        let kinds = self.plan().kinds.names().len();
        let empty = empty.unwrap_or_else(|_| Box::new(Recording::new(open_loop, kinds)));
        let recording = self.context.recorder.borrow_mut().exchange(empty);
        let (thread, back, now) = (self.thread, self.back.clone(), Instant::now());
        let span = (self.handed_out.replace(now).min(now), now);
        self.plan().send(RunEvent::Recorded { thread, recording, back, connections, span });
    }

    fn finish(self, finished: Vec<CallerOutcome>) -> ThreadOutcome {
        let cpu = thread_cpu().saturating_sub(self.cpu_before.get());
        self.hand_out(None);
        let budget = &self.context.budget;
        let mut at = budget.measured_from();
        let mut findings: Option<Findings> = None;
        for caller in finished {
            at = at.max(caller.at);
            if let Some(found) = caller.findings {
                findings.get_or_insert_with(Findings::default).add(found);
            }
        }
        ThreadOutcome { at, findings, cpu, unsent: budget.unsent() }
    }
}
