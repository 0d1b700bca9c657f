//! `hitless rehearse`: serves endpoints that announce maintenance, until Ctrl-C or the script ends them.

mod cluster;
mod scenario;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::Value;

use self::scenario::{Scenario, Step};
use crate::cli::exit::{FAILED, Failure, SUCCESS};
use crate::cli::options::parse;
use crate::cli::report::sink::{self, Sink};
use crate::cli::terminal::stop;
use crate::rehearsal::{
    ClusterConfig, Endpoints, EndpointsConfig, NodeId, ServerTls, UpstreamConfig, UpstreamTls,
};
use crate::shard::machine;
use crate::{Config, ConfigError, ResolvedConfig};

/// Options of `hitless rehearse`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RehearseArgs {
    /// Address to listen on, IP:PORT; repeat it for more listeners; port 0 takes a free port. Clients that use only
    /// the host of a MOVING need listeners on different hosts with one port, like the default ones
    #[arg(long, value_name = "ADDR", default_values = ["127.0.0.1:7001", "127.0.0.2:7001"])]
    #[arg(value_parser = listener)]
    listen: Vec<SocketAddr>,
    /// Serve a Redis Cluster in memory, e.g. 3x1: three primaries with one replica each. One --listen is the address of
    /// its first node, and the others follow on the next ports [default: 127.0.0.1:7001]; or repeat it for each node
    #[arg(long, value_name = "PRIMARIES[xREPLICAS]")]
    cluster: Option<ClusterConfig>,
    /// Nodes that do not belong to the cluster yet: REHEARSE JOIN adds one, and a MOVING to one moves a node there
    #[arg(long, value_name = "N", default_value = "0", requires = "cluster")]
    #[arg(value_parser = |text: &str| parse::number(text, 0, SPARES_MAX))]
    spares: u64,
    /// The Redis to forward commands to: redis://[user:password@]host[:port][/database], rediss:// with TLS, or
    /// unix:///path [default: one keyspace in memory, behind all listeners]
    #[arg(long, value_name = "URL", env = "HITLESS_UPSTREAM", hide_env_values = true)]
    upstream: Option<String>,
    /// Speak TLS on all listeners with this certificate; a PEM file, followed by its chain if it has one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert; a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept only clients with a certificate that one of these CAs has signed; a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// A timeline of REHEARSE verbs, as TOML
    #[arg(long, value_name = "FILE.toml")]
    script: Option<PathBuf>,
    /// Log every verb, opt-in, push, close and failed TLS handshake to standard error, one line each
    #[arg(long)]
    pub(crate) log: bool,
    /// At the end, write the STATS of every listener as JSON to this file; - writes them to standard output, and the
    /// line "ready:" to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// Write only errors to standard error
    #[arg(long)]
    quiet: bool,
}

impl RehearseArgs {
    /// The URL. An empty one, as from an empty variable, is ignored.
    fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref().filter(|url| !url.is_empty())
    }
}

/// Serves until Ctrl-C or until the scenario ends it, and returns the exit code.
pub(crate) fn run(args: &RehearseArgs) -> Result<u8, Failure> {
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let cluster = args.cluster.map(|cluster| ClusterConfig {
        spares: usize::try_from(args.spares).unwrap_or(usize::MAX),
        ..cluster
    });
    if cluster.is_some() && args.upstream().is_some() {
        return Err(usage("--cluster", "a cluster is in memory, so that --upstream cannot be used with it"));
    }
    let listen = match &cluster {
        Some(cluster) => cluster::listeners(cluster, &args.listen)?,
        None => args.listen.clone(),
    };
    check_listen(&listen)?;
    let mut config = EndpointsConfig { listen, ..EndpointsConfig::default() };
    config.server.cluster = cluster;
    config.tls = vec![server_tls(args)?];
    if let Some(url) = args.upstream() {
        config.upstream = Some(upstream(url)?);
    }
    let scenario = match &args.script {
        Some(path) => Some(read(path, &config)?),
        None => None,
    };
    let json = sink::open("--json", args.json.as_deref())?;
    // The error of this check says how to fix the machine.
    machine::io_uring().map_err(|error| Failure::Unreachable(error.into()))?;
    if let Some(upstream) = &config.upstream {
        // As the listeners will: the upstream must be reachable and accept the login.
        reach(upstream, &stop)?;
    }
    // The display form has no password.
    let upstream = config.upstream.as_ref().map(ToString::to_string);
    let endpoints =
        Endpoints::start(config).context("could not start the endpoints").map_err(Failure::Unreachable)?;
    let addresses = endpoints.addresses().to_vec();
    if !args.quiet {
        // A closed terminal must not end the service.
        let nodes = cluster.as_ref().map(|_| cluster::nodes(&endpoints)).transpose();
        let nodes = nodes.map_err(Failure::Failed)?;
        let banner = banner(args, &addresses, upstream.as_deref(), nodes.as_deref());
        let _ = io::stderr().write_all(banner.as_bytes());
    }
    let steps = match &scenario {
        Some(scenario) => scenario.steps(&addresses).map_err(|error| usage("--script", &error))?,
        None => Vec::new(),
    };
    schedule(&endpoints, steps).map_err(Failure::Failed)?;
    print_ready(args, &addresses).map_err(Failure::Failed)?;
    let exits = scenario.as_ref().is_some_and(Scenario::exits);
    let failed = wait(&endpoints, exits, &stop).map_err(Failure::Failed)?;
    if let Some(out) = json {
        report(&endpoints, out).map_err(Failure::Failed)?;
    }
    endpoints.stop().context("the endpoints ended with an error").map_err(Failure::Failed)?;
    Ok(if failed == 0 { SUCCESS } else { FAILED })
}

