//! What the callers of one handle share.

use loom::sync;

#[path = "../../src/client/held.rs"]
mod held;
#[path = "../../src/client/overflow.rs"]
mod overflow;
mod threads;

mod models;
