//! The locks and atomics of [`foreign`](super::foreign). `tests/loom` includes that file and replaces this one with loom's.

pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
