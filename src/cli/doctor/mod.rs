//! `hitless doctor`: checks this machine and an endpoint, and says how to fix what does not work.

mod endpoint;
mod rights;

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::exit::{FAILED, Failure, SUCCESS, UNREACHABLE};
use crate::cli::options::config_error;
use crate::cli::options::limits::{CONNECTIONS_MAX, SHARDS_MAX, count};
use crate::cli::options::login::LoginArgs;
use crate::cli::options::parse;
use crate::cli::options::tls::PeerArgs;
use crate::cli::report::sink::{self, Sink};
use crate::cli::terminal::stop;
use crate::cli::terminal::style::{Style, Styles};
use crate::cli::units::plural;
use crate::cli::wrap::wrap;
use crate::config::allowed_cores;
use crate::shard::machine::{self, Cores, Facts, Finding, Level, Needs};
use crate::{Config, ResolvedConfig};

/// Options of `hitless doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Also check this endpoint: redis://[user:password@]host[:port][/database][?option=value]
    #[arg(long, value_name = "URL", env = "HITLESS_URL", hide_env_values = true)]
    url: Option<String>,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    tls: PeerArgs,
    /// How long a connection attempt may take, e.g. 500ms [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    connect_timeout: Option<Duration>,
    /// Check the resources for this many executors [default: one per core that this process may use, within the CPU
    /// limit of its control group]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, SHARDS_MAX))]
    shards: Option<u64>,
    /// Check the resources for this many connections per shard [default: 4, or what the URL says]
    #[arg(long, value_name = "N", value_parser = |s: &str| parse::number(s, 1, CONNECTIONS_MAX))]
    connections: Option<u64>,
    /// Write the findings as JSON to this file; - writes them to standard output, in place of the text
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// Show only warnings and failures; with --json, no text at all
    #[arg(long)]
    quiet: bool,
}

/// All findings.
struct Diagnosis {
    needs: Needs,
    machine: Vec<Finding>,
    /// The endpoint, without secrets, and its findings.
    endpoint: Option<(String, Vec<Finding>)>,
}

/// Runs all checks and returns the exit code.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let (config, effective) = config(args)?;
    let json = sink::open("--json", args.json.as_deref())?;
    let needs =
        Needs { shards: effective.shard_cores().len(), connections: effective.connections_per_shard() };
    let machine = machine::examine(&Facts::read(), &Cores::read(&allowed_cores()), needs);
    let endpoint = args.url().map(|_| {
        let findings = match worst(&machine) {
            Level::Fail => vec![endpoint::not_checked()],
            Level::Ok | Level::Warn => endpoint::examine(&config, &effective, &stop),
        };
        (effective.endpoint().to_string(), findings)
    });
    let diagnosis = Diagnosis { needs, machine, endpoint };
    write(args, json, &diagnosis).map_err(Failure::Failed)?;
    Ok(if stop.load(Ordering::Relaxed) { stop::code() } else { diagnosis.code() })
}

impl DoctorArgs {
    /// The URL. An empty one, as from an empty variable, is ignored.
    fn url(&self) -> Option<&str> {
        self.url.as_deref().filter(|url| !url.is_empty())
    }
}

