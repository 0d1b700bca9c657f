//! One run: starts the client, lets it warm up, and measures its throughput, latency and CPU until the time is over. The CPU is
//! that of this process, or of a service that this process loads.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::callers::Callers;
use crate::peers::Drive;
use crate::plan::Plan;

/// Measures; the callers are still running afterwards.
pub fn run(plan: &Arc<Plan>, drive: Drive, cpu: impl Fn() -> Cpu) -> Value {
    let callers = Arc::new(Callers::new(plan.clone()));
    let (ready, is_ready) = mpsc::channel();
    let shared = callers.clone();
    thread::spawn(move || drive(shared, ready));
    is_ready.recv_timeout(CONNECTED_WITHIN).expect("the client is not connected");
    if let Some(schedule) = callers.schedule {
        thread::sleep(schedule.begin.saturating_duration_since(Instant::now()));
    }
    thread::sleep(plan.warmup);
    let (begin, before, rounds_before) = (Instant::now(), cpu(), callers.rounds());
    callers.measure();
    thread::sleep(plan.time);
    let (time, after, rounds) = (begin.elapsed(), cpu(), callers.rounds());
    callers.stop();

    let each = || rounds.iter().zip(&rounds_before).map(|(after, before)| after - before);
    let commands = each().sum::<u64>() * plan.commands_per_round() as u64;
    assert!(commands > 0, "nothing was answered");
    let per_command = |time: Duration| time.as_nanos() as f64 / commands as f64;
    let (user, system) = (after.user - before.user, after.system - before.system);
    let latency = callers.latency();
    let micros = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    json!({
        "commands": commands,
        "seconds": time.as_secs_f64(),
        "per_second": commands as f64 / time.as_secs_f64(),
        "cpu_ns": per_command(user + system),
        "user_ns": per_command(user),
        "system_ns": per_command(system),
        "starved": each().filter(|rounds| *rounds == 0).count(),
        "latency_us": (!latency.is_empty()).then(|| json!({
            "p50": micros(0.5), "p99": micros(0.99), "p999": micros(0.999), "max": micros(1.0),
        })),
    })
}

pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

/// The CPU time of all threads of this process.
pub fn own_cpu() -> Cpu {
    // SAFETY: all-zero numbers are a valid value, and the call writes one of that size.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let duration = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Cpu { user: duration(usage.ru_utime), system: duration(usage.ru_stime) }
}

const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
