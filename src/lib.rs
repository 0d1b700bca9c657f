//! The Redis client for Linux services that cannot afford a blip.
//!
//! Each core runs one shard: a pinned [glommio](https://docs.rs/glommio) (io_uring) executor with its own pool of
//! connections. Cores share no lock. Commands that become ready together leave in one write, and a reply wakes its
//! caller directly. Every queue and every retry has a named limit, and every error says whether its command may have
//! been executed.
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
//! let config = Config::from_url("redis://127.0.0.1:6379")?.shard_on_each_core();
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
//! # Which handle to use
//!
//! | your code runs | use | a command costs |
//! |---|---|---|
//! | on the shards | [`Client::run_on_each_shard`], [`Client::run_on`] | no hop between cores |
//! | on a glommio executor of your own | [`Shard::connect`] | no hop between cores |
//! | on several such executors | [`Shard::connect_in`] a [`ShardGroup`]: an announcement to one shard reaches all | no hop between cores |
//! | in tokio | [`Client`], started by `Client::start_in_tokio` (feature `tokio`) | no hop: callers use the pool directly |
//! | on threads, or anything else | [`Client`] | one hop there and one back |
//!
//! [`manual`] has pages on these, and on sizes, failures, maintenance, security and moving over from other clients.
//! [`manual::glossary`] defines the words.
//!
//! # Commands
//!
//! | what | where |
//! |---|---|
//! | two hundred common ones, typed | methods of [`Shard`] and [`Client`]; [`command::Commands`] for code that takes either |
//! | their options | [`options`] |
//! | any other | [`cmd`], except those that are [refused](mod@command) |
//! | several in one write; several as one unit | [`Shard::pipeline`]; [`Shard::transaction`]; the same of [`Client`] |
//! | `WATCH`, `SELECT` and others that change their connection | [`Shard::session`], [`Shard::optimistic`]; the same of [`Client`] |
//! | scripts | [`command::Script`] |
//! | all keys, or all elements of one key | [`Shard::scan`], [`Shard::hscan`], and so on: streams |
//!
//! # What happens to a command
//!
//! A handle (a [`Client`] or [`Shard`] value) uses one *entry* at a time: a place in the pool, with a queue and a
//! connection. A method encodes its command into that queue. Until its first byte is written, the command belongs to
//! no connection, and a lost connection only delays it. After that it is never sent again. If its reply does not come,
//! the caller gets an error:
//!
//! | [`Error::outcome`] | when | sending it again |
//! |---|---|---|
//! | [`Outcome::Unsent`] | no connection in time, shutting down, a bound reached | is safe |
//! | [`Outcome::Ambiguous`] | the connection was lost or silent after it was written | may run it twice |
//! | [`Outcome::Answered`] | the server answered with an error, or with an unexpected type | may run it twice, and usually gets the same answer |
//!
//! # A newcomer's walk: the path of one `GET`
//!
//! 1. `command/typed/strings.rs`: the method `get`, written once for every type that can send commands.
//! 2. `driver/state.rs`: `submit` opens a call, queues the command in the pool, and wakes the connection's driver, the
//!    task that moves its bytes.
//! 3. `proto/resp/encoder.rs`: the command becomes bytes, directly in the queue's buffer.
//! 4. `proto/connection/queue.rs`: the command waits there, unsent, for the connection of the handle's entry.
//! 5. `driver/turn.rs`: one turn writes the queued commands and reads the bytes that have arrived.
//! 6. `proto/connection/mod.rs`: the written command is in flight; the next reply is matched with the oldest one.
//! 7. `proto/resp/decoder.rs`: bytes become a frame.
//! 8. `driver/calls.rs`: the frame fills the caller's slot, and the caller is woken.
//! 9. `shard/reply.rs`: the caller's future takes it.
//! 10. `command/reply.rs`: the frame becomes the type that the caller asked for.
//!
//! These are the main steps. A command on a shard passes through 20 files, and its reply through some of them again:
//!
//! | stage | files in the order in which the command or its reply enters them |
//! |---|---|
//! | call | `command/typed/strings.rs`, `shard/mod.rs`, `driver/state.rs`, `driver/calls.rs`, `proto/pool/mod.rs`, `proto/pool/entry.rs`, `proto/connection/queue.rs`, `proto/resp/encoder.rs`, `command/arg.rs`, `driver/wakers.rs`, `shard/reply.rs` |
//! | turn of the driver | `driver/turn.rs`, `proto/connection/mod.rs`, `proto/connection/inflight.rs`, `driver/transport/mod.rs`, `shard/reactor/socket.rs`, `shard/reactor/engine.rs`, `shard/reactor/epoll.rs`, `proto/resp/decoder.rs` |
//! | reply | `command/reply.rs` |
//!
//! Through a [`Client`] with threads of its own it is 26: `client/mod.rs`, `client/route.rs`, `client/mailed_call.rs`,
//! `client/overflow.rs`, `client/reply.rs`, `driver/foreign.rs`, `shard/channel.rs` and `shard/mailbox.rs` take the place of
//! `shard/mod.rs` and `shard/reply.rs`. Through one that runs in tokio it is 20: there it is `client/mod.rs`, `client/route.rs`,
//! `client/pooled_call.rs` and `client/reply.rs`, and `tokio/socket.rs` in place of the reactor's.
//!
//! Not counted are three kinds of files. Accessors: `proto/pool/entries.rs`, `proto/pool/connection_mut.rs`,
//! `client/backend.rs`, `client/threads.rs`, `client/pools.rs`, `client/process.rs`. Counters, in `observe`. And what a turn of the driver does once for all of its
//! commands: `proto/connection/read_budget.rs`, `internal.rs`, `timeout_window.rs` and `write_buffer.rs` beside it, `proto/pool/connection.rs`,
//! `proto/pool/order_barrier.rs`, `shard/reactor/mod.rs`, `notifier.rs` and `waiter.rs` beside it. Where an io_uring serves the
//! sockets, `shard/reactor/ring` takes the place of `epoll.rs`.
//!
//! `proto/pool` decides what to dial, to close and to abandon; `driver/supervisor.rs` executes it. Everything in `proto` is
//! sans-IO: no socket, no clock, no executor, and time is an argument.
//!
//! # Life of a MOVING
//!
//! A server that leaves an endpoint announces it with a push, `MOVING`, and closes every connection some seconds later.
//!
//! 1. `proto/resp/decoder.rs` yields a push. It never takes a reply's place.
//! 2. `proto/connection/mod.rs` passes it on without interpreting it.
//! 3. `proto/pool/maintenance.rs` has it parsed (`proto/maint/notification.rs`), drops copies of known ones
//!    (`proto/maint/dedup.rs`), and opens a window of relaxed timeouts (`proto/maint/relax.rs`).
//! 4. `driver/broadcast.rs` passes it to every other shard, whose pool handles it as if it had read it itself.
//! 5. Every connection to that peer, idle ones too, joins the queue of `proto/pool/handoffs.rs`
//!    (`proto/maint/queue.rs`).
//! 6. When a permit is free, `driver/supervisor.rs` dials the successor, while the old connection keeps serving.
//! 7. `proto/connection/handshake.rs`: the successor shakes hands, and opts in to notifications itself.
//! 8. `proto/pool/entry.rs` cuts over between two commands: unwritten and new commands go to the
//!    successor. `driver/wakers.rs` wakes its driver from then on.
//! 9. The predecessor waits for the replies that it owes, then closes. No caller got an error or waited for a dial.
//!
//! # Observability
//!
//! | what | where |
//! |---|---|
//! | announcements of servers, ends of handoffs, connections that open and close | [`Config::on_event`], as an [`observe::Event`] |
//! | counts, and the current state | [`Shard::stats`], [`Client::stats`] |
//! | other messages that the server pushes, by name | [`Shard::on_push`] |
//!
//! One shard reports an event that concerns a whole [`Client`] or [`ShardGroup`], so you see it once. Hooks and handlers
//! run on the shard's thread after callers have been woken. They must not block; a panic in them does not end the shard.
//!
//! # Features
//!
//! | feature | what it adds | in the default |
//! |---|---|---|
#![cfg_attr(
    feature = "rehearsal",
    doc = "| `rehearsal` | [`rehearsal`]: endpoints in the process, for tests | no |"
)]
#![cfg_attr(not(feature = "rehearsal"), doc = "| `rehearsal` | endpoints in the process, for tests | no |")]
#![cfg_attr(feature = "load", doc = "| `load` | [`load`]: generated load, and the report of it | no |")]
#![cfg_attr(not(feature = "load"), doc = "| `load` | generated load, and the report of it | no |")]
//! | `glommio` | shards on pinned threads, with io_uring; Linux only: [`Client::start`], [`Shard`] | yes |
//! | `tokio` | shards inside a tokio runtime of the application: `Client::start_in_tokio` | no |
//! | `tls` | TLS by rustls, with the system's root certificates: [`Config::from_url`] reads `rediss://` | yes |
//! | `tls-aws-lc-rs` | AWS-LC in place of ring; needs a C compiler, and CMake on some machines | no |
//! | `tls-bundled-roots` | Mozilla's root certificates, for machines without any | no |
#![cfg_attr(
    feature = "redis-rs",
    doc = "| `redis-rs` | [`redis_rs`]: commands, pipelines and scripts of redis-rs on a client; depends on tokio | no |"
)]
#![cfg_attr(
    not(feature = "redis-rs"),
    doc = "| `redis-rs` | commands, pipelines and scripts of redis-rs on a client; depends on tokio | no |"
)]
//! | `serde` | `serde`: values as JSON, structs from hashes | no |
//! | `cli` | the command `hitless`, with its dependencies: `cargo install hitless --features cli` | no |
//!
//! `default-features = false, features = ["tokio", "tls"]` leaves out glommio, and with it io_uring, its system calls and its C
//! code. Without `tls` there is no `rediss://`.
//!
//! # What it needs
//!
//! On glommio: Linux 5.8 or later, and io_uring. Container engines forbid io_uring by default; the error of [`Client::start`]
//! names the system calls to allow. Building needs a C compiler, for glommio's liburing.
//!
//! In tokio: what tokio needs, with `enable_all`.
//!
//! # Logs
//!
//! Logs go through [`tracing`](https://docs.rs/tracing). No log line holds a password or a value.
//!
//! | target | what it logs |
//! |---|---|
//! | `hitless::shard` | a lost connection at `warn`, refused credentials at `error`, everything else at `debug` or below |
//! | `hitless::maintenance` | announcements of servers at `info`, once for each event; refused targets at `warn` |
//! | `hitless::handoff` | a successful handoff at `info`, a failed one at `warn`, its start at `debug` |

