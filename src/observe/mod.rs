//! What happens inside, for those who watch: events, and how often they happened.
//!
//! [`Config::on_event`](crate::Config::on_event) hands out events as they happen, and
//! [`ShardStats`](crate::ShardStats) counts them, and what became of commands.

mod commands;
mod latency;
pub(crate) mod log;

pub use self::commands::CommandStats;
pub use self::latency::LatencyHistogram;
pub use crate::proto::maint::event::{Event, HandoffResult, MaintenanceStats};
pub use crate::proto::maint::mode::UnknownEndpointType;
pub use crate::proto::maint::notification::{Notification, NotificationKind, SlotMove};
pub use crate::proto::targets::Redirection;
