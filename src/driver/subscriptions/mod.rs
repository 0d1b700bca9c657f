//! Subscriptions: how they reach the pool of their shard from any thread, and how messages reach them.
//!
//! ```text
//!  Subscription ── asks ──▶ SubscriptionHub ──task──▶ pool
//!       ▲                        │ keeps
//!       └── messages ── SubscriptionInbox ◀── batched by read ── SubscriptionOutbox ◀── events ── pool
//! ```

mod batch;
mod event;
mod hub;
mod inbox;
mod listen;
mod outbox;
mod subscription;

pub use self::event::{GapReason, Message, PubSubEvent};
pub use self::subscription::{Messages, Subscription};

pub(crate) use self::hub::SubscriptionHub;
pub(crate) use self::inbox::SubscriptionInbox;
pub(crate) use self::listen::listen;
pub(crate) use self::outbox::SubscriptionOutbox;
pub(crate) use self::subscription::Opening;
