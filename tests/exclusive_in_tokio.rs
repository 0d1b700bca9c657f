//! The tests of `exclusive` over the driver inside tokio.

#[path = "exclusive/blocking.rs"]
mod blocking;
mod common;
#[path = "exclusive/moves.rs"]
mod moves;
#[path = "exclusive/sessions.rs"]
mod sessions;
#[path = "exclusive/subscriptions.rs"]
mod subscriptions;
#[path = "exclusive/subscriptions_moving.rs"]
mod subscriptions_moving;
#[path = "exclusive/waits.rs"]
mod waits;
