//! One concurrent caller: choose, send, wait, record; over and over until the gate closes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::door::Door;
use super::gate::Gate;
use super::handoffs::Overlap;
use super::keys::{KeyChooser, KeyText};
use super::plan::Plan;
use super::recorder::{Failure, Recorder};
use super::template::Template;
use super::values::mix;
use super::verify::{Findings, Slice, Verifier, Written};
use super::workload::Mix;
use crate::{Error, ErrorKind, Outcome, cmd};

/// With checking on, a caller increments the audit counter once in this many commands.
const AUDIT_EVERY: u32 = 16;
/// How long a caller sleeps at most before it looks at the gate again.
const NAP: Duration = Duration::from_millis(100);
/// After a failure a caller waits a little, twice as long each time, so that an endpoint that is
/// away is not drowned in commands that cannot succeed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What the callers of one thread share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) plan: Arc<Plan>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) recorder: Rc<RefCell<Recorder>>,
    pub(crate) overlap: Overlap,
}

/// What a caller brings home.
#[derive(Debug)]
pub(crate) struct Finished {
    /// When its last command was completed.
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
    value: Vec<u8>,
    verifier: Option<Verifier>,
    until_audit: u32,
    pending: Vec<Pending<D>>,
    /// The last answer, or the first command sent since.
    waiting_since: Instant,
    /// Whether commands have failed since the last answer.
    losing: bool,
    backoff: Duration,
}

/// The mix, prepared for the loop.
#[derive(Debug)]
enum What {
    Ratio { set: u64, all: u64 },
    Command(Template),
}

/// A command on its way.
enum Pending<D: Door> {
    Get { reply: D::Reply<Option<Bytes>>, index: u64 },
    Set { reply: D::Reply<()>, index: u64, version: u32 },
    Incr { reply: D::Reply<i64> },
    Other { reply: D::Reply<()> },
}

/// Commands that go out together.
#[derive(Debug, Clone, Copy)]
struct Batch {
    commands: usize,
    intended: Instant,
    sent: Instant,
}

impl<D: Door> Caller<D> {
    /// Caller `number` of the whole run.
    pub(crate) fn new(door: D, common: Common, number: u64) -> Caller<D> {
        let workload = &common.plan.workload;
        let callers = common.plan.callers();
        let verifier = workload.verify.then(|| {
            let slice = Slice::of(workload.key_space, number, callers);
            Verifier::new(common.plan.run, workload.values, slice, workload.loads())
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
            Mix::Command(template) => What::Command(template.clone()),
        };
        Caller {
            what,
            rng: fastrand::Rng::with_seed(mix(workload.seed ^ mix(number))),
            keys: KeyChooser::new(workload.keys, keys, part, parts),
            key: KeyText::new(),
            value: Vec::new(),
            verifier,
            until_audit: AUDIT_EVERY,
            pending: Vec::with_capacity(workload.pipeline),
            waiting_since: common.gate.begin(),
            losing: false,
            backoff: BACKOFF.0,
            door,
            common,
        }
    }

    pub(crate) async fn run(mut self) -> Finished {
        let begin = self.common.gate.begin();
        let mut now = match self.wait_until(begin, Instant::now()).await {
            Some(now) => now,
            None => return self.finish(begin),
        };
        while let Some(batch) = self.next_batch(now).await {
            if !self.losing {
                self.waiting_since = batch.sent;
            }
            self.send(batch.commands);
            now = self.collect(batch).await;
            if self.losing {
                now = self.back_off(now).await;
            }
        }
        self.finish(now)
    }

    fn finish(self, at: Instant) -> Finished {
        if self.losing {
            let gap = at.saturating_duration_since(self.waiting_since);
            self.common.recorder.borrow_mut().gap(gap);
        }
        Finished { at, findings: self.verifier.map(Verifier::into_findings) }
    }

    /// Waits for this caller's next turn; `None` when the run is over.
    async fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        let gate = &self.common.gate;
        if gate.is_closed(now) {
            return None;
        }
        // Taken before the wait: nobody then waits for a turn that has nothing to send.
        let commands = gate.take(self.common.plan.workload.pipeline);
        if commands == 0 {
            return None;
        }
        match gate.next_arrival() {
            None => Some(Batch { commands, intended: now, sent: now }),
            Some(intended) => {
                let sent = self.wait_until(intended, now).await?;
                Some(Batch { commands, intended, sent })
            }
        }
    }

    /// Sleeps until `due` and says what time it is; `None` if the gate closes before.
    async fn wait_until(&self, due: Instant, mut now: Instant) -> Option<Instant> {
        let gate = &self.common.gate;
        if gate.is_closed(due) {
            return None;
        }
        while now < due {
            self.door.sleep(NAP.min(due - now)).await;
            now = Instant::now();
            if gate.is_closed(now) {
                return None;
            }
        }
        Some(now)
    }

