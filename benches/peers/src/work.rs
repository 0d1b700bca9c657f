//! [`Work`]: chooses each next command and its keys, and checks the reply; and [`Peer`]: the interface of a client under
//! test.

use std::sync::Arc;

use bytes::Bytes;

use crate::plan::{Command, MGET_KEYS, Plan};

/// A client under test. The methods return the total length of the values in the reply, and panic on a failure.
pub trait Peer {
    fn get(&mut self, key: &str) -> impl Future<Output = usize>;
    fn set(&mut self, key: &str, value: &Bytes) -> impl Future<Output = ()>;
    fn mget(&mut self, keys: &[String]) -> impl Future<Output = usize>;
    /// GETs of all these keys, in the way in which this client sends several commands at once.
    fn pipeline(&mut self, keys: &[String]) -> impl Future<Output = usize>;
}

/// What all callers of a run have in common.
pub struct Material {
    pub command: Command,
    pub pipeline: usize,
    /// All keys, followed by the first ones again, so that any run of keys is a slice.
    keys: Box<[String]>,
    distinct: usize,
    pub value: Bytes,
}

impl Material {
    pub fn new(plan: &Plan) -> Material {
        let run = MGET_KEYS.max(plan.pipeline);
        let keys = (0..plan.keys + run).map(|index| key(index % plan.keys)).collect();
        let value = Bytes::from(vec![b'v'; plan.value]);
        Material { command: plan.command, pipeline: plan.pipeline, keys, distinct: plan.keys, value }
    }

    pub fn keys(&self, from: usize, count: usize) -> &[String] {
        &self.keys[from..from + count]
    }

    pub fn distinct(&self) -> usize {
        self.distinct
    }
}

pub fn key(index: usize) -> String {
    format!("key:{index:012}")
}

/// One caller's sequence of commands: the same for every client.
pub struct Work {
    material: Arc<Material>,
    random: u64,
    until_set: u32,
}

impl Work {
    pub fn new(material: Arc<Material>, caller: usize) -> Work {
        // Each caller has its own sequence, and starts at another place of the mix.
        let random = (caller as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Work { material, random, until_set: caller as u32 % MIX_ROUNDS }
    }

    /// Runs one round: a command or a pipeline, and the check of the reply.
    pub async fn round(&mut self, peer: &mut impl Peer) {
        let from = self.next_key();
        let is_set = self.is_set();
        let material = &*self.material;
        let length = material.value.len();
        if is_set {
            return peer.set(&material.keys[from], &material.value).await;
        }
        let (received, expected) = match material.command {
            Command::Mget => (peer.mget(material.keys(from, MGET_KEYS)).await, MGET_KEYS * length),
            _ if material.pipeline > 1 => {
                let count = material.pipeline;
                (peer.pipeline(material.keys(from, count)).await, count * length)
            }
            _ => (peer.get(&material.keys[from]).await, length),
        };
        assert_eq!(received, expected, "bytes of values");
    }

    /// Whether the round is a SET.
    pub fn is_set(&mut self) -> bool {
        match self.material.command {
            Command::Set => true,
            Command::Mix => {
                self.until_set = self.until_set.checked_sub(1).unwrap_or(MIX_ROUNDS - 1);
                self.until_set == 0
            }
            Command::Get | Command::Mget => false,
        }
    }

    /// The index of the first key of the next round.
    pub fn next_key(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 32) as usize * self.material.distinct) >> 32
    }
}

const MIX_ROUNDS: u32 = 11;