fn usage(option: &str, error: &str) -> Failure {
    Failure::Usage(format!("{option}: {error}"))
}

/// The certificate of the listeners, if they speak TLS.
fn server_tls(args: &RehearseArgs) -> Result<Option<ServerTls>, Failure> {
    let (Some(chain), Some(key)) = (&args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let tls = ServerTls::from_pem(&pem("--tls-cert", chain)?, &pem("--tls-key", key)?)
        .map_err(|error| usage("--tls-cert, --tls-key", &error.to_string()))?;
    let Some(ca) = &args.tls_client_ca else {
        return Ok(Some(tls));
    };
    let tls = tls.require_client_certificate(&pem("--tls-client-ca", ca)?);
    tls.map(Some).map_err(|error| usage("--tls-client-ca", &error.to_string()))
}

fn pem(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| usage(option, &format!("cannot read {}: {error}", path.display())))
}

/// The Redis that executes the commands.
fn upstream(url: &str) -> Result<UpstreamConfig, Failure> {
    let wrong = |error: ConfigError| usage("--upstream", &error.to_string());
    let parsed = Config::from_url(url).and_then(|config| config.validate()).map_err(wrong)?;
    upstream_of(&parsed).map_err(|error| usage("--upstream", &error))
}

/// The server that a client would talk to with this configuration.
pub(crate) fn upstream_of(parsed: &ResolvedConfig) -> Result<UpstreamConfig, String> {
    let (username, password, database) = parsed.login();
    let tls = match parsed.tls() {
        None => None,
        Some(tls) => {
            let names = parsed.endpoint().tls_names(parsed.endpoint(), tls.explicit_name());
            let (config, name) = tls.connector(&names)?;
            Some(UpstreamTls::from_config(config, name))
        }
    };
    Ok(UpstreamConfig {
        host: parsed.endpoint().host().to_owned(),
        port: parsed.endpoint().port(),
        path: parsed.endpoint().path().map(PathBuf::from),
        tls,
        username: username.map(str::to_owned),
        password: password.map(str::to_owned),
        database,
    })
}

/// Checks that the upstream answers, until the user interrupts it.
fn reach(upstream: &UpstreamConfig, stop: &AtomicBool) -> Result<(), Failure> {
    let (done, answer) = mpsc::channel();
    let asked = upstream.clone();
    // After an interrupt, this thread ends with the process.
    thread::spawn(move || done.send(asked.check(REACH_TIMEOUT)));
    loop {
        match answer.recv_timeout(POLL_INTERVAL) {
            // On a busy machine the attempt may time out before this thread sees the interrupt.
            Ok(Err(_)) if stop.load(Ordering::Relaxed) => {
                return Err(Failure::Interrupted("while connecting"));
            }
            Ok(checked) => {
                return checked
                    .with_context(|| format!("cannot reach the upstream at {upstream}"))
                    .map_err(Failure::Unreachable);
            }
            Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            Err(_) => return Err(Failure::Interrupted("while connecting")),
        }
    }
}

/// Where to listen: an IP address and a port.
fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "allowed: IP:PORT, e.g. 127.0.0.1:7001, [::1]:7001; port 0 takes a free one".to_owned())
}

