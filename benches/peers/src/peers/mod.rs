//! The compared clients, each as the function that drives it.

pub mod floor;
mod fred;
mod hitless;
mod redis;
mod rustis;
mod tokio;

use std::sync::{Arc, mpsc};

use crate::callers::Callers;

/// Connects, reports that it is ready, and runs the callers until the run stops.
pub type Drive = fn(Arc<Callers>, mpsc::Sender<()>);

pub fn find(variant: &str) -> Option<Drive> {
    Some(match variant {
        "hitless" => hitless::on_the_shard,
        "hitless-client" => hitless::through_the_client,
        "redis" => redis::current_thread,
        "redis-mt" => redis::multi_thread,
        "fred" => fred::drive,
        "rustis" => rustis::drive,
        "floor" => floor::drive,
        _ => return None,
    })
}
