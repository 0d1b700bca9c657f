//! [`Config`]: the settings of a client, and [`ResolvedConfig`]: the values that follow from them.
//!
//! A `Config` is a plain value whose setters may be called in any order. [`Config::validate`] checks it as a whole and
//! derives all automatic values, once.

mod cgroup;
mod cluster;
mod cluster_settings;
mod cores;
mod credentials;
mod error;
mod exclusive;
mod hook;
mod maintenance;
mod range;
mod resolved;
mod resolver;
mod settings;
mod sockets;
mod subscription_buffer;
#[cfg(feature = "tls")]
mod tls;
mod url;
mod validate;

#[cfg(feature = "cli")]
pub(crate) use self::cgroup::CpuLimit;
#[cfg(feature = "cli")]
pub(crate) use self::cores::{allowed as allowed_cores, usable as usable_cores};
pub use self::credentials::CredentialsProvider;
pub use self::error::ConfigError;
pub use self::maintenance::Maintenance;
pub use self::resolved::ResolvedConfig;
pub use self::resolver::Resolve;
pub(crate) use self::resolver::Resolver;
pub use self::settings::Config;
pub use self::sockets::Sockets;
pub use self::subscription_buffer::{Overflow, SubscriptionBuffer};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsVersion};
pub use crate::proto::connection::Credentials;
pub use crate::proto::targets::{TargetPattern, Targets, TargetsError};

#[cfg(test)]
mod tests;
