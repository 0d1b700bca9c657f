//! The compared clients, each as the function that drives it.

pub mod floor;
mod fred;
mod hitless;
mod redis;
mod rustis;
mod tokio;

use std::sync::{Arc, mpsc};

use crate::callers::Callers;
use crate::plan::Plan;

/// Connects, reports that it is ready, and runs the callers until the run stops.
pub type Drive = fn(Arc<Callers>, mpsc::Sender<()>);

pub fn find(variant: &str) -> Option<Drive> {
    Some(match variant {
        "hitless" => hitless::on_the_shard,
        "hitless-client" => hitless::through_the_client,
        "hitless-client-mt" => hitless::through_the_client_mt,
        "hitless-tokio" => hitless::in_tokio,
        "hitless-tokio-mt" => hitless::in_tokio_mt,
        "redis" => redis::current_thread,
        "redis-mt" => redis::multi_thread,
        "fred" => fred::current_thread,
        "fred-mt" => fred::multi_thread,
        "rustis" => rustis::current_thread,
        "rustis-mt" => rustis::multi_thread,
        "floor" => floor::drive,
        _ => return None,
    })
}

/// Connects, prints the port of an HTTP service, and runs it on tokio's multi-thread runtime.
pub type Serve = fn(&Plan);

pub fn find_service(variant: &str) -> Option<Serve> {
    Some(match variant {
        "hitless-client" => hitless::serve_with_threads,
        "hitless-tokio" => hitless::serve_in_tokio,
        "redis" => redis::serve,
        "fred" => fred::serve,
        "rustis" => rustis::serve,
        _ => return None,
    })
}
