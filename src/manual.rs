//! How to embed the client, rehearse maintenance, and use the command. The examples run as tests, against an endpoint in
//! the process.
//!
//! | page | what it is about |
//! |---|---|
//! | [`in_tokio`] | services on tokio, or another runtime of their own |
//! | [`in_threads`] | programs without a runtime |
//! | [`in_glommio`] | applications whose own executors are glommio's |
//! | [`sizing`] | how many shards and connections, and which bounds |
//! | [`failures`] | what happens to a command at each failure |
//! | [`maintenance`] | what the client does when a server announces maintenance |
//! | [`subscriptions`] | publish and subscribe |
//! | [`queues`] | commands that wait on the server |
//! | [`transactions`] | transactions, sessions with `WATCH`, and scripts |
//! | [`clusters`] | Redis Cluster and Valkey Cluster |
//! | [`rehearsing`] | maintenance on your own machine, with this or any other client |
//! | [`security`] | what a server can make the client do |
//! | [`moving_over`] | from redis-rs, fred, deadpool and the like |
//! | [`command_line`] | the command `hitless`, and how to read what it prints |
//! | [`glossary`] | the words of this crate, and the prefixes of its test names |

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

#[doc = include_str!("manual/maintenance.md")]
pub mod maintenance {}

#[doc = include_str!("manual/subscriptions.md")]
pub mod subscriptions {}

#[doc = include_str!("manual/queues.md")]
pub mod queues {}

#[doc = include_str!("manual/transactions.md")]
pub mod transactions {}

#[doc = include_str!("manual/clusters.md")]
pub mod clusters {}

#[doc = include_str!("manual/rehearsing.md")]
pub mod rehearsing {}

#[doc = include_str!("manual/security.md")]
pub mod security {}

#[doc = include_str!("manual/moving_over.md")]
pub mod moving_over {}

#[doc = include_str!("manual/command_line.md")]
pub mod command_line {}

#[doc = include_str!("manual/glossary.md")]
pub mod glossary {}
