//! The locks and atomics of [`overflow`](super::overflow) and [`sticky`](super::sticky). `tests/loom` includes those files
//! and replaces this one with loom's.

pub(super) use std::sync::atomic;
#[cfg(feature = "glommio")]
pub(super) use std::sync::{Mutex, MutexGuard};
