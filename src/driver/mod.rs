//! What drives a pool of connections on any runtime: it moves bytes, executes what the sans-IO core decides, and wakes callers.
//!
//! | file | what it is for |
//! |---|---|
//! | [`runtime`] | what a runtime adds: tasks, timers, sockets, pointers and cells |
//! | [`state`] | what the tasks and handles of a shard share, and the way of a command into its pool |
//! | [`calls`] | the callers that wait for replies |
//! | [`turn`] | one task for each connection, which moves its bytes |
//! | [`supervisor`] | one task for each shard, which executes what the pool asks for |
//! | [`tasks`], [`run`](mod@run) | all tasks of a shard |
//! | [`subscriptions`] | how subscriptions on any thread reach the pool, and messages them |
//! | [`transport`] | dialing, and TLS |
//! | [`broadcast`] | what one shard of a group reads, all of them learn |
//!
//! `shard` runs it on glommio, where one thread has one shard to itself, and `tokio` in a runtime of the application.

#[cfg(any(benching, test))]
pub(crate) mod bare;
#[cfg(benching)]
pub(crate) mod bench;
pub(crate) mod broadcast;
pub(crate) mod calls;
mod cancellation;
pub(crate) mod clock;
pub(crate) mod credentials;
mod due;
pub(crate) mod foreign;
mod inbox;
mod neighbors;
mod permits;
pub(crate) mod pushes;
mod reported;
mod resolve;
pub(crate) mod run;
pub(crate) mod runtime;
pub(crate) mod stalls;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod subscriptions;
pub(crate) mod supervisor;
pub(crate) mod sync;
pub(crate) mod tasks;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod transport;
pub(crate) mod turn;
mod wakers;
