//! The CPU cost of the client's threads: while idle, and for each command.

use std::time::Duration;

use serde::Serialize;

use crate::load::recording::latency::round;

/// The CPU time of the shards' threads, split into idle cost and cost for each command.
///
/// At a low rate a shard sleeps between two commands: each command pays for its own wake-up, and the idle cost is
/// spread over few commands. At a high rate many commands share one wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClientCpu {
    /// The part of the measured time in which a shard's thread ran, on average: 1 is a whole core.
    pub busy_share: f64,
    /// CPU time of all shards in a second without commands, in nanoseconds. Measured before runs whose callers wait (a
    /// rate or a think time); absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ns_per_second: Option<f64>,
    /// CPU time of a command above the idle cost, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_idle_ns_per_command: Option<f64>,
}

impl ClientCpu {
    /// `used`: CPU time of all shards in `elapsed`. `idle`: their CPU time in a second without commands.
    pub(crate) fn new(
        used: Duration,
        elapsed: Duration,
        shards: usize,
        idle: Option<Duration>,
        answered: u64,
    ) -> ClientCpu {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        let above = idle.map(|idle| used.saturating_sub(idle.mul_f64(seconds)).as_nanos() as f64);
        ClientCpu {
            // A run that was interrupted at once has no time to divide by.
            busy_share: round((used.as_secs_f64() / seconds / shards.max(1) as f64).min(1.0), 4),
            idle_ns_per_second: idle.map(|idle| idle.as_nanos() as f64),
            above_idle_ns_per_command: above
                .filter(|_| answered > 0)
                .map(|above| round(above / answered as f64, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_cost_is_separate_from_command_cost() {
        let (used, idle) = (Duration::from_millis(50), Some(Duration::from_millis(4)));
        let cpu = ClientCpu::new(used, Duration::from_secs(10), 2, idle, 1000);
        assert_eq!(cpu.busy_share, 0.0025);
        assert_eq!(cpu.idle_ns_per_second, Some(4e6));
        assert_eq!(cpu.above_idle_ns_per_command, Some(10_000.0));
        let cpu = ClientCpu::new(used, Duration::from_secs(100), 1, idle, 0);
        assert_eq!((cpu.above_idle_ns_per_command, cpu.busy_share), (None, 0.0005));
        let busy = ClientCpu::new(used, Duration::from_secs(10), 2, None, 1000);
        assert_eq!((busy.idle_ns_per_second, busy.above_idle_ns_per_command), (None, None));
    }
}
