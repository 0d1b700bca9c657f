//! How to embed it, in pages. Their examples are run by the tests, against an endpoint in the process.
//!
//! | page | what it is about |
//! |---|---|
//! | [`in_tokio`] | services on tokio, or another runtime of their own |
//! | [`in_threads`] | programs without a runtime |
//! | [`in_glommio`] | applications whose own executors are glommio's |
//! | [`sizing`] | how many shards and connections, and which bounds |
//! | [`failures`] | what happens to a command, whatever fails |
//! | [`rehearsing`] | maintenance on your own machine, and what other clients make of it |
//! | [`security`] | what a server may make a client do |
//! | [`moving_over`] | from redis-rs, fred, deadpool and the like |

#[doc = include_str!("manual/in_tokio.md")]
pub mod in_tokio {}

#[doc = include_str!("manual/in_threads.md")]
pub mod in_threads {}

#[doc = include_str!("manual/in_glommio.md")]
pub mod in_glommio {}

#[doc = include_str!("manual/sizing.md")]
pub mod sizing {}

#[doc = include_str!("manual/failures.md")]
pub mod failures {}

#[doc = include_str!("manual/rehearsing.md")]
pub mod rehearsing {}

#[doc = include_str!("manual/security.md")]
pub mod security {}

#[doc = include_str!("manual/moving_over.md")]
pub mod moving_over {}
