//! The tests of `maintenance` over the driver inside tokio.

#[path = "maintenance/balance.rs"]
mod balance;
mod common;
#[path = "maintenance/dns.rs"]
mod dns;
#[path = "maintenance/events.rs"]
mod events;
#[path = "maintenance/failures.rs"]
mod failures;
#[path = "maintenance/load.rs"]
mod load;
#[path = "maintenance/modes.rs"]
mod modes;
#[path = "maintenance/moves.rs"]
mod moves;
#[path = "maintenance/returns.rs"]
mod returns;
#[path = "maintenance/targets.rs"]
mod targets;
#[path = "maintenance/timeouts.rs"]
mod timeouts;
