//! The channel between threads, and the letters that what stands on it sends.

use loom::sync;

#[path = "../../src/shard/channel.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
pub(crate) mod channel;
#[path = "../../src/shard/foreign.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
mod foreign;
pub(crate) mod mailbox;

mod models;
