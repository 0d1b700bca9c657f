//! What happens inside, for those who watch: events, and how often they happened.
//!
//! [`Config::on_event`](crate::Config::on_event) hands out events as they happen, and
//! [`ShardStats::maintenance`](crate::ShardStats::maintenance) counts them.

pub(crate) mod log;

pub use crate::proto::maint::event::{Event, HandoffResult, MaintenanceStats};
pub use crate::proto::maint::mode::UnknownEndpointType;
pub use crate::proto::maint::notification::{Notification, NotificationKind, SlotMove};
