//! The shared state of a cluster's nodes: who owns which slot, who replicates whom, and what is changing.
//!
//! Nothing here knows a session or a socket. A server without a cluster has no [`state::ClusterState`], and each of its
//! commands pays one comparison for that.
//!
//! ```text
//! slots      hash slots of keys, and ranges of slots
//! topology   the nodes with their roles, the owner of each slot, and what a node knows of both
//! step       what a cluster does at a planned time
//! changing   open migrations, and pauses of writes
//! state      ClusterState: all of it
//! keys       where a command has its keys
//! decision   whether a node executes a command, or where it sends the client
//! ```
//!
//! Effects on sessions are in `context/cluster`, the verbs in `control/cluster`, and the commands in `commands/cluster`.

pub(crate) mod changing;
pub(crate) mod decision;
pub(crate) mod keys;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod topology;
