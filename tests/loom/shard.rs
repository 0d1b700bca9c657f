//! The channel between threads, and requests that the client sends through it.

use loom::sync;

#[path = "../../src/shard/channel.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
pub(crate) mod channel;
#[path = "../../src/driver/foreign.rs"]
#[expect(dead_code, reason = "the crate uses more of it")]
mod foreign;
pub(crate) mod mailbox;

mod models;
