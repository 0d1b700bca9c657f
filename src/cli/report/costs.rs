//! The costs of a run as text: CPU time of the client and bytes on the wire.

use std::fmt::Write;

use crate::cli::units::{self, micros};
use crate::load::Report;

pub(crate) fn write_costs(out: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(cpu) = report.client_cpu_ns_per_command {
        write!(out, "client CPU    {cpu:.0} ns a command")?;
        match report.caller_cpu_ns_per_command {
            Some(callers) => writeln!(out, ", and {callers:.0} ns on the callers' threads")?,
            None => writeln!(out)?,
        }
        write_idle(out, report)?;
    }
    let bytes = report.bytes_per_second;
    if bytes.sent > 0.0 {
        let (sent, received) = (units::bytes(bytes.sent), units::bytes(bytes.received));
        writeln!(out, "bytes         {sent}/s of commands, {received}/s of replies")?;
    }
    Ok(())
}

/// The CPU time of the idle client, which dominates the cost of a command at low rates.
fn write_idle(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(cpu) = &report.client_cpu else { return Ok(()) };
    let (Some(idle), Some(above)) = (cpu.idle_ns_per_second, cpu.above_idle_ns_per_command) else {
        return Ok(());
    };
    let busy = cpu.busy_share * 100.0;
    writeln!(
        out,
        "              waiting costs {} of CPU a second without any command; a command adds {above:.0} ns",
        micros(idle / 1e3),
    )?;
    writeln!(
        out,
        "              the shards ran {busy:.1} % of the time: with fewer commands per wake-up, each one costs more",
    )
}
