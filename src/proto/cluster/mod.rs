//! Redis Cluster, as far as it is decided without sockets.
//!
//! - [`commands`]: which arguments of a command are keys, and on which nodes a command runs;
//! - [`slot`]: the hash slot of a key;
//! - [`encoded`]: encoded commands, read back.

pub(crate) mod commands;
pub(crate) mod encoded;
pub(crate) mod slot;
