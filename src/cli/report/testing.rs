//! A report for tests.

use std::collections::BTreeMap;

use crate::load::{
    Audit, BytesPerSecond, ClientCpu, CommandCounts, CommandReport, HandoffCounts, Latency, LoopKind,
    Machine, MaintenanceReport, Moving, OfferedLoad, Recorded, Report, ShardReport, Spread, VerifyReport,
};

/// A report in which everything was measured.
pub(crate) fn full() -> Report {
    Report {
        started_at_unix_seconds: 1_800_000_000.0,
        elapsed_seconds: 10.0,
        interrupted: false,
        problems: Vec::new(),
        answered_share: Some(0.995),
        loop_kind: LoopKind::Open,
        commands: CommandCounts {
            issued: 1002,
            from_warm_up: 4,
            answered: 1000,
            failed: 2,
            ambiguous: 1,
            timed_out: 1,
            missing: 3,
        },
        errors: BTreeMap::from([("timeout", 2)]),
        error_examples: BTreeMap::from([("timeout", "no reply in 1 s".to_owned())]),
        verify: Some(verified()),
        throughput_per_second: 100.0,
        offered: Some(OfferedLoad { per_second: 101.5, unsent: 3 }),
        client_cpu_ns_per_command: Some(531.5),
        caller_cpu_ns_per_command: Some(99.5),
        client_cpu: Some(ClientCpu {
            busy_share: 0.0125,
            idle_ns_per_second: Some(4e6),
            above_idle_ns_per_command: Some(491.5),
        }),
        bytes_per_second: BYTES,
        by_command: BTreeMap::from([("GET".to_owned(), gets())]),
        latency_us: Some(LATENCY),
        latency_with_failures_us: Some(Latency { max: 500_000.0, ..LATENCY }),
        latency_during_handoff_us: Some(LATENCY),
        service_time_us: Some(LATENCY),
        longest_gap_us: Some(7.5),
        machine: Machine::example(),
        maintenance: observed(),
        reconnects: 1,
        connections: BTreeMap::from([("127.0.0.1:7002".to_owned(), 8)]),
        servers: Vec::new(),
        shards: vec![ShardReport {
            core: Some(1),
            commands: Some(1000),
            throughput_per_second: Some(100.0),
            busy_share: Some(0.5),
            run_queue_wait_share: Some(0.125),
        }],
        maintenance_windows: Vec::new(),
        timeline: Vec::new(),
        cleanup: None,
        recorded: Recorded::example(),
    }
}

fn verified() -> VerifyReport {
    VerifyReport {
        checked: 900,
        mismatched: 1,
        examples: vec!["GET key:000000000001: nothing".to_owned()],
        audit: Audit { answered: 60, ambiguous: 1, counter: Some(61) },
    }
}

fn gets() -> CommandReport {
    CommandReport {
        count: 1000,
        failed: 2,
        throughput_per_second: 100.0,
        hits: Some(997),
        misses: Some(3),
        bytes_per_second: BYTES,
        latency_us: Some(LATENCY),
    }
}

fn observed() -> MaintenanceReport {
    MaintenanceReport {
        notifications: 16,
        duplicates: 14,
        malformed: 1,
        handoffs: HandoffCounts { expected: Some(9), started: 8, succeeded: 6, failed: 1, superseded: 1 },
        handoff_duration_us: Some(Spread { p50: 800.0, max: 1500.0 }),
        movings: vec![Moving {
            at_seconds: 5.0,
            from: ([127, 0, 0, 1], 7001).into(),
            to: ([127, 0, 0, 1], 7002).into(),
            grace_seconds: 2,
        }],
    }
}

const LATENCY: Latency =
    Latency { min: 1.0, mean: 2.0, p50: 2.0, p90: 3.0, p99: 4.0, p99_9: 5.0, p99_99: 6.0, max: 7.125 };
const BYTES: BytesPerSecond = BytesPerSecond { sent: 3600.0, received: 7100.0 };
