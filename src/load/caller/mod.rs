//! One concurrent caller. It chooses a batch of commands, sends it, waits for the replies and records them, until its
//! send budget ends.

mod batch;
pub(crate) mod budget;
pub(crate) mod executor;
pub(crate) mod group;
#[cfg(feature = "tokio")]
pub(crate) mod in_tokio;
pub(crate) mod loader;
mod pacer;
mod recorders;
mod reply_clock;
mod send;
mod target;
#[cfg(feature = "tokio")]
mod timers;
pub(crate) mod verify;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::plan::Plan;
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::Overlap;
use crate::load::recording::recorder::{Answers, Failure};
use crate::load::workload::keys::{KeyChooser, KeyText};
use crate::load::workload::kinds::{GET, INCR, SET};
use crate::load::workload::mix::Mix;
use crate::load::workload::values::splitmix64;
use crate::{Error, ErrorKind, Outcome};
use batch::{Batch, Pending, written};
use budget::SendBudget;
use recorders::Recorders;
use reply_clock::ReplyClock;
use target::Target;
use verify::{Slice, Verifier};
use wire::ReplySize;

/// What the callers of one group share.
#[derive(Debug, Clone)]
pub(crate) struct GroupContext<R> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) budget: Arc<SendBudget>,
    pub(crate) recorders: R,
    pub(crate) overlap: Overlap,
}

/// What a caller returns.
#[derive(Debug)]
pub(crate) struct CallerOutcome {
    /// When its last command completed.
    pub(crate) at: Instant,
    pub(crate) findings: Option<Findings>,
}

/// One caller of a run, which [`Caller::run`] completes.
///
/// It has at most one batch in flight, and checks and records the replies in the order of their commands. Every command
/// that it sends is recorded exactly once, as answered or as failed, unless it ends during the warm-up. A caller never
/// blocks its thread: it only waits for replies and for timers of its [`Target`].
pub(crate) struct Caller<T: Target> {
    target: T,
    context: GroupContext<T::Recorders>,
    mix: PreparedMix,
    rng: fastrand::Rng,
    keys: KeyChooser,
    key: KeyText,
    /// The keys of a command that takes several.
    more_keys: Vec<KeyText>,
    /// The next number for `{n}`.
    number: u64,
    value: Vec<u8>,
    argument: Vec<u8>,
    /// Apart, because most runs have none: what a caller keeps has to fit into a cache, 256 times.
    verifier: Option<Box<Verifier>>,
    until_audit: u32,
    pending: Vec<Pending<T>>,
    /// Answers of this kind that arrived at the same time and are not recorded yet.
    together: (usize, Answers),
    /// The time of the last answer, or of the first command that was sent since.
    waiting_since: Instant,
    /// Whether a command failed since the last answer.
    failing: bool,
    backoff: Duration,
}

/// The mix, prepared for the loop.
#[derive(Debug)]
enum PreparedMix {
    Ratio { set: u64, all: u64 },
    Commands,
}