    fn send(&mut self, commands: usize) {
        self.common.recorder.borrow_mut().issued(commands);
        for _ in 0..commands {
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
            What::Command(template) => {
                let key = self.key.write(index);
                let value = self.common.plan.filler.next(&mut self.rng);
                let mut command = Some(cmd(template.name()));
                template.fill(key, value, &mut self.value, |argument| {
                    command = command.take().map(|command| command.arg(argument));
                });
                let command = command.unwrap_or_else(|| cmd(template.name()));
                Pending::Other { reply: self.door.run(&command) }
            }
        }
    }

    fn send_set(&mut self, index: u64) -> Pending<D> {
        match &mut self.verifier {
            Some(verifier) => {
                let version = verifier.next_value(index, &mut self.value);
                let key = self.key.write(verifier.key(index));
                Pending::Set { reply: self.door.set(key, &self.value), index, version }
            }
            None => {
                let value = self.common.plan.filler.next(&mut self.rng);
                let reply = self.door.set(self.key.write(index), value);
                Pending::Set { reply, index, version: 0 }
            }
        }
    }

    /// Waits for the replies of a batch, in order, and says when the last one was there.
    async fn collect(&mut self, batch: Batch) -> Instant {
        let mut clock = Clock { at: batch.sent, is_due: true, is_always_due: D::ON_OTHER_THREADS };
        let mut pending = std::mem::take(&mut self.pending);
        for one in pending.drain(..) {
            match one {
                Pending::Get { reply, index } => {
                    let result = clock.settle(reply).await;
                    self.record(&batch, clock.at, result.as_ref().err());
                    self.got(index, result);
                }
                Pending::Set { reply, index, version } => {
                    let result = clock.settle(reply).await;
                    self.record(&batch, clock.at, result.as_ref().err());
                    if let Some(verifier) = &mut self.verifier {
                        verifier.set_done(index, version, written(&result));
                    }
                }
                Pending::Incr { reply } => {
                    let result = clock.settle(reply).await;
                    self.record(&batch, clock.at, result.as_ref().err());
                    if let Some(verifier) = &mut self.verifier {
                        match result {
                            Ok(count) => verifier.incr_answered(count),
                            Err(_) => verifier.incr_failed(written(&result)),
                        }
                    }
                }
                Pending::Other { reply } => {
                    let result = clock.settle(reply).await;
                    self.record(&batch, clock.at, result.as_ref().err());
                }
            }
        }
        // The empty vector keeps its room for the next batch.
        self.pending = pending;
        clock.at
    }

    fn got(&mut self, index: u64, result: Result<Option<Bytes>, Error>) {
        if let Ok(None) = result {
            self.common.recorder.borrow_mut().missing();
        }
        if let (Some(verifier), Ok(reply)) = (&mut self.verifier, &result) {
            verifier.get_answered(index, reply.as_deref());
        }
    }

    fn record(&mut self, batch: &Batch, now: Instant, error: Option<&Error>) {
        let mut recorder = self.common.recorder.borrow_mut();
        let Some(error) = error else {
            let latency = now.saturating_duration_since(batch.intended);
            recorder.answered(latency, now.saturating_duration_since(batch.sent));
            if self.common.overlap.holds(batch.intended) {
                recorder.in_handoff(latency);
            }
            recorder.gap(now.saturating_duration_since(self.waiting_since));
            self.waiting_since = now;
            self.losing = false;
            self.backoff = BACKOFF.0;
            return;
        };
        let failure = Failure {
            kind: error.kind().name(),
            ambiguous: error.outcome() == Outcome::Ambiguous,
            timed_out: error.kind() == ErrorKind::Timeout,
        };
        recorder.failed(failure, error);
        // An error reply is a reply: the endpoint is there, so there is nothing to wait for.
        self.losing |= error.outcome() != Outcome::Answered;
        if let (Some(verifier), ErrorKind::ReplyType) = (&mut self.verifier, error.kind()) {
            verifier.wrong_type(error);
        }
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

/// The time of the last reply. It is read as seldom as it can be: replies that came in together
/// were there at the same time.
struct Clock {
    at: Instant,
    is_due: bool,
    is_always_due: bool,
}

impl Clock {
    /// Waits for a reply, and notes when it was there.
    async fn settle<T>(
        &mut self,
        mut reply: impl Future<Output = Result<T, Error>> + Unpin,
    ) -> Result<T, Error> {
        let result = poll_fn(|context| {
            let polled = Pin::new(&mut reply).poll(context);
            self.is_due |= polled.is_pending();
            polled
        })
        .await;
        if self.is_due || self.is_always_due {
            self.at = Instant::now();
            self.is_due = false;
        }
        result
    }
}

/// Whether a write was executed, judged by its result.
fn written<T>(result: &Result<T, Error>) -> Written {
    match result {
        Ok(_) => Written::Yes,
        // A reply of the wrong type may be another command's; nobody knows what became of this one.
        Err(error) if error.kind() == ErrorKind::ReplyType => Written::Perhaps,
        Err(error) => match error.outcome() {
            Outcome::Unsent | Outcome::Answered => Written::No,
            Outcome::Ambiguous => Written::Perhaps,
        },
    }
}
