//! Observability: events, and statistics of commands.
//!
//! [`Config::on_event`](crate::Config::on_event) reports events as they happen. [`ShardStats`](crate::ShardStats) counts
//! events and the results of commands.

mod commands;
mod latency;
pub(crate) mod log;

pub use self::commands::CommandStats;
pub use self::latency::LatencyHistogram;
pub use crate::proto::maint::event::{Event, HandoffResult, MaintenanceStats};
pub use crate::proto::maint::mode::UnknownEndpointType;
pub use crate::proto::maint::notification::{Notification, NotificationKind, SlotMove};
pub use crate::proto::role::ConnectionRole;
pub use crate::proto::subscriptions::SubscriptionStats;
pub use crate::proto::targets::Redirection;
