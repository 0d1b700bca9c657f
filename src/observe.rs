//! What happens inside, for those who watch: events, and how often they happened.

pub use crate::proto::maint::event::{Event, HandoffResult, MaintenanceStats};
pub use crate::proto::maint::mode::UnknownEndpointType;
pub use crate::proto::maint::notification::{Notification, NotificationKind, SlotMove};
