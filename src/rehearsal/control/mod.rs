//! `REHEARSE`: remote control of what the nodes announce and of their faults.

mod announcements;
mod arguments;
mod cluster;
mod pretty;
mod settings;
mod stats;
mod verb;
pub(crate) mod verbs;

#[cfg(test)]
mod tests;
