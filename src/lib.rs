//! `hitless`: skeleton.
#![deny(missing_docs)]
mod client;
mod command;
mod config;
mod error;
mod proto;
mod shard;
pub use client::{Client, ClientReply};
pub use command::{Argument, Cmd, FromReply, ToArg, cmd};
pub use config::{Config, ConfigError, Effective};
pub use error::{Error, ErrorKind, Result};
pub use proto::endpoint::{Endpoint, EndpointError};
pub use proto::error::Outcome;
pub use proto::resp::{DecodeError, Frame, Limits};
pub use shard::{Pipeline, Reply, Shard, ShardStats};
