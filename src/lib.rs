//! The Redis client for Linux services that cannot afford a blip.
//!
//! One pinned [glommio](https://docs.rs/glommio) (io_uring) executor per core, each with its own pool of connections,
//! and no lock between cores. Commands that become ready together share one write; a reply wakes its caller
//! directly. Every bound has a name, and every error says whether its command may have been executed.
//!
//! ```text
//!    your threads / tokio tasks                    one pinned thread per core, nothing shared
//!  ┌──────────────────────────┐   mailbox   ┌────────────── Shard (glommio executor) ──────────────┐
//!  │ Client (Clone+Send+Sync) │ ──────────▶ │ your shard-local tasks ──▶ Pool ──▶ Connection ─ io ─┼──▶ endpoint A
//!  └──────────────────────────┘  lock-free  │                             │ handoff queue           │
//!                                           │                             └ successor connection ───┼──▶ endpoint B
//!                                           └───────▲───────────────────────────────┬──────────────┘
//!                                                   └────────── broadcast ──────────┘   (every other shard)
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use hitless::{Client, Config};
//!
//! # futures_lite::future::block_on(async {
//! let config = Config::from_url("redis://127.0.0.1:6379")?.connections_per_shard(4);
//! let client = Client::start(config)?;                        // pinned executors, one per core
//!
//! client.set("greeting", "hello").await?;                     // from any thread or runtime
//! let reply: Option<String> = client.get("greeting").await?;
//! assert_eq!(reply.as_deref(), Some("hello"));
//!
//! client.run_on_each_shard(|shard| async move {               // on the shards: no hop between cores
//!     shard.incr("visits").await
//! }).await?;
//! client.shutdown(Duration::from_secs(5)).await?;             // drains, then joins every thread
//! # Ok::<(), hitless::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Which door to take
//!
//! | your code runs | take | a command costs |
//! |---|---|---|
//! | on the shards | [`Client::run_on_each_shard`], [`Client::run_on`] | no hop between cores |
//! | on a glommio executor of your own | [`Shard::connect`] | no hop between cores |
//! | on several of them | [`Shard::connect_in`] a [`ShardGroup`], so that all know what one is told | no hop between cores |
//! | on threads, tokio, or anything else | [`Client`] | one hop there and one back |
//!
//! [`manual`] has a page on each, and on sizes, failures, security and moving over from other clients.
//!
//! # Commands
//!
//! | what | where |
//! |---|---|
//! | the commonest two hundred, typed | methods of [`Shard`] and [`Client`]; [`command::Commands`] for code that takes either |
//! | what they take beside arguments | [`options`] |
//! | any other | [`cmd`], and what is [refused](mod@command) |
//! | several in one go; and with nothing in between | [`Shard::pipeline`], [`Shard::transaction`], and the same of [`Client`] |
//! | scripts | [`command::Script`] |
//! | all keys, or all of one | [`Shard::scan`], [`Shard::hscan`], and so on: streams |
//!
//! # What happens to a command
//!
//! A command is queued when its method is called, encoded straight into the buffer that is sent. Until a byte of it
//! is written it belongs to no connection: a lost connection costs it nothing but time. Once written it is never sent
//! again, and if its reply does not come the caller gets an error:
//!
//! | [`Error::outcome`] | it happened | sending it again |
//! |---|---|---|
//! | [`Outcome::Unsent`] | no connection in time, shutting down, a bound reached | is safe |
//! | [`Outcome::Ambiguous`] | the connection was lost or silent after it was written | may run it twice |
//! | [`Outcome::Answered`] | the server said no, or something unexpected | gets the same answer |
//!
//! # A newcomer's walk: the path of one `GET`
//!
//! 1. `command/typed/strings.rs`: the method `get`, written once for all who can send commands.
//! 2. `shard/mod.rs`: `Shard::submit` opens a call, submits, and wakes the connection's driver once.
//! 3. `proto/resp/encoder.rs`: the command becomes bytes, in place.
//! 4. `proto/connection/queue.rs`: it is queued, unsent, for the entry that the handle is bound to.
//! 5. `shard/driver.rs`: one turn writes what is queued and reads what has come.
//! 6. `proto/connection/mod.rs`: what is written is in flight; what comes back is matched with it.
//! 7. `proto/resp/decoder.rs`: bytes become a frame.
//! 8. `shard/calls.rs`: the frame fills the caller's slot, and the caller is woken.
//! 9. `shard/reply.rs`: the caller's future takes it.
//! 10. `command/reply.rs`: the frame becomes what was asked for.
//!
//! `proto/pool` decides what to dial, to close and to give up; `shard/pilot.rs` does it. Everything in `proto` is
//! sans-IO: no socket, no clock, no executor, and time is an argument.
//!
//! # Life of a MOVING
//!
//! A server that leaves an endpoint says so with a push, `MOVING`, and closes every connection to it some seconds later.
//!
//! 1. `proto/resp/decoder.rs` yields a push. It never takes a reply's place.
//! 2. `proto/connection/mod.rs` passes it on, uninterpreted.
//! 3. `proto/pool/announcements.rs` has it read (`proto/maint/notification.rs`), drops copies of what is known
//!    (`ledger.rs`), and relaxes timeouts while it lasts (`relax.rs`).
//! 4. `shard/broadcast.rs` tells every other shard, whose pool takes it from here as if it had read it itself.
//! 5. Every connection to that peer, idle ones too, joins the queue of `proto/pool/handoffs.rs`
//!    (`proto/maint/queue.rs`).
//! 6. A permit is free: `shard/pilot.rs` has the successor dialed, while the old connection goes on serving.
//! 7. `proto/connection/handshake.rs`: the successor shakes hands, and asks to be told of maintenance in its turn.
//! 8. `proto/pool/entry.rs` cuts over between two commands: what is unwritten, and everything new, goes to the
//!    successor. `shard/seats.rs` wakes its driver from then on.
//! 9. The predecessor waits for the replies that it owes, then closes. Nobody saw an error, and nobody waited for a
//!    dial.
//!
//! # Watching
//!
//! | what | where |
//! |---|---|
//! | what servers announce, how handoffs end, connections that come and go | [`Config::on_event`], as an [`observe::Event`] |
//! | how often, and what is going on now | [`Shard::stats`], [`Client::stats`] |
//! | other messages that the server pushes, by name | [`Shard::on_push`] |
//!
//! An event that concerns a whole [`Client`] or [`ShardGroup`] is told once, by one of its shards. Hooks and handlers
//! run on the shard's thread after callers have been woken, must not block, and cannot take the shard down.
//!
//! # Features
//!
//! | feature | what it adds | in the default |
//! |---|---|---|
#![cfg_attr(
    feature = "rehearsal",
    doc = "| `rehearsal` | [`rehearsal`]: endpoints in the process, for tests | yes |"
)]
#![cfg_attr(not(feature = "rehearsal"), doc = "| `rehearsal` | endpoints in the process, for tests | yes |")]
#![cfg_attr(feature = "load", doc = "| `load` | [`load`]: generated load, and the report of it | yes |")]
#![cfg_attr(not(feature = "load"), doc = "| `load` | generated load, and the report of it | yes |")]
//! | `tls` | TLS by rustls, and what the system trusts: [`Config::from_url`] reads `rediss://` | yes, with `rehearsal` |
//! | `tls-aws-lc-rs` | AWS-LC in the place of ring, which takes a C compiler and may take CMake | no |
//! | `tls-bundled-roots` | Mozilla's certificates, for machines without any | no |
#![cfg_attr(
    feature = "redis-rs",
    doc = "| `redis-rs` | [`redis_rs`]: commands, pipelines and scripts of redis-rs on a client; brings tokio along | no |"
)]
#![cfg_attr(
    not(feature = "redis-rs"),
    doc = "| `redis-rs` | commands, pipelines and scripts of redis-rs on a client; brings tokio along | no |"
)]
//! | `serde` | `serde`: values as JSON, structs from hashes | no |
//! | `cli` | the command `hitless`, with what it depends on | yes |
//!
//! To embed the client alone, take `default-features = false` and, for `rediss://`, `features = ["tls"]`.
//!
//! # What it needs
//!
//! Linux 5.8 or later, and io_uring: container engines forbid it by default, and [`Client::start`] says what to
//! allow. Building takes a C compiler, for the liburing that glommio brings along.
//!
//! # Logs
//!
//! Through [`tracing`](https://docs.rs/tracing). No log holds a password or a value.
//!
//! | target | what it says |
//! |---|---|
//! | `hitless::shard` | a lost connection at `warn`, refused credentials at `error`, everything else at `debug` or below |
//! | `hitless::maintenance` | what servers announce, once for each event, at `info`; targets that are not allowed at `warn` |
//! | `hitless::handoff` | a connection that was handed off at `info`, one that was not at `warn`, each that begins at `debug` |

