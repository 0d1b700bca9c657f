//! The effect of the machine on a run, as text.

use std::fmt::Write;

use crate::cli::units::micros;
use crate::load::Machine;

/// Writes the statistics of the machine, and a warning for each that distorts the figures.
pub(crate) fn write(out: &mut String, machine: &Machine) -> std::fmt::Result {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut parts = Vec::new();
    if let Some(pause) = machine.pause_max_us {
        let at = machine.pause_max_at_seconds.map_or_else(String::new, |at| format!(" at {at:.2} s"));
        parts.push(format!("longest pause {}{at}", micros(pause)));
    }
    if let Some(waited) = machine.run_queue_wait_share {
        parts.push(format!("waited for a core {} of the time", percent(waited)));
    }
    if let Some(stolen) = machine.steal_share {
        parts.push(format!("{} stolen", percent(stolen)));
    }
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(out, "machine       {}", parts.join(" · "))?;
    for disturbance in &machine.disturbances {
        writeln!(out, "              NOT THE SERVER: {}", disturbance.message)?;
    }
    Ok(())
}

/// Names a long pause of the machine as a possible cause of a failed check.
pub(crate) fn write_pause(out: &mut String, machine: &Machine, means: &str) -> std::fmt::Result {
    match machine.long_pause_us() {
        Some(pause) => {
            writeln!(out, "              the machine stood still for {} in this run, {means}", micros(pause))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_and_warnings_have_lines_of_their_own() {
        let machine = Machine::example();
        let mut out = String::new();
        write(&mut out, &machine).expect("a string");
        let mut lines = out.lines();
        let first = "machine       longest pause 3.20 s at 4.10 s · waited for a core 12.5 % of the time · 0.4 % stolen";
        assert_eq!(lines.next(), Some(first));
        assert!(
            lines
                .next()
                .is_some_and(|line| line.contains("NOT THE SERVER: the machine was suspended or busy")),
            "{out}"
        );
        out.clear();
        write(&mut out, &Machine::default()).expect("a string");
        assert_eq!(out, "", "nothing was read");
    }

    #[test]
    fn a_check_names_a_long_pause_only() {
        let mut out = String::new();
        write_pause(&mut out, &Machine::default(), "which can be why").expect("a string");
        assert_eq!(out, "");
        write_pause(&mut out, &Machine::example(), "which can be why").expect("a string");
        assert_eq!(out, "              the machine stood still for 3.20 s in this run, which can be why\n");
    }
}