#![deny(missing_docs)]
// The pages name `Shard`, which a build without glommio does not have. Builds with it check every link.
#![cfg_attr(not(feature = "glommio"), allow(rustdoc::broken_intra_doc_links))]
// The pool and the driver have parts that only shards with threads of their own use. Builds with all features find dead code.
#![cfg_attr(not(all(feature = "glommio", feature = "tokio")), allow(dead_code, unreachable_pub))]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(all(feature = "glommio", not(target_os = "linux")))]
compile_error!(
    "the feature `glommio` needs Linux and io_uring: elsewhere, take `default-features = false` and `tokio`"
);
#[cfg(not(any(feature = "glommio", feature = "tokio")))]
compile_error!("hitless needs a runtime: enable the feature `glommio` or `tokio`");

/// The code that `benches/instructions` counts. It exists only in builds for that, and is not part of the interface.
#[cfg(benching)]
#[doc(hidden)]
pub mod bench {
    /// Runs a scenario on a shard; one whose name ends in `-tokio` through a client that runs in tokio.
    pub fn run(scenario: &str, rounds: usize, counted: &mut dyn FnMut(&'static str)) -> usize {
        match scenario.strip_suffix("-tokio") {
            Some(scenario) => crate::client::bench::run(scenario, rounds, counted),
            None => crate::shard::bench::run(scenario, rounds, counted),
        }
    }
}
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod client;
pub mod command;
mod config;
mod driver;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "load")]
pub mod load;
mod proto;
#[cfg(feature = "glommio")]
mod shard;
#[cfg(feature = "cli")]
mod sim;
#[cfg(feature = "tokio")]
mod tokio;