fn config(args: &DoctorArgs) -> Result<(Config, ResolvedConfig), Failure> {
    let url = args.url().unwrap_or("redis://localhost");
    let config = Config::from_url(url).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    let mut config = args.tls.apply(args.login.apply(config, args.url().is_none())?, args.url())?;
    if let Some(timeout) = args.connect_timeout {
        config = config.connect_timeout(timeout);
    }
    config = match args.shards {
        Some(shards) => config.shards(count(shards)),
        None => config.shard_on_each_core(),
    };
    if let Some(connections) = args.connections {
        config = config.connections_per_shard(count(connections));
    }
    let effective = config.validate().map_err(|error| config_error::usage_error(&args.tls, &error))?;
    Ok((config, effective))
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

impl Diagnosis {
    fn code(&self) -> u8 {
        let endpoint = self.endpoint.as_ref().map_or(Level::Ok, |(_, findings)| worst(findings));
        match (worst(&self.machine), endpoint) {
            (Level::Fail, _) => UNREACHABLE,
            (_, Level::Fail) => FAILED,
            _ => SUCCESS,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.machine.iter().chain(self.endpoint.iter().flat_map(|(_, findings)| findings))
    }
}

fn write(args: &DoctorArgs, json: Option<Sink>, diagnosis: &Diagnosis) -> anyhow::Result<()> {
    let kept = json.map_or(Ok(()), |mut sink| sink.write_json(&document(diagnosis)));
    if args.json.as_deref() == Some("-") || (args.json.is_some() && args.quiet) {
        return kept;
    }
    let mut out = io::stdout().lock();
    let text = text(diagnosis, args.quiet, Styles::of(&out));
    sink::combine([
        kept,
        sink::write_whole(&mut out, text.as_bytes()).context("could not write the findings"),
    ])
}

fn text(diagnosis: &Diagnosis, quiet: bool, styles: Styles) -> String {
    let mut out = String::new();
    let width = diagnosis.all().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut section = |heading: &str, findings: &[Finding]| {
        let shown = findings.iter().filter(|finding| !quiet || finding.level != Level::Ok);
        let lines: String = shown.map(|finding| line(finding, width, styles)).collect();
        if !lines.is_empty() {
            let gap = if out.is_empty() { "" } else { "\n" };
            out.push_str(&format!("{gap}{}\n{lines}", styles.apply(Style::Heading, heading)));
        }
    };
    let Needs { shards, connections } = diagnosis.needs;
    let heading =
        format!("this machine, for {} with {connections} connections each", plural(shards, "shard"));
    section(&heading, &diagnosis.machine);
    if let Some((endpoint, findings)) = &diagnosis.endpoint {
        section(endpoint, findings);
    }
    if !quiet {
        let verdict = match diagnosis.all().map(|finding| finding.level).max() {
            Some(Level::Fail) if worst(&diagnosis.machine) == Level::Fail => {
                "This machine cannot run the client."
            }
            Some(Level::Fail) => "This machine can run the client; the endpoint failed a check.",
            Some(Level::Warn) => "This machine can run the client; see the warnings above.",
            Some(Level::Ok) | None if diagnosis.endpoint.is_some() => {
                "All well: this machine can run the client, and the endpoint works."
            }
            Some(Level::Ok) | None => "All well: this machine can run the client.",
        };
        out.push_str(&format!("\n{verdict}\n"));
    }
    out
}

fn line(finding: &Finding, width: usize, styles: Styles) -> String {
    let (name, style) = level(finding.level);
    let mark = styles.apply(style, &format!("{name:4}"));
    let indent = width + 10;
    let found = wrap(&finding.found, indent, LINE_LENGTH);
    let mut line = format!("  {mark}  {:width$}  {found}\n", finding.check);
    if let Some(remedy) = &finding.remedy {
        line.push_str(&format!("{:indent$}→ {}\n", "", wrap(remedy, indent + 2, LINE_LENGTH)));
    }
    line
}

fn level(level: Level) -> (&'static str, Style) {
    match level {
        Level::Ok => ("ok", Style::Good),
        Level::Warn => ("warn", Style::Warning),
        Level::Fail => ("fail", Style::Error),
    }
}

fn document(diagnosis: &Diagnosis) -> Value {
    let list = |findings: &[Finding]| -> Value {
        let one = |finding: &Finding| {
            json!({
                "check": finding.check,
                "level": level(finding.level).0,
                "found": finding.found,
                "remedy": finding.remedy,
            })
        };
        findings.iter().map(one).collect()
    };
    let worst = diagnosis.all().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let endpoint = diagnosis.endpoint.as_ref();
    let endpoint = endpoint.map(|(name, findings)| json!({ "endpoint": name, "findings": list(findings) }));
    json!({
        "version": 1,
        "level": level(worst).0,
        "shards": diagnosis.needs.shards,
        "connections_per_shard": diagnosis.needs.connections,
        "machine": { "findings": list(&diagnosis.machine) },
        "endpoint": endpoint,
    })
}

/// The length of a line that most terminals show whole.
const LINE_LENGTH: usize = 110;

const EXAMPLES: &str = "\
Examples:
  hitless doctor
      Check this machine for one shard per core.
  hitless doctor --shards 16 --connections 64
      Check the file descriptors and the locked memory for this many.
  hitless doctor --url rediss://db.example.com:6380 --json -
      Also check that this endpoint is reachable, speaks RESP3 and announces maintenance, and whether
      the user may end waits (CLIENT UNBLOCK) and cache replies (CLIENT TRACKING).
Give a password with --password-file or in HITLESS_PASSWORD: every user of the machine can read
a command line.

Exit codes:
  0 all well, or only warnings · 1 the endpoint failed a check · 2 usage ·
  3 this machine cannot run the client · 130 interrupted (143 by SIGTERM)";

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(machine: Level, endpoint: Option<Level>) -> Diagnosis {
        let finding = |level| Finding { level, ..Finding::warn("thing", "is so", "make it otherwise") };
        Diagnosis {
            needs: Needs { shards: 1, connections: 4 },
            machine: vec![Finding::ok("other thing", "fine"), finding(machine)],
            endpoint: endpoint.map(|level| ("db:7".to_owned(), vec![finding(level)])),
        }
    }

    #[test]
    fn the_exit_code_tells_machine_from_endpoint() {
        let (ok, warn, fail) = (Level::Ok, Level::Warn, Level::Fail);
        for (machine, endpoint, code) in [
            (ok, None, SUCCESS),
            (warn, Some(warn), SUCCESS),
            (ok, Some(fail), FAILED),
            (fail, None, UNREACHABLE),
            (fail, Some(fail), UNREACHABLE),
        ] {
            assert_eq!(diagnosis(machine, endpoint).code(), code);
        }
    }

    #[test]
    fn the_text_is_aligned_and_quiet_hides_good_findings() {
        let found = diagnosis(Level::Fail, Some(Level::Ok));
        let expected = "this machine, for 1 shard with 4 connections each
  ok    other thing  fine
  fail  thing        is so
                     → make it otherwise

db:7
  ok    thing        is so
                     → make it otherwise

This machine cannot run the client.
";
        assert_eq!(text(&found, false, Styles::new(false)), expected);
        assert!(text(&found, false, Styles::new(true)).contains("\x1b[31mfail\x1b[0m"));
        let quiet = text(&found, true, Styles::new(false));
        assert!(quiet.contains("is so") && !quiet.contains("fine") && !quiet.contains("db:7"), "{quiet}");
        assert_eq!(text(&diagnosis(Level::Ok, None), true, Styles::new(false)), "");
        let mut long = diagnosis(Level::Ok, None);
        long.machine[0].found = "word ".repeat(40);
        let long = text(&long, false, Styles::new(false));
        assert!(long.lines().count() > 6 && long.lines().all(|line| line.len() <= LINE_LENGTH), "{long}");
    }
}
