//! What a run records while it lasts: latencies and counts, the timeline, and the maintenance that its client sees.
//!
//! | file | content |
//! |---|---|
//! | `recorder` | what one thread of callers records, without locks |
//! | `timeline`, `packed` | the recordings of all threads by time, in bounded memory |
//! | `handoffs`, `windows` | handoffs and maintenance, from the client's events |
//! | `findings` | the results of checking replies |
//! | `latency` | the published form of a latency histogram |

pub(crate) mod findings;
pub(crate) mod handoffs;
pub(crate) mod latency;
mod packed;
pub(crate) mod recorder;
pub(crate) mod timeline;
pub(crate) mod windows;