// Its examples need an endpoint in the process.
#[cfg(any(feature = "rehearsal", not(doctest)))]
pub mod manual;
pub mod observe;
/// Options of commands, such as [`SetOptions`](options::SetOptions): small values that you build in place, and that are
/// written in the order of the wire.
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
/// How to reach servers: name resolution, allowed targets, credentials and TLS.
pub mod net {
    pub use crate::config::{
        Credentials, CredentialsProvider, Resolve, Sockets, TargetPattern, Targets, TargetsError,
    };
    #[cfg(feature = "tls")]
    pub use crate::config::{Tls, TlsVersion};
}
/// Subscriptions: what [`Client::subscribe`] returns, and what it yields.
pub mod pubsub {
    pub use crate::config::{Overflow, SubscriptionBuffer};
    pub use crate::driver::subscriptions::{GapReason, Message, Messages, PubSubEvent, Subscription};
}
#[cfg(feature = "rehearsal")]
pub mod rehearsal;

/// The README's examples compile with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use client::{Client, ClientReply, Session};
#[doc(inline)]
pub use command::{Cmd, FromReply, Pipeline, ToArg, cmd};
pub use config::{Config, ConfigError, Maintenance, ResolvedConfig};
#[cfg(feature = "glommio")]
pub use driver::broadcast::ShardGroup;
pub use driver::stats::ShardStats;
pub use error::{Error, ErrorKind, Result};
pub use proto::endpoint::{Endpoint, EndpointError};
pub use proto::error::Outcome;
pub use proto::maint::mode::EndpointType;
pub use proto::resp::{Frame, Limits};
#[cfg(feature = "glommio")]
pub use shard::{Reply, Shard};
