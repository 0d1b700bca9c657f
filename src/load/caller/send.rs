//! What a caller sends: the next command of its mix.

use super::batch::Pending;
use super::target::{self, Target};
use super::{AUDIT_EVERY, Caller, PreparedMix, wire};
use crate::command::{Commands, Run};
use crate::load::workload::template::Filling;

impl<T: Target> Caller<T> {
    /// Chooses a command of the mix, and sends it.
    pub(super) fn send_one(&mut self) -> Pending<T> {
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
}
