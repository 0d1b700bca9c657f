//! Commands beyond single methods: [`Script`]s, [`Transaction`]s, [`Session`]s, [`Scan`]s, and [`Commands`] for code that runs on a
//! [`Shard`](crate::Shard) and a [`Client`](crate::Client) alike.
//!
//! Typed methods send commands that every connection of a pool can carry. [`cmd`] sends any other command, except those that
//! would affect the other callers of a shared connection. Those fail with
//! [`ErrorKind::Command`](crate::ErrorKind::Command) before anything is sent:
//!
//! | refused | use instead |
//! |---|---|
//! | `MULTI`, `EXEC`, `DISCARD` | `transaction()`, which sends them as one batch |
//! | `WATCH`, `UNWATCH` | a [`Session`](crate::Session) |
//! | `SELECT`, `AUTH`, `HELLO`, `CLIENT SETNAME`, `CLIENT SETINFO`, `CLIENT MAINT_NOTIFICATIONS` | [`Config`](crate::Config), for all connections |
//! | `SUBSCRIBE` and its like | [`Client::subscribe`](crate::Client::subscribe) |
//! | `MONITOR`, `SYNC`, `PSYNC`, `REPLCONF` | another client, with a connection of its own |
//! | `READONLY`, `READWRITE`, `SCRIPT DEBUG`, `CLIENT TRACKING`, `CLIENT CACHING`, `CLIENT NO-EVICT`, `CLIENT NO-TOUCH` | a [`Session`](crate::Session) |
//! | `QUIT`, `RESET`, `ASKING`, `CLIENT REPLY` | nothing |
//!
//! Commands that may wait on the server are sent by themselves, each on a connection that it has for itself: `BLPOP` and its
//! like, `XREAD` and `XREADGROUP` with `BLOCK`, `WAIT`, `WAITAOF`, and those that are marked with [`Cmd::blocking`]. See
//! [`manual::queues`](crate::manual::queues).

mod arg;
mod batch;
mod builder;
mod commands;
pub(crate) mod options;
mod pairs;
mod pipeline;
mod reply;
mod run;
mod scan;
mod script;
mod session;
mod sharing;
pub(crate) mod sink;
mod transaction;
pub(crate) mod typed;

pub use arg::{Argument, ToArg};
pub use batch::Batch;
pub(crate) use builder::Carrier;
pub use builder::{Cmd, cmd};
pub use commands::Commands;
pub use pairs::ToPairs;
pub use pipeline::Pipeline;
pub use reply::FromReply;
pub use run::Run;
pub use scan::Scan;
pub use script::Script;
pub use session::Session;
pub use transaction::{Transaction, TransactionReply};
// The tests compare the list with the commands of real servers.
#[doc(hidden)]
pub use typed::TYPED;

pub(crate) use scan::scans;
pub(crate) use session::{CheckOut, SESSION, SessionCall, SessionRequest};
#[cfg(feature = "redis-rs")]
pub(crate) use sharing::{Conflict, SharingPolicy};

pub(crate) use crate::error::CommandName;
