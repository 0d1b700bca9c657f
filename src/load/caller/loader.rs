//! Writes every key once before a run that reads.

use std::sync::Arc;
use std::time::Duration;

use super::target::{self, ReplyOf, Target};
use super::verify::{LOADED, Slice};
use crate::Error;
use crate::load::plan::{Plan, RunEvent};
use crate::load::workload::keys::KeyText;
use crate::load::workload::values::{Signature, splitmix64};

/// Writes the keys of `slice`.
pub(crate) async fn load(target: impl Target, plan: Arc<Plan>, slice: Slice) -> Result<(), Error> {
    let mut loader = Loader {
        rng: fastrand::Rng::with_seed(splitmix64(plan.workload.seed ^ slice.first)),
        key: KeyText::new(&plan.workload.key_prefix, plan.workload.key_minimum),
        value: Vec::new(),
        plan,
    };
    let fit = BATCH.1 / loader.plan.workload.values.max.max(1);
    let batch = fit.clamp(1, BATCH.0) as u64;
    let mut first = 0;
    while first < slice.count && !loader.plan.is_stopped() {
        let last = slice.count.min(first + batch);
        let mut left: Vec<u64> = (first..last).map(|index| slice.key(index)).collect();
        for tries_left in (0..TRIES).rev() {
            match loader.write(&target, &mut left).await {
                None => break,
                Some(error) if tries_left == 0 => return Err(error),
                Some(_) => target.sleep(PAUSE).await,
            }
        }
        loader.plan.send(RunEvent::Loaded(last - first));
        first = last;
    }
    Ok(())
}

struct Loader {
    plan: Arc<Plan>,
    rng: fastrand::Rng,
    key: KeyText,
    value: Vec<u8>,
}

impl Loader {
    /// Writes `keys`, leaves those that failed in it, and returns one of the errors.
    async fn write(&mut self, target: &impl Target, keys: &mut Vec<u64>) -> Option<Error> {
        let replies: Vec<_> = keys.drain(..).map(|key| (key, self.set(target, key))).collect();
        let mut failure = None;
        for (key, reply) in replies {
            if let Err(error) = reply.await {
                keys.push(key);
                failure = Some(error);
            }
        }
        failure
    }

    fn set<T: Target>(&mut self, target: &T, key: u64) -> ReplyOf<T, ()> {
        let (on, ttl) = (target.commands(), self.plan.workload.ttl);
        if self.plan.workload.verify {
            let signature = Signature { key, version: LOADED, run: self.plan.run };
            signature.write(self.plan.workload.form(), &mut self.value);
            return target::set(on, self.key.write(key), &self.value, ttl);
        }
        let value = self.plan.filler.next(&mut self.rng, &mut self.value);
        target::set(on, self.key.write(key), value, ttl)
    }
}

/// The largest number of keys that one handle writes at a time, and the largest sum of their values in bytes.
const BATCH: (usize, usize) = (256, 4 << 20);
/// Attempts for a batch. A `SET` of the same value is idempotent, so it may be repeated.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);
