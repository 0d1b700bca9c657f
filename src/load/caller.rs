//! One concurrent caller. It chooses a batch of commands, sends it, waits for the replies and records them, until its
//! send budget ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::door::Door;
use super::gate::Gate;
use super::handoffs::Overlap;
use super::keys::{KeyChooser, KeyText};
use super::kinds::{GET, INCR, SET};
use super::mix::Mix;
use super::plan::Plan;
use super::recorder::{Answers, Failure, Recorder};
use super::reply_clock::ReplyClock;
use super::template::Filling;
use super::values::mix;
use super::verify::{Findings, Slice, Verifier, Written};
use super::wire::{self, Received};
use crate::{Error, ErrorKind, Outcome};

/// With `verify`, one command in this many increments the audit counter.
const AUDIT_EVERY: u32 = 16;
/// A sleeping caller checks this often whether the run was stopped.
const NAP: Duration = Duration::from_millis(100);
/// After a failure a caller waits, twice as long each time: a server that is down is not flooded with commands that
/// cannot succeed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What the callers of one thread share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) plan: Arc<Plan>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) recorder: Rc<RefCell<Recorder>>,
    pub(crate) overlap: Overlap,
}

/// What a caller returns.
#[derive(Debug)]
pub(crate) struct Finished {
    /// When its last command completed.
    pub(crate) at: Instant,
    pub(crate) findings: Option<Findings>,
}

pub(crate) struct Caller<D: Door> {
    door: D,
    common: Common,
    what: What,
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
    pending: Vec<Pending<D>>,
    /// Answers of each kind that arrived at the same time and are not recorded yet.
    together: Box<[Answers]>,
    /// The time of the last answer, or of the first command that was sent since.
    waiting_since: Instant,
    /// Whether a command failed since the last answer.
    losing: bool,
    backoff: Duration,
}

/// The mix, prepared for the loop.
#[derive(Debug)]
enum What {
    Ratio { set: u64, all: u64 },
    Commands,
}

/// A command in flight.
enum Pending<D: Door> {
    Get { reply: D::Reply<Option<Bytes>>, index: u64 },
    Set { reply: D::Reply<()>, index: u64, version: u32, bytes: u64 },
    Incr { reply: D::Reply<i64> },
    Other { reply: D::Reply<Received>, kind: usize, bytes: u64 },
}

/// Commands that are sent together.
#[derive(Debug, Clone, Copy)]
struct Batch {
    commands: usize,
    intended: Instant,
    sent: Instant,
    /// Whether it was sent after the warm-up.
    measured: bool,
}

impl<D: Door> Caller<D> {
    /// Caller `number` of the whole run.
    pub(crate) fn new(door: D, common: Common, number: u64) -> Caller<D> {
        let workload = &common.plan.workload;
        let names = KeyText::new(&workload.key_prefix, workload.key_minimum);
        let callers = common.plan.callers();
        let verifier = workload.verify.then(|| {
            let slice = Slice::of(workload.key_space, number, callers);
            Verifier::new(common.plan.run, workload.form(), slice, workload.loads()).naming(names.clone())
        });
        let keys = match workload.verify {
            true => Slice::of(workload.key_space, number, callers).count,
            false => workload.key_space,
        };
        let (part, parts) = if workload.verify { (0, 1) } else { (number, callers) };
        let what = match &workload.mix {
            &Mix::Ratio { set, get } => {
                What::Ratio { set: u64::from(set), all: u64::from(set) + u64::from(get) }
            }
            Mix::Commands(_) => What::Commands,
        };
        Caller {
            what,
            rng: fastrand::Rng::with_seed(mix(workload.seed ^ mix(number))),
            keys: KeyChooser::new(workload.keys.over(keys, workload.key_space), keys, part, parts),
            key: names,
            more_keys: Vec::new(),
            number,
            value: Vec::new(),
            argument: Vec::new(),
            verifier,
            until_audit: AUDIT_EVERY,
            pending: Vec::with_capacity(workload.pipeline),
            together: vec![Answers::default(); common.plan.kinds.names().len()].into(),
            waiting_since: common.gate.begin(),
            losing: false,
            backoff: BACKOFF.0,
            door,
            common,
        }
    }

