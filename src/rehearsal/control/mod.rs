//! `REHEARSE`: remote control of what the nodes announce and of their faults.

mod announcements;
mod arguments;
mod pretty;
mod settings;
mod stats;
pub(crate) mod verbs;

#[cfg(test)]
mod tests;