fn check_listen(listen: &[SocketAddr]) -> Result<(), Failure> {
    for (index, address) in listen.iter().enumerate() {
        if address.port() != 0 && listen.iter().take(index).any(|other| other == address) {
            return Err(usage("--listen", &format!("{address} is given twice")));
        }
    }
    Ok(())
}

/// Reads the scenario and tries it out before any listener starts, so that a mistake interrupts no client.
fn read(path: &Path, config: &EndpointsConfig) -> Result<Scenario, Failure> {
    let placeholder = |(index, address): (usize, &SocketAddr)| {
        let mut address = *address;
        if address.port() == 0 {
            address.set_port(PLACEHOLDER_PORT.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        address
    };
    let listen: Vec<SocketAddr> = config.listen.iter().enumerate().map(placeholder).collect();
    let scenario = Scenario::read(path).map_err(|error| usage("--script", &error))?;
    scenario
        .steps(&listen)
        .and_then(|steps| scenario.dry_run(&steps, &config.server, &listen))
        .map_err(|error| usage("--script", &error))?;
    Ok(scenario)
}

fn schedule(endpoints: &Endpoints, steps: Vec<Step>) -> anyhow::Result<()> {
    // The server's clock is Unix time as well.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    endpoints.with_server(move |server| {
        for step in steps {
            server.schedule(scenario::micros(now + step.at), NodeId(step.node), step.words_as_bytes());
        }
    })?;
    Ok(())
}

/// One line for scripts to wait for.
fn print_ready(args: &RehearseArgs, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let line = format!("ready: {}\n", listed(addresses));
    let written = match args.json.as_deref() {
        Some("-") => io::stderr().write_all(line.as_bytes()),
        _ => io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()),
    };
    written.context("could not write the line that says ready")
}

fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    all.join(" ")
}

/// Waits for the end and returns the number of steps of the scenario that failed.
fn wait(endpoints: &Endpoints, exits: bool, stop: &AtomicBool) -> anyhow::Result<u64> {
    let look = || endpoints.with_server(|server| (server.planned(), server.failed_steps()));
    while !stop.load(Ordering::Relaxed) {
        let (left, _) = look().context("the endpoints have ended")?;
        if exits && left == 0 {
            break;
        }
        thread::park_timeout(POLL_INTERVAL);
    }
    let (_, failed) = look().context("the endpoints have ended")?;
    Ok(failed)
}

/// Writes the reply to `REHEARSE STATS`, which covers all listeners.
fn report(endpoints: &Endpoints, mut out: Sink) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let words = [b"STATS".to_vec()];
    let stats = endpoints
        .with_server(move |server| server.rehearse(NodeId(0), scenario::micros(now), &words))?
        .map_err(|error| anyhow!("STATS: {error}"))?;
    let stats: Value = serde_json::from_str(&stats).context("STATS is not JSON")?;
    out.write_json(&stats)
}

/// The addresses and sample commands, for people.
fn banner(
    args: &RehearseArgs,
    addresses: &[SocketAddr],
    upstream: Option<&str>,
    nodes: Option<&str>,
) -> String {
    let data = match (upstream, nodes) {
        (Some(upstream), _) => format!("in front of the Redis at {upstream}"),
        (None, Some(_)) => "a cluster in memory".to_owned(),
        (None, None) => "one keyspace in memory".to_owned(),
    };
    let tls = match (&args.tls_cert, &args.tls_client_ca) {
        (None, _) => "",
        (Some(_), None) => " · TLS",
        (Some(_), Some(_)) => " · TLS, and clients show a certificate",
    };
    let mut text = format!("listening on {} · {data}{tls}\n", listed(addresses));
    text.push_str(nodes.unwrap_or_default());
    let Some(first) = addresses.first() else {
        return text;
    };
    let target = addresses.get(1).unwrap_or(first);
    text.push_str("drive it from another terminal:\n");
    let examples = match nodes {
        None => [format!("MOVING 15 {target}"), "FAILING_OVER 2".to_owned(), "STATS --pretty".to_owned()],
        Some(_) => cluster::EXAMPLES.map(str::to_owned),
    };
    for words in &examples {
        let (address, tls) = (address_options(first), tls_options(args));
        // In RESP3, redis-cli prints a text with its line breaks.
        let resp3 = if words.starts_with("STATS") || words == "NODES" { " -3" } else { "" };
        text.push_str(&format!("  redis-cli{resp3}{tls}{address} REHEARSE {words}\n"));
    }
    if let Some(certificate) = &args.tls_cert {
        let path = certificate.display();
        text.push_str(&format!(
            "CA.pem is the certificate of the CA that signed {path}; for a self-signed one, {path} itself\n"
        ));
    }
    text
}