#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(not(target_os = "linux"))]
compile_error!("hitless runs on Linux only: it is built on io_uring");

/// What `benches/instructions` counts. It exists in builds for that only, and is nobody's interface.
#[cfg(benching)]
#[doc(hidden)]
pub mod bench {
    pub use crate::shard::bench::run;
}
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod client;
pub mod command;
mod config;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "load")]
pub mod load;
mod proto;
mod shard;
#[cfg(feature = "cli")]
mod sim;

// Its examples take an endpoint in the process.
#[cfg(any(feature = "rehearsal", not(doctest)))]
pub mod manual;
pub mod observe;
/// What commands take beside their arguments, such as [`SetOptions`](options::SetOptions): small values that are built
/// in place, and written in the order of the wire.
pub mod options {
    pub use crate::command::options::{
        BitFieldOptions, BitOperation, BitOverflow, BitUnit, CopyOptions, ExpireCondition, GeoAddOptions,
        GeoSearchOptions, GeoUnit, GetExOptions, ListEnd, LposOptions, ScanOptions, SetOptions, SortOptions,
        Trim, XaddOptions, XautoclaimOptions, XclaimOptions, XgroupOptions, XreadGroupOptions, XreadOptions,
        ZaddOptions, ZcombineOptions, ZrangeOptions, ZsetEnd,
    };
}
#[cfg(feature = "redis-rs")]
pub mod redis_rs;
#[cfg(feature = "serde")]
pub mod serde;
/// How servers are reached: what finds the addresses of names, what to log in with, and TLS.
pub mod net {
    pub use crate::config::{
        Credentials, CredentialsProvider, Resolve, TargetPattern, Targets, TargetsError,
    };
    #[cfg(feature = "tls")]
    pub use crate::config::{Tls, TlsVersion};
}
#[cfg(feature = "rehearsal")]
pub mod rehearsal;

pub use client::{Client, ClientReply};
#[doc(inline)]
pub use command::{Argument, Cmd, FromReply, Pipeline, ToArg, cmd};
pub use config::{Config, ConfigError, Maintenance, ResolvedConfig};
pub use error::{Error, ErrorKind, Result};
pub use proto::endpoint::{Endpoint, EndpointError};
pub use proto::error::Outcome;
pub use proto::maint::mode::EndpointType;
pub use proto::resp::{Frame, Limits};
pub use shard::{Reply, Shard, ShardGroup, ShardStats};