    pub(crate) async fn run(mut self) -> Finished {
        let begin = self.common.gate.begin();
        let mut now = match self.wait_until(begin + self.head_start(), Instant::now()).await {
            Some(now) => now,
            None => return self.finish(begin),
        };
        while let Some(batch) = self.next_batch(now).await {
            if !self.losing {
                self.waiting_since = batch.sent;
            }
            self.send(batch);
            now = self.collect(batch).await;
            if self.losing {
                now = self.back_off(now).await;
            }
            if !self.common.plan.workload.think.is_zero() {
                match self.wait_until(now + self.common.plan.workload.think, now).await {
                    Some(later) => now = later,
                    None => break,
                }
            }
        }
        self.finish(now)
    }

    /// Callers with a think time do not all start at once: their starts are spread over the think time.
    fn head_start(&self) -> Duration {
        let plan = &self.common.plan;
        plan.workload.think.mul_f64(self.number as f64 / plan.callers().max(1) as f64)
    }

    fn finish(self, at: Instant) -> Finished {
        if self.losing && at > self.common.gate.measured_from() {
            self.common.recorder.borrow_mut().gap(self.waited(at));
        }
        Finished { at, findings: self.verifier.map(Verifier::into_findings) }
    }

    /// The part of the measured time in which this caller got no answer.
    fn waited(&self, now: Instant) -> Duration {
        let since = match self.losing {
            true => self.waiting_since.max(self.common.gate.measured_from()),
            false => self.waiting_since,
        };
        now.saturating_duration_since(since)
    }

