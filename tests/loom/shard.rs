//! The channel between threads, and the letters that what stands on it sends.

#[path = "../../src/shard/channel.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
pub(crate) mod channel;
pub(crate) mod mailbox;

mod models;
