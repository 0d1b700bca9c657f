//! What the callers of one handle share.

use loom::sync;

#[path = "../../src/client/sticky.rs"]
mod sticky;
#[path = "../../src/client/overflow.rs"]
mod overflow;
mod threads;

mod models;
