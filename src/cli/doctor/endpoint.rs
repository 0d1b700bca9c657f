//! The checks of an endpoint, in order, until one of them rules out the rest.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::rights;
use crate::cli::remedy;
use crate::cli::terminal::stop;
use crate::cli::topology::{CONNECT_SLACK, Topology};
use crate::shard::machine::{Finding, Level};
use crate::{Client, Config, Error, ErrorKind, Maintenance, ResolvedConfig, Result};

/// The finding for an endpoint that is not checked because the machine failed.
pub(super) fn not_checked() -> Finding {
    Finding::warn("connect", "not tried", "fix the machine first")
}

/// Runs the checks until one of them rules out the rest.
pub(super) fn examine(config: &Config, effective: &ResolvedConfig, stop: &AtomicBool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match reach(effective, &mut findings) {
        Err(unreached) => findings.push(unreached),
        Ok(reached) => {
            findings.push(reached);
            if log_in(config, effective, stop, &mut findings) {
                maintenance(config, effective, stop, &mut findings);
            }
        }
    }
    findings
}

/// Resolves the name and connects, without sending anything.
fn reach(effective: &ResolvedConfig, findings: &mut Vec<Finding>) -> std::result::Result<Finding, Finding> {
    let (endpoint, timeout) = (effective.endpoint(), effective.connect_timeout());
    if let Some(path) = endpoint.path() {
        let begin = Instant::now();
        return match UnixStream::connect(path) {
            Ok(_) => Ok(Finding::ok("connect", format!("in {:.1?}", begin.elapsed()))),
            Err(error) => Err(Finding::fail("connect", error.to_string(), advice(&error))),
        };
    }
    let addresses = match endpoint.socket_addr() {
        Some(address) => vec![address],
        None => {
            let addresses = look_up(effective)?;
            let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            findings.push(Finding::ok("name", list.join(", ")));
            addresses
        }
    };
    let mut refused = Vec::new();
    for address in &addresses {
        let begin = Instant::now();
        match TcpStream::connect_timeout(address, timeout) {
            Ok(_) => {
                let found = format!("{address} in {:.1?}", begin.elapsed());
                if refused.is_empty() {
                    return Ok(Finding::ok("connect", found));
                }
                let remedy = format!(
                    "every connection first waits for the addresses that failed: {}",
                    texts(&refused)
                );
                return Ok(Finding::warn("connect", found, remedy));
            }
            Err(error) => refused.push((*address, error)),
        }
    }
    let remedy = refused.last().map_or("check the name", |(_, error)| advice(error));
    Err(Finding::fail("connect", texts(&refused), remedy))
}

fn look_up(effective: &ResolvedConfig) -> std::result::Result<Vec<SocketAddr>, Finding> {
    const REMEDY: &str = "check the name, and the resolver (/etc/resolv.conf, /etc/hosts)";
    let endpoint = effective.endpoint();
    match effective.resolver().resolve(endpoint.host(), endpoint.port()) {
        Ok(addresses) if addresses.is_empty() => Err(Finding::fail("name", "it has no address", REMEDY)),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(Finding::fail("name", error.to_string(), REMEDY)),
    }
}

fn texts(refused: &[(SocketAddr, io::Error)]) -> String {
    refused.iter().map(|(address, error)| format!("{address}: {error}")).collect::<Vec<_>>().join("; ")
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "no server listens there: check the port, and whether the server runs"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "no answer arrived: check the address, and firewalls on the path"
        }
        io::ErrorKind::PermissionDenied => "permission denied: check the permissions of the socket",
        io::ErrorKind::NotFound => "no such socket: check the path, and whether the server runs",
        _ => "check the address and the network",
    }
}

/// Logs in, sends a PING and asks for the topology, without maintenance notifications. Returns whether the next check
/// makes sense.
fn log_in(
    config: &Config,
    effective: &ResolvedConfig,
    stop: &AtomicBool,
    findings: &mut Vec<Finding>,
) -> bool {
    let is_tls = setting(effective, "tls") != "(none)";
    match session(config.clone().maintenance(Maintenance::disabled()), effective, stop) {
        None => {
            findings.push(interrupted("login"));
            false
        }
        Some(Ok((round_trip, topology, rights))) => {
            if is_tls {
                findings.push(Finding::ok("TLS", setting(effective, "tls")));
            }
            findings.push(Finding::ok("login", format!("a PING took {round_trip:.1?}")));
            findings.push(keys(&topology));
            let is_suitable = topology.unsuitable().is_none();
            if is_suitable {
                findings.extend(rights);
            }
            is_suitable
        }
        Some(Err(error)) => {
            findings.push(connection_failure(&error, is_tls));
            false
        }
    }
}

