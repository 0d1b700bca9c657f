//! One group of callers: it starts them together, hands their measurements to the collector, and waits for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::budget::SendBudget;
use super::executor::{self, Timers};
use super::recorders::{LocalRecorder, Recorders};
use super::target::{ClientTarget, Target};
use super::{Caller, CallerOutcome, GroupContext};
use crate::load::machine::thread_cpu;
use crate::load::plan::{Plan, RunEvent, STOP_CHECK};
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::{HandoffWatch, Overlap};
use crate::load::recording::recorder::Recording;
use crate::{Client, Shard};

/// What one group of callers returns.
#[derive(Debug)]
pub(crate) struct ThreadOutcome {
    /// When the last command completed.
    pub(crate) at: Instant,
    pub(crate) findings: Option<Findings>,
    /// CPU time of the callers' thread during the measured time, if they have one of their own.
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
    let group = CallerGroup::new(plan, overlap, LocalRecorder::new, number, begin);
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
    let group = CallerGroup::new(plan, watch.overlap(None), LocalRecorder::new, thread, begin);
    let timers = Timers::default();
    let target = || ClientTarget::new(client.clone(), timers.clone());
    let callers: Vec<executor::Task<CallerOutcome>> = (0..group.plan().workload.tasks)
        .map(|task| Box::pin(group.caller(target(), task).run()) as executor::Task<CallerOutcome>)
        .collect();
    let finished = executor::run(&timers, callers, group.clone().watch(target()));
    group.finish(finished)
}

/// The callers of one shard, or of one thread outside the shards.
#[derive(Debug, Clone)]
pub(super) struct CallerGroup<R> {
    context: GroupContext<R>,
    /// The group's number, which is that of its shard.
    thread: usize,
    exchange: Arc<Mutex<Exchange>>,
}

/// What a group needs to hand its recordings to the collector.
#[derive(Debug)]
struct Exchange {
    back: mpsc::Sender<Box<Recording>>,
    /// Empty recordings that come back from the collector.
    returned: mpsc::Receiver<Box<Recording>>,
    /// When the last recording was handed to the collector.
    handed_out: Instant,
    /// CPU time of the thread at the start of the measured time.
    cpu_before: Duration,
}

impl<R: Recorders> CallerGroup<R> {
    /// A group whose callers begin at `begin`. `record` makes the place where they record.
    pub(super) fn new(
        plan: Arc<Plan>,
        overlap: Overlap,
        record: impl FnOnce(&Plan) -> R,
        thread: usize,
        begin: Instant,
    ) -> CallerGroup<R> {
        let workload = &plan.workload;
        let open_loop = workload.rate.is_some();
        let context = GroupContext {
            budget: Arc::new(SendBudget::new(workload, begin, thread, plan.shards)),
            recorders: record(&plan),
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
        let handed_out = context.budget.measured_from();
        let exchange = Exchange { back, returned, handed_out, cpu_before: thread_cpu() };
        CallerGroup { context, thread, exchange: Arc::new(Mutex::new(exchange)) }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.context.plan
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn caller<D: Target<Recorders = R>>(&self, target: D, task: usize) -> Caller<D> {
        let number = self.thread * self.plan().workload.tasks + task;
        Caller::new(target, self.context.clone(), number as u64)
    }

    /// Runs until the callers have finished. It checks whether the user stops the run, and hands the recording to the
    /// collector at each tick.
    pub(super) async fn watch(self, target: impl Target) {
        let from = self.context.budget.measured_from();
        while let Some(wait) = from.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            target.sleep(STOP_CHECK.min(wait)).await;
            self.check_stop();
        }
        self.exchange().cpu_before = thread_cpu();
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
        let kinds = self.plan().kinds.names().len();
        let mut exchange = self.exchange();
        let empty = exchange.returned.try_recv();
        let empty = empty.unwrap_or_else(|_| Box::new(Recording::new(open_loop, kinds)));
        let recording = self.context.recorders.exchange(empty);
        let (thread, back, now) = (self.thread, exchange.back.clone(), Instant::now());
        let span = (std::mem::replace(&mut exchange.handed_out, now).min(now), now);
        self.plan().send(RunEvent::Recorded { thread, recording, back, connections, span });
    }

    pub(super) fn finish(self, finished: Vec<CallerOutcome>) -> ThreadOutcome {
        let cpu = thread_cpu().saturating_sub(self.exchange().cpu_before);
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
