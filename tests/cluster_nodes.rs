//! The cluster that tests start fails over on command and after a kill.

mod common;

use std::time::Duration;

use common::cluster::Cluster;

#[test]
fn cluster_fails_over_on_command_and_after_a_kill() {
    let mut cluster = Cluster::start();
    let slot = 12182;
    let primary = cluster.primary_of(slot);
    assert_eq!(primary, 2);
    let replicas = cluster.replicas_of(primary);
    assert_eq!(replicas, [5]);
    cluster.ask::<()>(primary, "SET foo bar");

    cluster.failover(5);
    assert_eq!(cluster.primary_of(slot), 5);
    assert_eq!(cluster.replicas_of(5), [2]);
    assert_eq!(cluster.ask::<String>(5, "GET foo"), "bar");
    let moved = cluster.try_ask::<String>(0, "GET foo").unwrap_err();
    assert!(moved.to_string().contains(&format!("127.0.0.1:{}", cluster.port(5))), "{moved}");

    cluster.set_node_timeout(Duration::from_millis(1000));
    cluster.kill(5);
    common::eventually("the replica takes over", || cluster.primary_of(slot) == 2);
    cluster.wait_until_up();
    assert_eq!(cluster.ask::<String>(2, "GET foo"), "bar");

    cluster.restart(5);
    common::eventually("the node is a replica again", || cluster.replicas_of(2) == [5]);
    cluster.wait_until_up();
}

#[test]
fn replica_takes_over_on_command_without_its_primary() {
    let mut cluster = Cluster::start();
    cluster.kill(0);
    cluster.failover(3);
    assert_eq!(cluster.primary_of(0), 3);
}
