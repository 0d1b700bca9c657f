//! Commands beyond single methods: [`Script`]s, [`Transaction`]s, [`Scan`]s, and [`Commands`] for code that runs on a
//! [`Shard`](crate::Shard) and a [`Client`](crate::Client) alike.
//!
//! Typed methods send commands that every connection of a pool can carry. [`cmd`] sends any other command, except those that
//! would affect the other callers of a shared connection. Those fail with
//! [`ErrorKind::Command`](crate::ErrorKind::Command) before anything is sent:
//!
//! | refused | use instead |
//! |---|---|
//! | `MULTI`, `EXEC`, `DISCARD` | `transaction()`, which sends them as one batch |
//! | `WATCH`, `UNWATCH` | a [`Script`], which reads, decides and writes in one step |
//! | `SELECT`, `AUTH`, `HELLO`, `CLIENT SETNAME`, `CLIENT SETINFO`, `CLIENT MAINT_NOTIFICATIONS` | [`Config`](crate::Config), for all connections |
//! | `SUBSCRIBE` and its like, `MONITOR`, `SYNC`, `PSYNC`, `REPLCONF` | another client, with a connection of its own |
//! | `QUIT`, `RESET`, `READONLY`, `READWRITE`, `ASKING`, `SCRIPT DEBUG`, `CLIENT REPLY`, `CLIENT TRACKING`, `CLIENT CACHING`, `CLIENT NO-EVICT`, `CLIENT NO-TOUCH` | nothing |
//! | `BLPOP` and its like, `XREAD` and `XREADGROUP` with `BLOCK`, `WAIT`, `WAITAOF` | [`Cmd::blocking`], if no other caller uses the connection |

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
mod sharing;
pub(crate) mod sink;
mod transaction;
pub(crate) mod typed;

pub use arg::{Argument, ToArg};
pub use batch::Batch;
pub use builder::{Cmd, cmd};
pub use commands::Commands;
pub use pairs::ToPairs;
pub use pipeline::Pipeline;
pub use reply::FromReply;
pub use run::Run;
pub use scan::Scan;
pub use script::Script;
pub use transaction::{Transaction, TransactionReply};
// The tests compare the list with the commands of real servers.
#[doc(hidden)]
pub use typed::TYPED;

pub(crate) use scan::scans;
#[cfg(feature = "redis-rs")]
pub(crate) use sharing::{Conflict, SharingPolicy};

pub(crate) use crate::error::CommandName;
