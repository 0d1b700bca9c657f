//! What is looked at of an endpoint, step by step, as far as one gets.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::cli::topology::Topology;
use crate::cli::{remedy, stop};
use crate::shard::machine::{Finding, Level};
use crate::{Client, Config, Error, ErrorKind, Maintenance, ResolvedConfig, Result};

/// Where the machine is the problem already.
pub(super) fn not_asked() -> Finding {
    Finding::warn("connect", "not tried", "mend the machine first")
}

/// Looks at it, and stops where it makes no sense to go on.
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

/// The name, and the socket, without anything that is said on it.
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
                let remedy =
                    format!("each connection is slower by the addresses before it: {}", texts(&refused));
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
            "no answer came: check the address, and firewalls on the path"
        }
        io::ErrorKind::PermissionDenied => "this user may not: check the permissions of the socket",
        io::ErrorKind::NotFound => "there is no such socket: check the path, and whether the server runs",
        _ => "check the address, and the network on the way",
    }
}

/// A handshake, a PING and a question, with whatever maintenance mode; whether it makes sense to go on.
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
        Some(Ok((round_trip, topology))) => {
            if is_tls {
                findings.push(Finding::ok("TLS", setting(effective, "tls")));
            }
            findings.push(Finding::ok("login", format!("a PING took {round_trip:.1?}")));
            findings.push(keys(&topology));
            topology.misfit().is_none()
        }
        Some(Err(error)) => {
            findings.push(unused(&error, is_tls));
            false
        }
    }
}

/// Why there is no connection that can be used.
fn unused(error: &Error, is_tls: bool) -> Finding {
    let (problem, remedy) = remedy::parts(error);
    let (check, otherwise) = match error.kind() {
        ErrorKind::Auth => ("login", "check the user and the password"),
        ErrorKind::Machine => ("login", "see this machine, above"),
        ErrorKind::Tls => ("TLS", "check that the port speaks TLS"),
        _ if is_tls => ("TLS", "check that the port speaks TLS, and whom its certificate is for and from"),
        _ => ("login", "check that it is a Redis, and whether the port speaks TLS (rediss://)"),
    };
    Finding::fail(check, problem, remedy.unwrap_or(otherwise))
}

/// Whether one server has all the keys.
fn keys(topology: &Topology) -> Finding {
    const CHECK: &str = "keys";
    match (topology.misfit(), topology) {
        (Some(misfit), _) => Finding::fail(CHECK, misfit.problem, misfit.remedy),
        (None, Topology::Replica) => {
            let remedy = "commands that write are refused: give the --url of its primary, or only read";
            Finding::warn(CHECK, "the server is a replica", remedy)
        }
        (None, Topology::Unknown) => Finding::ok(CHECK, "the server does not say whether it has all of them"),
        (None, _) => Finding::ok(CHECK, "the server has all of them"),
    }
}

/// RESP3 and maintenance notifications: by insisting on both.
fn maintenance(config: &Config, effective: &ResolvedConfig, stop: &AtomicBool, findings: &mut Vec<Finding>) {
    const CHECK: &str = "maintenance";
    let mode = setting(effective, "maintenance.mode");
    if mode == "disabled" {
        return findings.push(Finding::ok(CHECK, "switched off by the URL: not asked"));
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
            "RESP3 is spoken since Redis 6; without it there are no maintenance notifications",
        )),
        // Most servers offer none, and nothing is wrong with them.
        ErrorKind::MaintRefused if mode != "enabled" => {
            let found = "notifications are not offered, as by every Redis but Redis Enterprise and Redis Cloud; \
                         connections that are lost are made again";
            findings.extend([spoken(), Finding::ok(CHECK, found)]);
        }
        ErrorKind::MaintRefused => findings.extend([
            spoken(),
            missing(
                CHECK,
                "notifications are not offered, and the URL insists on them".to_owned(),
                "switch them on for the database, if it is one of Redis Enterprise or Redis Cloud; or leave out \
                 maint=enabled",
            ),
        ]),
        ErrorKind::MaintDenied => findings.extend([
            spoken(),
            missing(CHECK, error.problem(), "allow the user to ask: ACL SETUSER … +client|maint_notifications"),
        ]),
        _ => findings.push(missing(CHECK, error.to_string(), "try again: it worked without a moment ago")),
    }
}

fn interrupted(check: &'static str) -> Finding {
    Finding::fail(check, "interrupted", "run it again")
}

/// Connects once, and says how long a PING takes and what kind of server it is; `None` if the user does not want to
/// wait for it.
fn session(
    config: Config,
    effective: &ResolvedConfig,
    stop: &AtomicBool,
) -> Option<Result<(Duration, Topology)>> {
    let client = match Client::start(config.shards(1).connections_per_shard(1)) {
        Ok(client) => client,
        Err(error) => return Some(Err(error)),
    };
    let patience = effective.connect_timeout() + SLACK;
    let talk = async {
        client.ready(patience).await?;
        let begin = Instant::now();
        client.ping().await?;
        Ok((begin.elapsed(), Topology::ask(&client).await))
    };
    let result = stop::unless(stop, talk);
    // What was asked is answered; how the connection closes changes nothing about it.
    let _ = futures_lite::future::block_on(client.shutdown(SLACK));
    result
}

fn setting(effective: &ResolvedConfig, name: &str) -> String {
    let mut fields = effective.fields().into_iter();
    fields.find(|(field, _)| *field == name).map(|(_, value)| value).unwrap_or_default()
}

/// What the error of the last attempt to connect needs to arrive, and a connection to close.
const SLACK: Duration = Duration::from_millis(200);
