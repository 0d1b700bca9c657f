//! The options of `hitless bench` with every default filled in.

use std::cell::OnceCell;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};

use super::args::{BenchArgs, ViaArg};
use super::cores::{CoreSplit, distribute, with_cores};
use crate::cli::exit::Failure;
use crate::cli::options::config_error;
use crate::cli::options::limits::count;
use crate::cli::options::tls::GeneratedCertificate;
use crate::cli::report::json;
use crate::cli::report::text::Heading;
use crate::config::usable_cores;
use crate::load::Workload;
use crate::rehearsal::{Endpoints, EndpointsConfig, ServerTls};
use crate::shard::machine;
use crate::{Config, ResolvedConfig};

/// The options with every default filled in, and the endpoints if they are in this process. [`Resolved::new`] starts
/// those endpoints. They move during a run, so that each further run needs a new value.
pub(crate) struct Resolved {
    pub(crate) workload: Workload,
    /// When the endpoints in this process move, in order.
    pub(super) moves: Vec<Duration>,
    pub(crate) config: Config,
    pub(crate) effective: ResolvedConfig,
    /// The configurations of the second and later servers.
    more: Vec<(Config, ResolvedConfig)>,
    /// The key prefix that replaces the workload's if its keys hold values on which its commands fail.
    other_prefix: OnceCell<String>,
    /// The endpoint as reports show it, without secrets.
    pub(crate) endpoint: String,
    /// The endpoints in this process. They serve until they are dropped.
    pub(crate) embedded: Option<Endpoints>,
}

impl Resolved {
    pub(crate) fn new(args: &BenchArgs) -> Result<Resolved, Failure> {
        args.client.check().map_err(Failure::Usage)?;
        let workload = args.workload().map_err(Failure::Usage)?;
        let moves = args.moves(workload.limit).map_err(Failure::Usage)?;
        let cores = CoreSplit::new(args, &usable_cores());
        let certificate =
            (args.url().is_none() && args.tls.tls).then(GeneratedCertificate::for_loopback).transpose();
        let certificate = certificate.context("could not make a certificate").map_err(Failure::Failed)?;
        let embedded = match args.url() {
            Some(_) => None,
            None => Some(embedded(args, cores.endpoint, certificate.as_ref())?),
        };
        let address = embedded.as_ref().and_then(|endpoints| endpoints.addresses().first());
        let url = match (args.url(), address) {
            (Some(url), _) => url.to_owned(),
            (None, Some(address)) => format!("redis://{address}"),
            (None, None) => {
                return Err(Failure::Failed(anyhow!("the endpoints in this process have no address")));
            }
        };
        let mut distributed = distribute(args, &usable_cores()).map_err(Failure::Usage)?.into_iter();
        let cores = distributed.next().unwrap_or(cores.shards);
        let (config, effective) = config(&url, args, cores, certificate.as_ref())?;
        let more = args.urls().skip(1).zip(distributed);
        let more = more.map(|(url, cores)| self::config(url, args, cores, None)).collect::<Result<_, _>>()?;
        let place = if embedded.is_some() { ", in this process" } else { "" };
        let endpoint = format!("{}{place}", effective.endpoint());
        let other_prefix = OnceCell::new();
        let resolved =
            Resolved { workload, moves, config, effective, more, other_prefix, endpoint, embedded };
        let checked = resolved.workload.check(resolved.cores().len());
        checked.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(resolved)
    }

    /// The load with the keys that it uses.
    pub(super) fn workload(&self) -> Workload {
        let mut workload = self.workload.clone();
        if let Some(prefix) = self.other_prefix.get() {
            workload.key_prefix.clone_from(prefix);
        }
        workload
    }

    /// The configuration of each server.
    pub(super) fn servers(&self) -> impl Iterator<Item = (&Config, &ResolvedConfig)> {
        let more = self.more.iter().map(|(config, effective)| (config, effective));
        std::iter::once((&self.config, &self.effective)).chain(more)
    }

    /// The core of each shard; `None` if it is not pinned.
    pub(super) fn cores(&self) -> Vec<Option<usize>> {
        self.servers().flat_map(|(_, effective)| effective.shard_cores().to_vec()).collect()
    }

