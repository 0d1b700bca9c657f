//! Endpoints in this process: enough of a Redis server for tests, rehearsals and benchmarks.
//!
//! [`Server`] is sans-IO: bytes and the current time go in, bytes come out. It holds one keyspace and one session for
//! each connection. [`Endpoints`] serves it over sockets, on one thread of its own. [`Endpoints::with_server`] gives
//! access to the server, for instance to push to a client.
//!
//! The server has strings, counters, hashes, lists and sets, expiry, transactions with watches, publish and subscribe
//! with patterns and shard channels, blocking commands on lists, and the commands with which clients and `redis-cli`
//! inspect a server. It has no sorted sets, streams or scripts. `WAIT` and `WAITAOF` answer at once, because there are no
//! replicas, or because they share the keys of their primary.
//!
//! Messages and blocked sessions belong to the server, as the keys do: a message published at one node reaches the
//! subscribers at all nodes, and an element pushed at one node serves a session that is blocked at another.
//!
//! Redis Enterprise announces its maintenance, and so does this server on demand. Any client can send `REHEARSE HELP` for
//! the list of verbs; [`Server::rehearse`] does the same. Each listener is a node that can move, close, refuse
//! connections, and have faults. All nodes serve the same keys.
//!
//! Commands can carry a number: in the first key as `audit:<submitter>:<n>`, or as last argument `<n>` behind the first
//! key `audit:<submitter>`. The server checks them for order and for exactly-once execution, over all connections and
//! nodes. Each submitter counts from 1. `REHEARSE STATS` reports the findings.
//!
//! Listeners use TLS when [`EndpointsConfig::tls`] says so, each with its own certificate if needed. Faults act on the
//! socket below TLS. A reset sends a RST, a truncated stream ends without a `close_notify` alert, and a stalled node
//! does not complete the handshake.
//!
//! Nothing here shares code with the client, but for the table of the positions of keys in commands, which is compared
//! with real servers. A mistake in the client's encoder or decoder must not be repeated by the server that is meant to
//! reveal it.
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
//!
//! A [`Cluster`] is a Redis Cluster of such endpoints: nodes with slots, replicas, redirects, failover and migrations.
//! `REHEARSE HELP` lists its verbs, such as `FAILOVER`, `KILL`, `MIGRATE` and `VIEW`.
//!
//! A file imports only files above it in this list:
//!
//! ```text
//! ids, ending, config   names of nodes and sessions, endings, settings
//! wire                  RESP: requests, replies, frame boundaries
//! data                  databases, hash tables, key patterns, sessions that wait for lists, subscribers
//! cluster               the nodes and slots of a cluster, and where it sends a command
//! maintenance           nodes, faults, announcements, planned actions, audit
//! session               the state of one connection
//! state, context        the shared state; the server context of verbs and planned actions
//! control               the verbs of REHEARSE
//! commands              command families, then the registry and the dispatcher
//! proxy                 forwarding to a real Redis
//! server                Server
//! sockets               Endpoints
//! ```

mod cluster;
mod commands;
mod config;
mod context;
mod control;
mod data;
mod ending;
mod ids;
mod maintenance;
mod proxy;
mod server;
mod session;
mod sockets;
mod state;
mod wire;

pub use config::{ClusterConfig, ServerConfig};
pub use ending::Ending;
pub use ids::{NodeId, SessionId};
pub use maintenance::node::Accept;
pub use server::Server;
pub use sockets::cluster::Cluster;
pub use sockets::listener::{Endpoints, EndpointsConfig};
pub use sockets::tls::ServerTls;
pub use sockets::upstream::{UpstreamConfig, UpstreamTls};
