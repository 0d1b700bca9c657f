//! One thread of callers: starts them together, hands out what they record, waits for them.

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

/// What one thread of callers brings home.
#[derive(Debug)]
pub(crate) struct Driven {
    /// When the last command was completed.
    pub(crate) at: Instant,
    pub(crate) findings: Option<Findings>,
    /// CPU time of the callers' thread, while they ran.
    pub(crate) cpu: Duration,
}

/// Runs the callers of one shard, on it.
pub(crate) async fn on_shard(
    shard: Shard,
    plan: Arc<Plan>,
    watch: Arc<HandoffWatch>,
    begin: Instant,
) -> Driven {
    let overlap = watch.overlap(Some(shard.index()));
    let crew = Crew::new(plan, overlap, shard.index(), begin);
    let before = thread_cpu();
    let callers: Vec<_> = (0..crew.plan().workload.tasks)
        // A clone of the handle is bound to the next connection of the pool.
        .map(|task| glommio::spawn_local(crew.caller(shard.clone(), task).run()))
        .collect();
    let watch = glommio::spawn_local(crew.clone().watch(shard));
    let mut finished = Vec::with_capacity(callers.len());
    for caller in callers {
        finished.push(caller.await);
    }
    watch.cancel().await;
    crew.finish(finished, before)
}

/// Runs the callers of one thread outside the shards, on the calling thread.
pub(crate) fn on_thread(
    client: &Client,
    plan: Arc<Plan>,
    watch: &HandoffWatch,
    thread: usize,
    begin: Instant,
) -> Driven {
    // Each handle is bound to a shard of its own, which only the client knows.
    let crew = Crew::new(plan, watch.overlap(None), thread, begin);
    let before = thread_cpu();
    let timers = Timers::default();
    let door = || ClientDoor::new(client.clone(), timers.clone());
    let callers: Vec<crew::Member<Finished>> = (0..crew.plan().workload.tasks)
        .map(|task| Box::pin(crew.caller(door(), task).run()) as crew::Member<Finished>)
        .collect();
    let finished = crew::run(&timers, callers, crew.clone().watch(door()));
    crew.finish(finished, before)
}

/// The callers of one thread, and how their records get out.
#[derive(Debug, Clone)]
struct Crew {
    common: Common,
    thread: usize,
    back: mpsc::Sender<Box<Interval>>,
    returned: Rc<mpsc::Receiver<Box<Interval>>>,
    /// Until when was handed out what has been recorded.
    handed_out: Rc<Cell<Instant>>,
}

impl Crew {
    fn new(plan: Arc<Plan>, overlap: Overlap, thread: usize, begin: Instant) -> Crew {
        let workload = &plan.workload;
        let open_loop = workload.rate.is_some();
        let common = Common {
            gate: Rc::new(Gate::new(workload, begin, thread, plan.shards)),
            recorder: Rc::new(RefCell::new(Recorder::new(open_loop))),
            overlap,
            plan,
        };
        if common.plan.is_stopped() {
            // The user did not wait for the end of loading: the keys are not what they should be.
            common.gate.close();
        }
        let (back, returned) = mpsc::channel();
        // The first exchange finds an empty interval ready.
        let _ = back.send(Box::new(Interval::new(open_loop)));
        Crew { common, thread, back, returned: Rc::new(returned), handed_out: Rc::new(Cell::new(begin)) }
    }

    fn plan(&self) -> &Plan {
        &self.common.plan
    }

    fn caller<D: Door>(&self, door: D, task: usize) -> Caller<D> {
        let number = self.thread * self.plan().workload.tasks + task;
        Caller::new(door, self.common.clone(), number as u64)
    }

    /// Goes on for as long as the callers do: looks for the user's wish to stop, and hands out
    /// what was recorded at each tick.
    async fn watch(self, door: impl Door) {
        let tick = self.plan().tick();
        let mut next = self.common.gate.begin() + tick;
        loop {
            door.sleep(LOOK.min(next.saturating_duration_since(Instant::now()))).await;
            if self.plan().is_stopped() {
                self.common.gate.close();
            }
            let now = Instant::now();
            if now >= next {
                while next <= now {
                    next += tick;
                }
                self.hand_out(door.connections());
            }
        }
    }

    fn hand_out(&self, connections: Option<usize>) {
        let open_loop = self.plan().workload.rate.is_some();
        let empty = self.returned.try_recv();
        let empty = empty.unwrap_or_else(|_| Box::new(Interval::new(open_loop)));
        let interval = self.common.recorder.borrow_mut().exchange(empty);
        let (thread, back, now) = (self.thread, self.back.clone(), Instant::now());
        let span = (self.handed_out.replace(now).min(now), now);
        self.plan().report(Message::Recorded { thread, interval, back, connections, span });
    }

    fn finish(self, finished: Vec<Finished>, cpu_before: Duration) -> Driven {
        let cpu = thread_cpu().saturating_sub(cpu_before);
        self.hand_out(None);
        let mut at = self.common.gate.begin();
        let mut findings: Option<Findings> = None;
        for caller in finished {
            at = at.max(caller.at);
            if let Some(found) = caller.findings {
                findings.get_or_insert_with(Findings::default).add(found);
            }
        }
        Driven { at, findings, cpu }
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
