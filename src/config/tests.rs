//! The settings that a configuration refuses, and the values that it derives.

use std::time::Duration;

use super::*;

fn config() -> Config {
    Config::new("localhost:6379".parse().unwrap())
}

#[test]
fn value_out_of_range_is_refused_by_name_and_range() {
    let second = Duration::from_secs(1);
    for (config, setting, range) in [
        (config().connections_per_shard(0), "connections_per_shard", "1 to 4096"),
        (config().in_flight_max(0), "in_flight_max", "1 to 1048576"),
        (config().queue_max(2 << 20), "queue_max", "1 to 1048576"),
        (config().shards(0), "shards", "1 to 1024"),
        (config().cores([]), "cores", "1 to 1024"),
        (config().command_timeout(Duration::ZERO), "command_timeout", "1ms to 3600s"),
        (config().command_timeout(second * 3601), "command_timeout", "1ms to 3600s"),
        (config().command_timeout(Duration::MAX), "command_timeout", "1ms to 3600s"),
        (config().idle_ping(Duration::MAX), "idle_ping", "1s to 3600s"),
        (config().connect_timeout(second * 3601), "connect_timeout", "1ms to 3600s"),
        (config().dns_cache(second * 3601), "dns_cache", "0ns to 3600s"),
        (config().reconnect_backoff(second * 2, second), "reconnect_backoff", "1ms to 1s"),
        (config().client_name("my app"), "client_name", "space"),
        (config().username("app"), "username", "password"),
    ] {
        let error = config.validate().unwrap_err();
        assert_eq!(error.setting(), setting);
        assert!(error.to_string().contains(range), "{error}");
    }
}

#[test]
fn automatic_values_are_derived_and_shown() {
    let resolved = config().command_timeout(Duration::from_millis(100)).validate().unwrap();
    assert_eq!(resolved.shard_cores(), [None]);
    assert_eq!(config().shard_on_each_core().validate().unwrap().shard_cores().len(), cores::usable().len());
    let shown = resolved.to_string();
    assert!(shown.contains("tcp_user_timeout = 10s\n"), "{shown}");
    assert!(shown.contains("queue_bytes_max = 16777216\n"), "{shown}");
}

#[test]
fn only_commands_may_wait_without_a_limit() {
    let resolved = config().command_timeout(None).validate().unwrap();
    assert_eq!(resolved.pool(0).connection.command_timeout, Duration::MAX);
    assert_eq!(resolved.tcp_user_timeout(), Duration::from_secs(15));
    assert_eq!(resolved.last_replies(), Duration::from_secs(60));
    let shown = resolved.to_string();
    assert!(shown.contains("command_timeout = (none)\n"), "{shown}");
    let hour = Duration::from_secs(3600);
    let longest = config().command_timeout(hour).validate().unwrap();
    assert_eq!((longest.tcp_user_timeout(), longest.last_replies()), (hour, hour));
}

#[test]
fn printed_configuration_holds_no_password() {
    let config = config().username("app").password("s3cret");
    let resolved = config.validate().unwrap();
    for text in [format!("{config:?}"), format!("{resolved:?}"), resolved.to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
