//! One concurrent caller. It chooses a batch of commands, sends it, waits for the replies and records them, until its
//! send budget ends.

mod batch;
pub(crate) mod budget;
pub(crate) mod executor;
pub(crate) mod group;
pub(crate) mod loader;
mod pacer;
mod reply_clock;
mod target;
pub(crate) mod verify;
mod wire;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::command::{Commands, Run};
use crate::load::plan::Plan;
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::Overlap;
use crate::load::recording::recorder::{Answers, Failure, Recorder};
use crate::load::workload::keys::{KeyChooser, KeyText};
use crate::load::workload::kinds::{GET, INCR, SET};
use crate::load::workload::mix::Mix;
use crate::load::workload::template::Filling;
use crate::load::workload::values::splitmix64;
use crate::{Error, ErrorKind, Outcome};
use batch::{Batch, Pending, written};
use budget::SendBudget;
use reply_clock::ReplyClock;
use target::Target;
use verify::{Slice, Verifier};
use wire::ReplySize;

/// What the callers of one thread share.
#[derive(Debug, Clone)]
pub(crate) struct ThreadContext {
    pub(crate) plan: Arc<Plan>,
    pub(crate) budget: Rc<SendBudget>,
    pub(crate) recorder: Rc<RefCell<Recorder>>,
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
    context: ThreadContext,
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
    verifier: Option<Verifier>,
    until_audit: u32,
    pending: Vec<Pending<T>>,
    /// Answers of each kind that arrived at the same time and are not recorded yet.
    together: Box<[Answers]>,
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
    pub(crate) fn new(target: T, context: ThreadContext, number: u64) -> Caller<T> {
        let workload = &context.plan.workload;
        let names = KeyText::new(&workload.key_prefix, workload.key_minimum);
        let callers = context.plan.callers();
        let verifier = workload.verify.then(|| {
            let slice = Slice::of(workload.key_space, number, callers);
            Verifier::new(context.plan.run, workload.form(), slice, workload.loads())
                .with_names(names.clone())
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
            together: vec![Answers::default(); context.plan.kinds.names().len()].into(),
            waiting_since: context.budget.begin(),
            failing: false,
            backoff: BACKOFF.0,
            target,
            context,
        }
    }

    pub(crate) async fn run(mut self) -> CallerOutcome {
        let begin = self.context.budget.begin();
        let mut now = match self.wait_until(begin + self.start_delay(), Instant::now()).await {
            Some(now) => now,
            None => return self.finish(begin),
        };
        while let Some(batch) = self.next_batch(now).await {
            if !self.failing {
                self.waiting_since = batch.sent;
            }
            self.send(batch);
            now = self.collect(batch).await;
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

    /// Callers with a think time do not all start at once: their starts are spread over the think time.
    fn start_delay(&self) -> Duration {
        let plan = &self.context.plan;
        plan.workload.think.mul_f64(self.number as f64 / plan.callers().max(1) as f64)
    }

    fn finish(self, at: Instant) -> CallerOutcome {
        if self.failing && at > self.context.budget.measured_from() {
            self.context.recorder.borrow_mut().gap(self.waited(at));
        }
        CallerOutcome { at, findings: self.verifier.map(Verifier::into_findings) }
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
    async fn wait_until(&self, due: Instant, mut now: Instant) -> Option<Instant> {
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

    fn send(&mut self, batch: Batch) {
        if batch.measured {
            self.context.recorder.borrow_mut().issued(batch.commands);
        }
        for _ in 0..batch.commands {
            let pending = self.send_one();
            self.pending.push(pending);
        }
    }

    fn send_one(&mut self) -> Pending<T> {
        if self.verifier.is_some() {
            self.until_audit -= 1;
            if self.until_audit == 0 {
                self.until_audit = AUDIT_EVERY;
                let reply = self.target.commands().incr(self.context.plan.audit_key.as_bytes());
                return Pending::Incr { reply };
            }
        }
        let index = self.keys.next(&mut self.rng);
        match &self.mix {
            &PreparedMix::Ratio { set, all } if self.rng.u64(..all) < set => self.send_set(index),
            PreparedMix::Ratio { .. } => {
                let key = self.verifier.as_ref().map_or(index, |verifier| verifier.key(index));
                Pending::Get { reply: self.target.commands().get(self.key.write(key)), index }
            }
            PreparedMix::Commands => self.send_command(index),
        }
    }

    /// Sends one of the user's own commands; `index` is the first of its keys.
    fn send_command(&mut self, index: u64) -> Pending<T> {
        let plan = self.context.plan.clone();
        // A workload without commands is rejected before the run.
        let Some((share, template)) = plan.workload.mix.choose(&mut self.rng) else {
            return self.send_set(index);
        };
        while self.more_keys.len() < template.keys() {
            self.more_keys.push(self.key.clone());
        }
        for (place, key) in self.more_keys.iter_mut().take(template.keys()).enumerate() {
            key.write(if place == 0 { index } else { self.keys.next(&mut self.rng) });
        }
        let value = match template.has_value() {
            true => plan.filler.next(&mut self.rng, &mut self.value),
            false => b"",
        };
        let (number, rng, buffer) = (self.number, &mut self.rng, &mut self.argument);
        self.number += plan.callers();
        let command = template.command(&mut Filling { keys: &self.more_keys, value, number, rng, buffer });
        let (kind, bytes) = (plan.kinds.of_share(share), command.encoded_len() as u64);
        Pending::Other { reply: self.target.commands().run(&command), kind, bytes }
    }

    fn send_set(&mut self, index: u64) -> Pending<T> {
        let ttl = self.context.plan.workload.ttl;
        match &mut self.verifier {
            Some(verifier) => {
                let version = verifier.next_value(index, &mut self.value);
                let key = self.key.write(verifier.key(index));
                let bytes = wire::set(key.len(), self.value.len(), ttl);
                Pending::Set {
                    reply: target::set(self.target.commands(), key, &self.value, ttl),
                    index,
                    version,
                    bytes,
                }
            }
            None => {
                let value = self.context.plan.filler.next(&mut self.rng, &mut self.value);
                let key = self.key.write(index);
                let bytes = wire::set(key.len(), value.len(), ttl);
                Pending::Set {
                    reply: target::set(self.target.commands(), key, value, ttl),
                    index,
                    version: 0,
                    bytes,
                }
            }
        }
    }

    /// Waits for the replies of a batch in order, and returns the time of the last one.
    async fn collect(&mut self, batch: Batch) -> Instant {
        let mut clock = ReplyClock::new(batch.sent, T::ON_OTHER_THREADS);
        let get_bytes = wire::get(self.key.as_bytes().len());
        let mut pending = std::mem::take(&mut self.pending);
        for one in pending.drain(..) {
            match one {
                Pending::Get { reply, index } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    let received = result.as_ref().map(|value| ReplySize::value(value.as_deref()));
                    self.record(&batch, clock.at, (GET, get_bytes), received);
                    if let (Some(verifier), Ok(value)) = (&mut self.verifier, &result) {
                        verifier.get_answered(index, value.as_deref());
                    }
                }
                Pending::Set { reply, index, version, bytes } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    self.record(&batch, clock.at, (SET, bytes), result.as_ref().map(|()| ReplySize::OK));
                    if let Some(verifier) = &mut self.verifier {
                        verifier.set_done(index, version, written(&result));
                    }
                }
                Pending::Incr { reply } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    let bytes = wire::incr(self.context.plan.audit_key.len());
                    let received = result.as_ref().map(|count| ReplySize::integer(*count));
                    self.record(&batch, clock.at, (INCR, bytes), received);
                    if let Some(verifier) = &mut self.verifier {
                        match result {
                            Ok(count) => verifier.incr_answered(count),
                            Err(_) => verifier.incr_failed(written(&result)),
                        }
                    }
                }
                Pending::Other { reply, kind, bytes } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    self.record(&batch, clock.at, (kind, bytes), result.as_ref().copied());
                }
            }
        }
        self.record_together(&batch, clock.at);
        // The empty vector keeps its capacity for the next batch.
        self.pending = pending;
        clock.at
    }

    /// Whether a command that ended at this time is measured: not if it began and ended during the warm-up.
    fn counts(&self, batch: &Batch, ended: Instant) -> bool {
        batch.measured || ended >= self.context.budget.measured_from()
    }

    /// Notes that `commands` commands ended; returns whether they are measured.
    fn ended(&self, batch: &Batch, at: Instant, commands: u64) -> bool {
        let counts = self.counts(batch, at);
        if counts && !batch.measured {
            self.context.recorder.borrow_mut().carried_over(commands);
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
                if let Some(answers) = self.together.get_mut(kind) {
                    answers.note(sent, bytes, is_miss);
                }
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
            self.context.recorder.borrow_mut().failed(kind, failure, took, error);
        }
        // An error reply proves that the endpoint is up, so the caller does not back off.
        self.failing |= error.outcome() != Outcome::Answered;
        if let (Some(verifier), ErrorKind::ReplyType) = (&mut self.verifier, error.kind()) {
            verifier.wrong_type(error);
        }
    }

    /// Records the answers that arrived at the same time, one record for each kind.
    fn record_together(&mut self, batch: &Batch, at: Instant) {
        let count = self.together.iter().map(|answers| answers.count).sum();
        if count == 0 {
            return;
        }
        if self.ended(batch, at, count) {
            let mut recorder = self.context.recorder.borrow_mut();
            let latency = at.saturating_duration_since(batch.intended);
            let service = at.saturating_duration_since(batch.sent);
            for (kind, answers) in self.together.iter().enumerate().filter(|(_, answers)| answers.count > 0) {
                recorder.answered(kind, answers, latency, service);
            }
            if self.context.overlap.holds(batch.intended) {
                recorder.in_handoff(latency, count);
            }
            recorder.gap(self.waited(at));
        }
        self.together.fill(Answers::default());
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