/// The finding for a failed connection.
fn connection_failure(error: &Error, is_tls: bool) -> Finding {
    let (problem, remedy) = remedy::parts(error);
    let (check, otherwise) = match error.kind() {
        ErrorKind::Auth => ("login", "check the user and the password"),
        ErrorKind::Machine => ("login", "see the findings about this machine above"),
        ErrorKind::Tls => ("TLS", "check that the port speaks TLS"),
        _ if is_tls => {
            ("TLS", "check that the port speaks TLS, and the name and the issuer of its certificate")
        }
        _ => ("login", "check that the server is a Redis, and whether its port speaks TLS (rediss://)"),
    };
    Finding::fail(check, problem, remedy.unwrap_or(otherwise))
}

/// Whether the server holds all keys.
fn keys(topology: &Topology) -> Finding {
    const CHECK: &str = "keys";
    match (topology.unsuitable(), topology) {
        (Some(unsuitable), _) => Finding::fail(CHECK, unsuitable.problem, unsuitable.remedy),
        (None, Topology::Replica) => {
            let remedy = "it rejects writes: give the --url of its primary, or send only reads";
            Finding::warn(CHECK, "the server is a replica", remedy)
        }
        (None, Topology::Unknown) => Finding::ok(CHECK, "the server does not tell whether it holds all keys"),
        (None, _) => Finding::ok(CHECK, "the server holds all keys"),
    }
}

/// Checks RESP3 and maintenance notifications with a connection that requires both.
fn maintenance(config: &Config, effective: &ResolvedConfig, stop: &AtomicBool, findings: &mut Vec<Finding>) {
    const CHECK: &str = "maintenance";
    let mode = setting(effective, "maintenance.mode");
    if mode == "disabled" {
        return findings.push(Finding::ok(CHECK, "disabled by the URL: not asked"));
    }
    if effective.endpoint().path().is_some() {
        return findings.push(Finding::ok(CHECK, "a unix socket has no other address to move to: not asked"));
    }
    let spoken = || Finding::ok("protocol", "RESP3");
    let missing = |check, found: String, remedy: &str| Finding {
        level: if mode == "enabled" { Level::Fail } else { Level::Warn },
        ..Finding::warn(check, found, remedy)
    };
    let error = match session(config.clone().maintenance(Maintenance::enabled()), effective, stop) {
        None => return findings.push(interrupted(CHECK)),
        Some(Ok(_)) => {
            let offered = Finding::ok(CHECK, "notifications are offered: connections are handed off");
            return findings.extend([spoken(), offered]);
        }
        Some(Err(error)) => error,
    };
    match error.kind() {
        ErrorKind::Resp3NotNegotiated => findings.push(missing(
            "protocol",
            "the server speaks RESP2 only".to_owned(),
            "use Redis 6 or later: maintenance notifications need RESP3",
        )),
        // Most servers offer none, which is no fault.
        ErrorKind::MaintRefused if mode != "enabled" => {
            let found = "notifications are not offered; only Redis Enterprise and Redis Cloud offer them. The client \
                         replaces lost connections";
            findings.extend([spoken(), Finding::ok(CHECK, found)]);
        }
        ErrorKind::MaintRefused => findings.extend([
            spoken(),
            missing(
                CHECK,
                "notifications are not offered, and the URL requires them".to_owned(),
                "enable them for the database, if it is one of Redis Enterprise or Redis Cloud; or leave out \
                 maint=enabled",
            ),
        ]),
        ErrorKind::MaintDenied => findings.extend([
            spoken(),
            missing(
                CHECK,
                error.problem(),
                "allow the user to ask: ACL SETUSER … +client|maint_notifications",
            ),
        ]),
        _ => findings.push(missing(
            CHECK,
            error.to_string(),
            "try again: a connection without notifications worked a moment ago",
        )),
    }
}

fn interrupted(check: &'static str) -> Finding {
    Finding::fail(check, "interrupted", "run it again")
}

/// Connects once and returns the time of a PING, the kind of the server and what the user may do there; `None` if the user
/// interrupts it.
fn session(
    config: Config,
    effective: &ResolvedConfig,
    stop: &AtomicBool,
) -> Option<Result<(Duration, Topology, Vec<Finding>)>> {
    let client = match Client::start(config.shards(1).connections_per_shard(1)) {
        Ok(client) => client,
        Err(error) => return Some(Err(error)),
    };
    let deadline = effective.connect_timeout() + CONNECT_SLACK;
    let talk = async {
        client.ready(deadline).await?;
        let begin = Instant::now();
        client.ping().await?;
        let round_trip = begin.elapsed();
        Ok((round_trip, Topology::ask(&client).await, rights::ask(&client).await))
    };
    let result = stop::unless_stopped(stop, talk);
    // The answers are complete. The way in which the connection closes does not change them.
    let _ = futures_lite::future::block_on(client.shutdown(CONNECT_SLACK));
    result
}

fn setting(effective: &ResolvedConfig, name: &str) -> String {
    let mut fields = effective.fields().into_iter();
    fields.find(|(field, _)| *field == name).map(|(_, value)| value).unwrap_or_default()
}