impl<T: Target> Caller<T> {
    /// Caller `number` of the whole run.
    pub(crate) fn new(target: T, context: GroupContext<T::Recorders>, number: u64) -> Caller<T> {
        let workload = &context.plan.workload;
        let names = KeyText::new(&workload.key_prefix, workload.key_minimum);
        let callers = context.plan.callers();
        let verifier = workload.verify.then(|| {
            let slice = Slice::of(workload.key_space, number, callers);
            let verifier = Verifier::new(context.plan.run, workload.form(), slice, workload.loads());
            Box::new(verifier.with_names(names.clone()))
        });
        let keys = match workload.verify {
            true => Slice::of(workload.key_space, number, callers).count,
            false => workload.key_space,
        };
        let (part, parts) = if workload.verify { (0, 1) } else { (number, callers) };
        let mix = match &workload.mix {
            &Mix::Ratio { set, get } => {
                PreparedMix::Ratio { set: u64::from(set), all: u64::from(set) + u64::from(get) }
            }
            Mix::Commands(_) => PreparedMix::Commands,
        };
        Caller {
            mix,
            rng: fastrand::Rng::with_seed(splitmix64(workload.seed ^ splitmix64(number))),
            keys: KeyChooser::new(workload.keys.over(keys, workload.key_space), keys, part, parts),
            key: names,
            more_keys: Vec::new(),
            number,
            value: Vec::new(),
            argument: Vec::new(),
            verifier,
            until_audit: AUDIT_EVERY,
            pending: Vec::with_capacity(workload.pipeline),
            together: (GET, Answers::default()),
            waiting_since: context.budget.begin(),
            failing: false,
            backoff: BACKOFF.0,
            target,
            context,
        }
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "an async function would keep a second, unused copy of the caller"
    )]
    pub(crate) fn run(mut self) -> impl Future<Output = CallerOutcome> {
        async move {
            let begin = self.context.budget.begin();
            let mut now = match self.wait_until(begin + self.start_delay(), Instant::now()).await {
                Some(now) => now,
                None => return self.finish(begin),
            };
            while let Some(batch) = self.next_batch(now).await {
                if !self.failing {
                    self.waiting_since = batch.sent;
                }
                now = self.exchange(batch).await;
                if self.failing {
                    now = self.back_off(now).await;
                }
                if !self.context.plan.workload.think.is_zero() {
                    match self.wait_until(now + self.context.plan.workload.think, now).await {
                        Some(later) => now = later,
                        None => break,
                    }
                }
            }
            self.finish(now)
        }
    }

    /// Callers with a think time do not all start at once: their starts are spread over the think time.
    fn start_delay(&self) -> Duration {
        let plan = &self.context.plan;
        plan.workload.think.mul_f64(self.number as f64 / plan.callers().max(1) as f64)
    }

    fn finish(self, at: Instant) -> CallerOutcome {
        if self.failing && at > self.context.budget.measured_from() {
            let gap = self.waited(at);
            self.context.recorders.with(|recorder| recorder.gap(gap));
        }
        CallerOutcome { at, findings: self.verifier.map(|verifier| verifier.into_findings()) }
    }

    /// The part of the measured time in which this caller got no answer.
    fn waited(&self, now: Instant) -> Duration {
        let since = match self.failing {
            true => self.waiting_since.max(self.context.budget.measured_from()),
            false => self.waiting_since,
        };
        now.saturating_duration_since(since)
    }

    /// Waits until this caller may send its next batch; `None` when the run is over.
    async fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        let budget = &self.context.budget;
        if budget.is_over(now) {
            return None;
        }
        let due = budget.next_arrival();
        let intended = due.unwrap_or(now);
        let at = intended.max(now);
        // Taken before the wait, so that no caller waits for the intended time of commands that another caller has
        // taken.
        let commands = budget.take(self.context.plan.workload.pipeline, at);
        if commands == 0 {
            return None;
        }
        let measured = at >= budget.measured_from();
        let sent = match due {
            Some(due) => self.wait_until(due, now).await?,
            None => now,
        };
        Some(Batch { commands, intended, sent, measured })
    }

    /// Sleeps until `due` and returns the time; `None` if the run ends before.
    ///
    /// It borrows the caller exclusively: in tokio the future may change its thread, and replies cannot be shared by threads.
    async fn wait_until(&mut self, due: Instant, mut now: Instant) -> Option<Instant> {
        let budget = &self.context.budget;
        while !budget.is_over(due) {
            if now >= due {
                return Some(now);
            }
            self.target.sleep(SLEEP_MAX.min(due - now)).await;
            now = Instant::now();
        }
        None
    }

    /// Sends a batch, waits for the replies in order, and returns the time of the last one.
    async fn exchange(&mut self, batch: Batch) -> Instant {
        if batch.measured {
            self.context.recorders.with(|recorder| recorder.issued(batch.commands));
        }
        let mut clock = ReplyClock::new(batch.sent, T::ON_OTHER_THREADS);
        if batch.commands == 1 {
            // Without the vector, whose memory no caller has in its cache.
            let one = self.send_one();
            self.settle(one, &batch, &mut clock).await;
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend((0..batch.commands).map(|_| self.send_one()));
            for one in pending.drain(..) {
                self.settle(one, &batch, &mut clock).await;
            }
            // The empty vector keeps its capacity for the next batch.
            self.pending = pending;
        }
        self.record_together(&batch, clock.at);
        clock.at
    }

    /// Waits for a reply, checks it, and records it.
    async fn settle(&mut self, one: Pending<T>, batch: &Batch, clock: &mut ReplyClock) {
        match one {
            Pending::Get { reply, index } => {
                let result = clock.settle(reply, |at| self.record_together(batch, at)).await;
                let sent = wire::get(self.key.as_bytes().len());
                let received = result.as_ref().map(|value| ReplySize::value(value.as_deref()));
                self.record(batch, clock.at, (GET, sent), received);
                if let (Some(verifier), Ok(value)) = (&mut self.verifier, &result) {
                    verifier.get_answered(index, value.as_deref());
                }
            }
            Pending::Set { reply, index, version, bytes } => {
                let result = clock.settle(reply, |at| self.record_together(batch, at)).await;
                self.record(batch, clock.at, (SET, bytes), result.as_ref().map(|()| ReplySize::OK));
                if let Some(verifier) = &mut self.verifier {
                    verifier.set_done(index, version, written(&result));
                }
            }
            Pending::Incr { reply } => {
                let result = clock.settle(reply, |at| self.record_together(batch, at)).await;
                let bytes = wire::incr(self.context.plan.audit_key.len());
                let received = result.as_ref().map(|count| ReplySize::integer(*count));
                self.record(batch, clock.at, (INCR, bytes), received);
                if let Some(verifier) = &mut self.verifier {
                    match result {
                        Ok(count) => verifier.incr_answered(count),
                        Err(_) => verifier.incr_failed(written(&result)),
                    }
                }
            }
            Pending::Other { reply, kind, bytes } => {
                let result = clock.settle(reply, |at| self.record_together(batch, at)).await;
                self.record(batch, clock.at, (kind, bytes), result.as_ref().copied());
            }
        }
    }

    /// Whether a command that ended at this time is measured: not if it began and ended during the warm-up.
    fn counts(&self, batch: &Batch, ended: Instant) -> bool {
        batch.measured || ended >= self.context.budget.measured_from()
    }

    /// Notes that `commands` commands ended; returns whether they are measured.
    fn ended(&self, batch: &Batch, at: Instant, commands: u64) -> bool {
        let counts = self.counts(batch, at);
        if counts && !batch.measured {
            self.context.recorders.with(|recorder| recorder.carried_over(commands));
            self.context.budget.carried_over(commands);
        }
        counts
    }

    /// Records how a command of this kind and length ended.
    fn record(
        &mut self,
        batch: &Batch,
        now: Instant,
        (kind, sent): (usize, u64),
        result: Result<ReplySize, &Error>,
    ) {
        let error = match result {
            Ok(ReplySize { bytes, is_null }) => {
                let is_miss = is_null && self.context.plan.kinds.looks_up(kind);
                if self.together.0 != kind {
                    self.record_together(batch, now);
                    self.together.0 = kind;
                }
                self.together.1.note(sent, bytes, is_miss);
                return;
            }
            Err(error) => error,
        };
        self.record_together(batch, now);
        if self.ended(batch, now, 1) {
            let failure = Failure {
                kind: error.kind().name(),
                ambiguous: error.outcome() == Outcome::Ambiguous,
                timed_out: error.kind() == ErrorKind::Timeout,
            };
            let took = now.saturating_duration_since(batch.intended);
            self.context.recorders.with(|recorder| recorder.failed(kind, failure, took, error));
        }
        // An error reply proves that the endpoint is up, so the caller does not back off.
        self.failing |= error.outcome() != Outcome::Answered;
        if let (Some(verifier), ErrorKind::ReplyType) = (&mut self.verifier, error.kind()) {
            verifier.wrong_type(error);
        }
    }

    /// Records the answers of one kind that arrived at the same time.
    fn record_together(&mut self, batch: &Batch, at: Instant) {
        let (kind, answers) = (self.together.0, std::mem::take(&mut self.together.1));
        if answers.count == 0 {
            return;
        }
        if self.ended(batch, at, answers.count) {
            let latency = at.saturating_duration_since(batch.intended);
            let service = at.saturating_duration_since(batch.sent);
            let (in_handoff, gap) = (self.context.overlap.holds(batch.intended), self.waited(at));
            self.context.recorders.with(|recorder| {
                recorder.answered(kind, &answers, latency, service);
                if in_handoff {
                    recorder.in_handoff(latency, answers.count);
                }
                recorder.gap(gap);
            });
        }
        self.waiting_since = at;
        self.failing = false;
        self.backoff = BACKOFF.0;
    }

    async fn back_off(&mut self, now: Instant) -> Instant {
        if self.context.budget.is_over(now) {
            return now;
        }
        self.target.sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        Instant::now()
    }
}

/// With `verify`, one command in this many increments the audit counter.
const AUDIT_EVERY: u32 = 16;
/// A sleeping caller checks this often whether the run was stopped.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// After a failure a caller waits, twice as long each time: a server that is down is not flooded with commands that
/// cannot succeed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shard;

    fn size_of_future<F>(_: fn(Caller<Shard>) -> F) -> usize {
        size_of::<F>()
    }

    /// The callers of a run take turns. With 2 KiB each, of which a third was in use, a command of 256 callers cost 5 % more.
    #[test]
    fn callers_are_small() {
        let size = size_of_future(Caller::<Shard>::run);
        assert!(size <= 1300, "{size} bytes");
    }
}
