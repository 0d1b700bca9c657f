//! Endpoints that live in this process: enough of a Redis server for tests, rehearsals and
//! benchmarks.
//!
//! [`Server`] is pure: bytes and the current time go in, bytes come out. It holds one keyspace, and
//! a session for each connection. [`Endpoints`] puts sockets in front of it, on one thread of its
//! own; [`Endpoints::with_server`] reaches the server behind them, for instance to push to a client.
//!
//! It has strings, counters, hashes, lists and sets, expiry, transactions with watches, and what
//! clients and `redis-cli` ask of a server about itself; it has no sorted sets, streams, scripts,
//! publish and subscribe, and no blocking commands.
//!
//! Redis Enterprise announces its maintenance; so do these, on demand: see `REHEARSE HELP`, which any client may
//! send, and [`Server::rehearse`], which does the same. Each listener is a node that can move, close, refuse, and do
//! things wrong, while all of them serve the same keys.
//!
//! Commands whose first key is `audit:<submitter>:<n>`, or `audit:<submitter>` with `<n>` as the last argument, are
//! checked for order and for being executed exactly once, over all connections and nodes; submitters count from 1.
//! `REHEARSE STATS` has the findings.
//!
//! Listeners speak TLS where [`EndpointsConfig::tls`] says so, each with a certificate of its own if need be. Faults act on
//! the socket below: a reset is a reset, what is truncated ends without TLS's farewell, and a node that stalls does not
//! even shake hands.
//!
//! Nothing here shares code with the client: a mistake in the client's encoder or decoder must not
//! be mirrored by the server that is meant to reveal it.
//!
//! ```no_run
//! use hitless::rehearsal::{Endpoints, EndpointsConfig};
//!
//! let endpoints = Endpoints::start(EndpointsConfig {
//!     listen: vec!["127.0.0.1:0".parse().unwrap()],
//!     ..EndpointsConfig::default()
//! })?;
//! println!("serving on {}", endpoints.addresses()[0]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod commands;
mod data;
mod maintenance;
mod server;
mod session;
mod sockets;
mod upstream;
mod wire;

pub use maintenance::agenda::AGENDA_MAX;
pub use maintenance::audit::{AUDIT_AHEAD_MAX, AUDIT_PREFIX, AUDIT_SUBMITTERS_MAX};
pub use maintenance::control::PUSH_BYTES_MAX;
pub use maintenance::node::{Accept, Ending, NodeId, WINDOWS_MAX};
pub use server::{REDIS_VERSION, REQUEST_BYTES_MAX, Server, ServerConfig};
pub use session::{SessionId, TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX, WATCHES_MAX};
pub use sockets::listener::{CONNECTIONS_MAX, Endpoints, EndpointsConfig};
pub use sockets::tls::ServerTls;
pub use sockets::upstream::{UpstreamConfig, UpstreamTls};
pub use upstream::{UPSTREAM_REPLY_BYTES_MAX, UPSTREAM_REQUEST_BYTES_MAX, UPSTREAM_REQUESTS_MAX};
pub use wire::reply::{REPLY_BYTES_MAX, REPLY_OVERRUN_BYTES_MAX};
pub use wire::request::{ARGUMENTS_MAX, BULK_BYTES_MAX, INLINE_BYTES_MAX};