    /// The description of a run of commands, and every effective value of it.
    pub(super) fn description(&self) -> (Heading, Map<String, Value>) {
        let Resolved { endpoint, moves, effective, .. } = self;
        let workload = &self.workload();
        let mut config = json::config(endpoint, workload, moves, effective);
        let mut endpoint = endpoint.clone();
        if !self.more.is_empty() {
            let names = || self.servers().map(|(_, effective)| effective.endpoint().to_string());
            endpoint = names().collect::<Vec<_>>().join(", ");
            config.insert("endpoints".to_owned(), names().collect());
            config.insert("shards".to_owned(), self.cores().len().into());
            config.insert("cores".to_owned(), self.cores().into());
        }
        let tls = effective.tls().map(ToString::to_string);
        let each = effective.connections_per_shard();
        let heading = Heading::new(&endpoint, workload, self.cores().len(), each).tls(tls);
        (heading, config)
    }

    pub(super) fn has_other_keys(&self) -> bool {
        self.other_prefix.get().is_some()
    }

    /// Lets all runs use keys with this prefix. The first prefix stays.
    pub(super) fn use_keys_with(&self, prefix: String) {
        // An error means that a prefix is set, which is the one that earlier runs used.
        let _ = self.other_prefix.set(prefix);
    }
}

/// Starts two endpoints in this process.
fn embedded(
    args: &BenchArgs,
    core: Option<usize>,
    certificate: Option<&GeneratedCertificate>,
) -> Result<Endpoints, Failure> {
    // The client's own check: its error says how to fix the machine.
    machine::io_uring().map_err(anyhow::Error::from).map_err(|error| {
        Failure::Unreachable(match args.client.via {
            ViaArg::Tokio => error.context(URL_WITHOUT_IO_URING),
            ViaArg::Shard | ViaArg::Client => error,
        })
    })?;
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let tls = certificate
        .map(|pem| ServerTls::from_pem(pem.certificate.as_bytes(), pem.key.as_bytes()))
        .transpose();
    let tls = vec![tls.context("could not use the certificate").map_err(Failure::Failed)?];
    // The first endpoint moves to the second.
    Endpoints::start(EndpointsConfig { listen: vec![any, any], core, tls, ..EndpointsConfig::default() })
        .context("could not start the endpoints in this process")
        .map_err(Failure::Unreachable)
}

/// The configuration of the client for one server.
fn config(
    url: &str,
    args: &BenchArgs,
    cores: Vec<usize>,
    certificate: Option<&GeneratedCertificate>,
) -> Result<(Config, ResolvedConfig), Failure> {
    let mut config = Config::from_url(url).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    config = args.endpoint.login.apply(config, args.url().is_none())?;
    if !url.contains("client_name=") {
        config = config.client_name(CLIENT_NAME);
    }
    if let Some(connections) = args.client.connections {
        config = config.connections_per_shard(count(connections));
    }
    if let Some(connections) = args.workload.exclusive_connections() {
        config = config.exclusive_connections_max(connections);
    }
    let in_tokio = args.client.via == ViaArg::Tokio;
    let mut pinned = None;
    if in_tokio {
        config = match args.client.shards {
            _ if !cores.is_empty() => config.shards(cores.len()),
            Some(shards) => config.shards(count(shards)),
            None => config.shard_on_each_core(),
        };
        // As in an application, workers share the cores unless the user says otherwise, or one is left to the endpoints.
        let is_pinned = args.client.cores.is_some() || args.url().is_none();
        pinned = Some(cores).filter(|cores| is_pinned && !cores.is_empty());
    } else if !cores.is_empty() {
        config = with_cores(config, cores);
    } else {
        config = match args.client.shards {
            Some(shards) => config.shards(count(shards)),
            None => config.shard_on_each_core(),
        };
    }
    if let Some(timeout) = args.endpoint.timeout {
        config = config.command_timeout(timeout);
    }
    if let Some(timeout) = args.endpoint.connect_timeout {
        config = config.connect_timeout(timeout);
    }
    if let Some(mode) = args.maintenance.maint {
        config = config.maintenance(mode.setting());
    }
    if let Some(targets) = &args.maintenance.targets {
        config = config.targets(targets.clone());
    }
    config = args.tls.apply(config, args.url().map(|_| url), certificate)?;
    let effective = match pinned {
        Some(cores) => with_cores(config.clone(), cores).validate(),
        None if in_tokio => config.validate_in_runtime(),
        None => config.validate(),
    };
    let effective = effective.map_err(|error| config_error::usage_error(&args.tls.peer, &error))?;
    Ok((config, effective))
}

const URL_WITHOUT_IO_URING: &str =
    "the endpoints in this process need io_uring, and --via tokio does not: give the --url of a server";

/// The name of the connections, as CLIENT LIST shows it.
pub(crate) const CLIENT_NAME: &str = "hitless-bench";
