//! What `MOVING` makes a pool do, as scenarios in virtual time. `mv_`, `sc_` and the like are conformance ids.

mod clock;
mod cutover;
mod failing;
mod no_target;
mod novelty;
mod outcomes;
mod overlapping;
mod permits;
mod random;
mod refused;
mod servers;
mod storm;
mod targets;
mod world;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use self::servers::Reachability;
use self::world::{World, ms};
use super::super::*;
use super::story::{SECOND, closes, config, config_of, moving, opens};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;

/// The configured server, and two others.
const A: SocketAddr = server(1);
const B: SocketAddr = server(2);
const C: SocketAddr = server(3);

const fn server(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 6379)
}

/// A pool of this many connections whose server is configured by name.
fn named(connections: usize) -> PoolConfig {
    PoolConfig { endpoint: "redis.example:6379".parse().unwrap(), ..config_of(connections) }
}

/// `MOVING` with a target.
fn moving_to(seq: i64, grace_s: i64, target: SocketAddr) -> String {
    moving(seq, grace_s, Some(&target.to_string()))
}

/// `MOVING` without a target.
fn moving_somewhere(seq: i64, grace_s: i64) -> String {
    moving(seq, grace_s, None)
}