    /// Waits until this caller may send its next batch; `None` when the run is over.
    async fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        let gate = &self.common.gate;
        if gate.is_closed(now) {
            return None;
        }
        let due = gate.next_arrival();
        let intended = due.unwrap_or(now);
        let at = intended.max(now);
        // Taken before the wait, so that no caller waits for the intended time of commands that another caller has
        // taken.
        let commands = gate.take(self.common.plan.workload.pipeline, at);
        if commands == 0 {
            return None;
        }
        let measured = at >= gate.measured_from();
        let sent = match due {
            Some(due) => self.wait_until(due, now).await?,
            None => now,
        };
        Some(Batch { commands, intended, sent, measured })
    }

    /// Sleeps until `due` and returns the time; `None` if the run ends before.
    async fn wait_until(&self, due: Instant, mut now: Instant) -> Option<Instant> {
        let gate = &self.common.gate;
        while !gate.is_closed(due) {
            if now >= due {
                return Some(now);
            }
            self.door.sleep(NAP.min(due - now)).await;
            now = Instant::now();
        }
        None
    }

    fn send(&mut self, batch: Batch) {
        if batch.measured {
            self.common.recorder.borrow_mut().issued(batch.commands);
        }
        for _ in 0..batch.commands {
            let pending = self.send_one();
            self.pending.push(pending);
        }
    }

    fn send_one(&mut self) -> Pending<D> {
        if self.verifier.is_some() {
            self.until_audit -= 1;
            if self.until_audit == 0 {
                self.until_audit = AUDIT_EVERY;
                let reply = self.door.incr(self.common.plan.audit_key.as_bytes());
                return Pending::Incr { reply };
            }
        }
        let index = self.keys.next(&mut self.rng);
        match &self.what {
            &What::Ratio { set, all } if self.rng.u64(..all) < set => self.send_set(index),
            What::Ratio { .. } => {
                let key = self.verifier.as_ref().map_or(index, |verifier| verifier.key(index));
                Pending::Get { reply: self.door.get(self.key.write(key)), index }
            }
            What::Commands => self.send_command(index),
        }
    }

    /// Sends one of the user's own commands; `index` is the first of its keys.
    fn send_command(&mut self, index: u64) -> Pending<D> {
        let plan = self.common.plan.clone();
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
        let (number, rng, room) = (self.number, &mut self.rng, &mut self.argument);
        self.number += plan.callers();
        let command = template.command(&mut Filling { keys: &self.more_keys, value, number, rng, room });
        let (kind, bytes) = (plan.kinds.of_share(share), command.encoded_len() as u64);
        Pending::Other { reply: self.door.run(&command), kind, bytes }
    }

    fn send_set(&mut self, index: u64) -> Pending<D> {
        let ttl = self.common.plan.workload.ttl;
        match &mut self.verifier {
            Some(verifier) => {
                let version = verifier.next_value(index, &mut self.value);
                let key = self.key.write(verifier.key(index));
                let bytes = wire::set(key.len(), self.value.len(), ttl);
                Pending::Set { reply: self.door.set(key, &self.value, ttl), index, version, bytes }
            }
            None => {
                let value = self.common.plan.filler.next(&mut self.rng, &mut self.value);
                let key = self.key.write(index);
                let bytes = wire::set(key.len(), value.len(), ttl);
                Pending::Set { reply: self.door.set(key, value, ttl), index, version: 0, bytes }
            }
        }
    }

    /// Waits for the replies of a batch in order, and returns the time of the last one.
    async fn collect(&mut self, batch: Batch) -> Instant {
        let mut clock = ReplyClock::new(batch.sent, D::ON_OTHER_THREADS);
        let get_bytes = wire::get(self.key.as_bytes().len());
        let mut pending = std::mem::take(&mut self.pending);
        for one in pending.drain(..) {
            match one {
                Pending::Get { reply, index } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    let received = result.as_ref().map(|value| Received::value(value.as_deref()));
                    self.record(&batch, clock.at, (GET, get_bytes), received);
                    if let (Some(verifier), Ok(value)) = (&mut self.verifier, &result) {
                        verifier.get_answered(index, value.as_deref());
                    }
                }
                Pending::Set { reply, index, version, bytes } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    self.record(&batch, clock.at, (SET, bytes), result.as_ref().map(|()| Received::OK));
                    if let Some(verifier) = &mut self.verifier {
                        verifier.set_done(index, version, written(&result));
                    }
                }
                Pending::Incr { reply } => {
                    let result = clock.settle(reply, |at| self.record_together(&batch, at)).await;
                    let bytes = wire::incr(self.common.plan.audit_key.len());
                    let received = result.as_ref().map(|count| Received::integer(*count));
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
        batch.measured || ended >= self.common.gate.measured_from()
    }

    /// Notes that `commands` commands ended; returns whether they are measured.
    fn ended(&self, batch: &Batch, at: Instant, commands: u64) -> bool {
        let counts = self.counts(batch, at);
        if counts && !batch.measured {
            self.common.recorder.borrow_mut().carried_over(commands);
            self.common.gate.carried_over(commands);
        }
        counts
    }

    /// Records how a command of this kind and length ended.
    fn record(
        &mut self,
        batch: &Batch,
        now: Instant,
        (kind, sent): (usize, u64),
        result: Result<Received, &Error>,
    ) {
        let error = match result {
            Ok(Received { bytes, is_null }) => {
                let is_miss = is_null && self.common.plan.kinds.looks_up(kind);
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
            self.common.recorder.borrow_mut().failed(kind, failure, took, error);
        }
        // An error reply proves that the endpoint is up, so the caller does not back off.
        self.losing |= error.outcome() != Outcome::Answered;
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
            let mut recorder = self.common.recorder.borrow_mut();
            let latency = at.saturating_duration_since(batch.intended);
            let service = at.saturating_duration_since(batch.sent);
            for (kind, answers) in self.together.iter().enumerate().filter(|(_, answers)| answers.count > 0) {
                recorder.answered(kind, answers, latency, service);
            }
            if self.common.overlap.holds(batch.intended) {
                recorder.in_handoff(latency, count);
            }
            recorder.gap(self.waited(at));
        }
        self.together.fill(Answers::default());
        self.waiting_since = at;
        self.losing = false;
        self.backoff = BACKOFF.0;
    }

    async fn back_off(&mut self, now: Instant) -> Instant {
        if self.common.gate.is_closed(now) {
            return now;
        }
        self.door.sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        Instant::now()
    }
}

/// Whether a write was executed, as far as its result shows.
fn written<T>(result: &Result<T, Error>) -> Written {
    match result {
        Ok(_) => Written::Yes,
        // A reply of the wrong type may belong to another command, so the outcome of this one is unknown.
        Err(error) if error.kind() == ErrorKind::ReplyType => Written::Perhaps,
        Err(error) => match error.outcome() {
            Outcome::Unsent | Outcome::Answered => Written::No,
            Outcome::Ambiguous => Written::Perhaps,
        },
    }
}