/// The TLS options of redis-cli.
fn tls_options(args: &RehearseArgs) -> &'static str {
    match (&args.tls_cert, &args.tls_client_ca) {
        (None, _) => "",
        (Some(_), None) => " --tls --cacert CA.pem",
        (Some(_), Some(_)) => " --tls --cacert CA.pem --cert CLIENT.pem --key CLIENT-KEY.pem",
    }
}

/// The address options of redis-cli.
fn address_options(address: &SocketAddr) -> String {
    match address.ip().to_string().as_str() {
        "127.0.0.1" => format!(" -p {}", address.port()),
        ip => format!(" -h {ip} -p {}", address.port()),
    }
}

/// Most spare nodes of a cluster.
const SPARES_MAX: u64 = 100;
/// A signal, or the end of the scenario, is noticed within this time.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the upstream may take to accept the first connection, and to answer on it.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);
/// The placeholder for a port that is not known before it is bound, for the trial run of a scenario.
const PLACEHOLDER_PORT: u16 = 50_000;

const EXAMPLES: &str = "\
Examples:
  hitless rehearse
      Two listeners, 127.0.0.1:7001 and 127.0.0.2:7001, in front of one keyspace. From another terminal:
        redis-cli -3 -p 7001 SET a 1
        redis-cli -p 7001 REHEARSE MOVING 15 127.0.0.2:7001
        redis-cli -h 127.0.0.2 -p 7001 GET a
        redis-cli -3 -p 7001 REHEARSE STATS --pretty
  hitless rehearse --upstream redis://127.0.0.1:6379
      The same in front of a real Redis, which executes the commands.
  hitless rehearse --script rolling-upgrade.toml --log --json report.json
      A timeline of such verbs, every event logged, and the counts at the end.
  hitless rehearse --tls-cert server.pem --tls-key server-key.pem
      TLS on both listeners, with or without --upstream; from another terminal:
        redis-cli --tls --cacert ca.pem -p 7001 REHEARSE MOVING 15 127.0.0.2:7001
  hitless rehearse --cluster 3x1
      A Redis Cluster in memory on the ports 7001 to 7006: primaries, then replicas. From another terminal:
        redis-cli -c -p 7001 SET a 1
        redis-cli -p 7001 REHEARSE FAILOVER 7001
        redis-cli -p 7001 REHEARSE MIGRATE 5461-5560 7002 7003 ATOMIC ANNOUNCE
        redis-cli -p 7001 REHEARSE KILL 7003 ELECTION 2s
        redis-cli -3 -p 7001 REHEARSE NODES
  hitless rehearse --listen 127.0.0.1:0 --listen 127.0.0.1:0 --quiet
      Free ports; standard output names them, as \"ready: ADDR ADDR\".

Known clients:
  redis-py              takes only the host of a MOVING and keeps its port: hosts must differ, ports must not
  go-redis, node-redis,
  lettuce               take host and port; go-redis verifies TLS with its own ServerName if one is set
  jedis, StackExchange  move only the TCP target, and verify TLS with the name that they had
  redis-rs, fred        ask for no notifications; at a MOVING they see a closed connection
  Only clients that opt in over RESP3 (CLIENT MAINT_NOTIFICATIONS ON) are notified. REHEARSE MOVING replies with
  their number.

A script is a list of steps, each a verb of REHEARSE (REHEARSE HELP lists them) and its time:
  exit = true                      # end after the last step and the closes it announced
  [nodes]
  old = 0                          # names for listeners: by index or by address
  new = 1
  [[step]]
  at = \"2s\"
  node = \"old\"
  do = \"MOVING 15 {new}\"           # {new} becomes the address of that listener
  repeat = 3                       # together with every: a storm
  every = \"20s\"

Exit codes:
  0 all well · 1 a step of the script failed · 2 usage ·
  3 cannot listen or reach the upstream, or this machine cannot run io_uring ·
  130 interrupted (143 by SIGTERM) before it served";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners() {
        assert_eq!(listener("127.0.0.1:0"), Ok(([127, 0, 0, 1], 0).into()));
        for text in ["", "localhost:1", "1.2.3.4", ":7001", "1.2.3.4:99999"] {
            assert!(listener(text).is_err_and(|why| why.contains("IP:PORT")), "{text}");
        }
    }
}
