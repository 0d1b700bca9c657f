//! `hitless bench`: raw options → resolved options → a run → its report.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::args::{self, BenchArgs};
use super::compare::Earlier;
use super::json;
use super::keys;
use super::output::{Output, Run};
use super::paint::Ink;
use super::progress::Lines;
use super::repeat::{Turn, middle, turns};
use super::text::Heading;
use super::tls::Made;
use super::{FAILED, Failure, WELL, complain, logs, say, settings, stop, topology};
use crate::config::usable_cores;
use crate::load::{self, HandoffWatch, LoadError, Moves, Report, Workload};
use crate::rehearsal::{Endpoints, EndpointsConfig, ServerTls};
use crate::shard::probe;
use crate::{Client, Config, ResolvedConfig};

/// How long the end of a run waits for connections to close cleanly.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// Extra time after the connect timeout, in which the error of the last attempt arrives.
const CONNECT_SLACK: Duration = Duration::from_millis(200);
/// The name of the connections, as CLIENT LIST shows it.
pub(super) const NAME: &str = "hitless-bench";

/// Runs the benchmark and returns the exit code.
pub(super) fn run(args: &BenchArgs) -> Result<u8, Failure> {
    let stop = stop::on_signal().map_err(Failure::Failed)?;
    let mut given = Runs::new(args)?;
    let mut other = args.other.as_deref().map(Runs::new).transpose()?;
    let output = Output::new(&args.output)?;
    for turn in turns(args.repeat.repeat, other.is_some()) {
        if stop.load(Ordering::Relaxed) && !given.reports.is_empty() {
            break;
        }
        match (turn, &mut other) {
            (Turn::Other, Some(other)) => other.take(&stop)?,
            _ => given.take(&stop)?,
        }
    }
    let mut run = given.resolved.told();
    if let (Some(other), Some(options)) = (&other, &args.repeat.versus) {
        run.versus = other.told(options).map_err(Failure::Failed)?;
    }
    let report = given.report().ok_or_else(|| Failure::Failed(anyhow!("interrupted before a run")))?;
    run.repeats = given.reports;
    output.write(&run, &report).map_err(Failure::Failed)?;
    if let Some(problem) = report.problems.first().filter(|_| args.output.quiet) {
        complain(&problem.message);
    }
    let others = other.iter().flat_map(|other| &other.reports);
    Ok(match run.repeats.iter().chain(others).all(Report::is_clean) {
        false => FAILED,
        true if report.interrupted => stop::code(),
        true => WELL,
    })
}

/// The runs of one set of options, in the order in which they were taken.
struct Runs<'a> {
    args: &'a BenchArgs,
    resolved: Resolved,
    reports: Vec<Report>,
}

impl<'a> Runs<'a> {
    fn new(args: &'a BenchArgs) -> Result<Runs<'a>, Failure> {
        Ok(Runs { args, resolved: Resolved::new(args)?, reports: Vec::new() })
    }

    fn take(&mut self, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        if !self.reports.is_empty() && self.resolved.embedded.is_some() {
            // The endpoints in this process have moved. New ones let every run start like the first.
            let seed = self.resolved.workload.seed;
            self.resolved = Resolved::new(self.args)?;
            self.resolved.workload.seed = seed;
        }
        let report = measure(&self.resolved, self.args, stop)?;
        // An interrupted run is reported only if it is the only one: it cannot be compared with complete runs.
        if self.reports.is_empty() || !report.interrupted {
            self.reports.push(report);
        }
        Ok(())
    }

    /// The report of the median run, marked as interrupted if runs are missing.
    fn report(&self) -> Option<Report> {
        let mut report = middle(&self.reports)?.clone();
        report.interrupted |= (self.reports.len() as u64) < self.args.repeat.repeat;
        Some(report)
    }

    /// The baseline that the given options are compared with; `None` if there was no run.
    fn told(&self, options: &str) -> anyhow::Result<Option<Earlier>> {
        let Some(report) = middle(&self.reports) else { return Ok(None) };
        let document = json::document(self.resolved.told().config, report, &self.reports);
        Ok(Some(Earlier::versus(options, document?)))
    }
}

/// The options with every default filled in, and the endpoints if they are in this process.
pub(super) struct Resolved {
    pub(super) workload: Workload,
    /// When the endpoints in this process move, in order.
    moves: Vec<Duration>,
    pub(super) config: Config,
    pub(super) effective: ResolvedConfig,
    /// The configurations of the second and later servers.
    more: Vec<(Config, ResolvedConfig)>,
    /// The key prefix that replaces the workload's if its keys hold values on which its commands fail.
    other_prefix: OnceCell<String>,
    /// The endpoint as reports show it, without secrets.
    pub(super) endpoint: String,
    /// The endpoints in this process. They serve until they are dropped.
    pub(super) embedded: Option<Endpoints>,
}

impl Resolved {
    pub(super) fn new(args: &BenchArgs) -> Result<Resolved, Failure> {
        args.client.check().map_err(Failure::Usage)?;
        let workload = args.workload().map_err(Failure::Usage)?;
        let moves = args.moves(workload.limit).map_err(Failure::Usage)?;
        let cores = Cores::share(args, &usable_cores());
        let made = (args.url().is_none() && args.tls.tls).then(Made::for_loopback).transpose();
        let made = made.context("could not make a certificate").map_err(Failure::Failed)?;
        let embedded = match args.url() {
            Some(_) => None,
            None => Some(embedded(cores.endpoint, made.as_ref())?),
        };
        let address = embedded.as_ref().and_then(|endpoints| endpoints.addresses().first());
        let url = match (args.url(), address) {
            (Some(url), _) => url.to_owned(),
            (None, Some(address)) => format!("redis://{address}"),
            (None, None) => {
                return Err(Failure::Failed(anyhow!("the endpoints in this process have no address")));
            }
        };
        let mut dealt = deal(args, &usable_cores()).map_err(Failure::Usage)?.into_iter();
        let cores = dealt.next().unwrap_or(cores.shards);
        let (config, effective) = config(&url, args, cores, made.as_ref())?;
        let more = args.urls().skip(1).zip(dealt);
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
    fn workload(&self) -> Workload {
        let mut workload = self.workload.clone();
        if let Some(prefix) = self.other_prefix.get() {
            workload.key_prefix.clone_from(prefix);
        }
        workload
    }

    /// The configuration of each server.
    fn servers(&self) -> impl Iterator<Item = (&Config, &ResolvedConfig)> {
        let more = self.more.iter().map(|(config, effective)| (config, effective));
        std::iter::once((&self.config, &self.effective)).chain(more)
    }

    /// The core of each shard; `None` if it is not pinned.
    fn cores(&self) -> Vec<Option<usize>> {
        self.servers().flat_map(|(_, effective)| effective.shard_cores().to_vec()).collect()
    }

    /// The description of the run that accompanies its measurements.
    fn told(&self) -> Run {
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
        Run { heading, config, repeats: Vec::new(), versus: None }
    }
}

/// The cores of the shards and of the endpoint in this process. Without `shards`, the library chooses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cores {
    shards: Vec<usize>,
    endpoint: Option<usize>,
}

impl Cores {
    /// With an endpoint in this process and two or more cores, the first core is left to the endpoint.
    fn share(args: &BenchArgs, allowed: &[usize]) -> Cores {
        let wanted = args.client.shards.map(args::count);
        if let Some(args::Cores(cores)) = &args.client.cores {
            let free = allowed.iter().copied().find(|core| !cores.contains(core));
            return Cores { shards: cores.clone(), endpoint: free };
        }
        if args.url().is_some() {
            return Cores::default();
        }
        match allowed.split_first() {
            Some((&first, rest)) if rest.len() >= wanted.unwrap_or(1).max(1) => {
                let shards = rest.iter().copied().take(wanted.unwrap_or(rest.len())).collect();
                Cores { shards, endpoint: Some(first) }
            }
            // The shards need every core: none is left for the endpoint.
            _ => Cores::default(),
        }
    }
}

/// Distributes the shards of a run over several servers: the cores of each server's shards. Empty for one server.
fn deal(args: &BenchArgs, allowed: &[usize]) -> Result<Vec<Vec<usize>>, String> {
    let servers = args.urls().count();
    if servers < 2 {
        return Ok(Vec::new());
    }
    let all_alike = |option: &str, shards: usize| match shards % servers {
        0 => Ok(shards),
        _ => Err(format!(
            "{option}: {shards} cannot be divided evenly among the {servers} servers of --url; allowed: {servers}, {}, \
             and so on",
            2 * servers
        )),
    };
    let (cores, shards) = match (&args.client.cores, args.client.shards.map(args::count)) {
        (Some(args::Cores(cores)), _) => (cores.as_slice(), all_alike("--cores", cores.len())?),
        (None, Some(shards)) => (allowed, all_alike("--shards", shards)?),
        // With more servers than cores, one core runs shards of several servers.
        (None, None) => (allowed, (allowed.len() / servers).max(1) * servers),
    };
    let core = |shard: usize| cores.iter().copied().cycle().nth(shard);
    Ok((0..servers).map(|server| (server..shards).step_by(servers).filter_map(core).collect()).collect())
}

fn embedded(core: Option<usize>, made: Option<&Made>) -> Result<Endpoints, Failure> {
    // The client's own check: its error says how to fix the machine.
    probe::io_uring().map_err(|error| Failure::Unreachable(error.into()))?;
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let tls =
        made.map(|made| ServerTls::from_pem(made.certificate.as_bytes(), made.key.as_bytes())).transpose();
    let tls = vec![tls.context("could not use the certificate").map_err(Failure::Failed)?];
    // The first endpoint moves to the second.
    Endpoints::start(EndpointsConfig { listen: vec![any, any], core, tls, ..EndpointsConfig::default() })
        .context("could not start the endpoints in this process")
        .map_err(Failure::Unreachable)
}

fn config(
    url: &str,
    args: &BenchArgs,
    cores: Vec<usize>,
    made: Option<&Made>,
) -> Result<(Config, ResolvedConfig), Failure> {
    let mut config = Config::from_url(url).map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    config = args.endpoint.login.apply(config, args.url().is_none())?;
    if !url.contains("client_name=") {
        config = config.client_name(NAME);
    }
    if let Some(connections) = args.client.connections {
        config = config.connections_per_shard(args::count(connections));
    }
    if !cores.is_empty() {
        config = placed(config, cores);
    } else if let Some(shards) = args.client.shards {
        config = config.shards(args::count(shards));
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
    config = args.tls.apply(config, args.url().map(|_| url), made)?;
    let effective = config.validate().map_err(|error| settings::refused(&args.tls.peer, &error))?;
    Ok((config, effective))
}

/// Pins one shard to each of these cores. If a core occurs twice, the library chooses the cores.
fn placed(config: Config, cores: Vec<usize>) -> Config {
    let is_shared = |(place, core): (usize, &usize)| cores.iter().take(place).any(|earlier| earlier == core);
    match cores.iter().enumerate().any(is_shared) {
        true => config.shards(cores.len()),
        false => config.cores(cores),
    }
}

/// Starts one client per server. The handoff watch numbers the shards of all clients consecutively.
fn start(resolved: &Resolved, watch: &Arc<HandoffWatch>) -> Result<Vec<Client>, Failure> {
    let mut first = 0;
    let start = |(config, effective): (&Config, &ResolvedConfig)| {
        let (listener, offset) = (watch.clone(), first);
        first += effective.shard_cores().len();
        let config = config.clone().on_event(move |shard, event| listener.note(offset + shard, event));
        Client::start(config).map_err(|error| Failure::Unreachable(error.into()))
    };
    resolved.servers().map(start).collect()
}

fn reach(resolved: &Resolved, clients: &[Client], stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    for (client, (_, effective)) in clients.iter().zip(resolved.servers()) {
        match stop::unless(stop, client.ready(effective.connect_timeout() + CONNECT_SLACK)) {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Failure::Unreachable(error.into())),
            None => return Err(Failure::Interrupted("while connecting")),
        }
        // The endpoints in this process need no check.
        if resolved.embedded.is_none() {
            topology::check(client, stop)?;
        }
    }
    Ok(())
}

/// Chooses other keys if the workload's keys hold values of an earlier run on which its commands fail. The old values
/// stay.
fn avoid_leftovers(resolved: &Resolved, clients: &[Client], quiet: bool) {
    // The endpoints in this process start empty.
    if resolved.embedded.is_some() || resolved.other_prefix.get().is_some() {
        return;
    }
    let found = clients.iter().find_map(|client| keys::beside_leftovers(client, &resolved.workload));
    let Some((prefix, why)) = found else { return };
    if !quiet {
        say("note", Ink::Warning, &why);
    }
    // The cell is empty: this function has returned otherwise.
    let _ = resolved.other_prefix.set(prefix);
}

fn measure(resolved: &Resolved, args: &BenchArgs, stop: &Arc<AtomicBool>) -> Result<Report, Failure> {
    let watch = Arc::new(HandoffWatch::new(resolved.cores().len()));
    let clients = start(resolved, &watch)?;
    let mut lines = Lines::new(args.output.quiet, args.output.live, resolved.workload.limit);
    let result = reach(resolved, &clients, stop).and_then(|()| {
        logs::release();
        let observe = |progress| lines.observe(&progress);
        let moves = resolved.embedded.as_ref();
        let moves = moves.map(|endpoints| Moves::new(endpoints, resolved.moves.clone(), args.follows()));
        avoid_leftovers(resolved, &clients, args.output.quiet);
        let workload = resolved.workload();
        let run = load::run_over(&clients, &workload, &watch, moves.as_ref(), stop, observe);
        let run = run.map(|mut report| {
            let observe = |progress| lines.observe(&progress);
            report.cleanup = args.cleanup.then(|| keys::clean_up(&clients, &workload, stop, observe));
            report
        });
        run.map_err(|error| match error {
            LoadError::Workload(error) => Failure::Usage(error.to_string()),
            LoadError::Preparing(error) => topology::sent_away(&error)
                .unwrap_or_else(|| Failure::Failed(LoadError::Preparing(error).into())),
            error => Failure::Failed(error.into()),
        })
    });
    for client in clients {
        // The result is complete. A connection that does not close in time does not change it.
        if let Err(error) = futures_lite::future::block_on(client.shutdown(CLOSE_GRACE)) {
            tracing::debug!(%error, "the client did not shut down cleanly");
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn share(arguments: &[&str], allowed: &[usize]) -> Cores {
        let all = ["bench"].iter().chain(arguments);
        let only = Only::try_parse_from(all).expect("options");
        Cores::share(&only.args, allowed)
    }

    fn dealt(arguments: &[&str], allowed: &[usize]) -> Result<Vec<Vec<usize>>, String> {
        let two = ["bench", "--url", "redis://a", "--url", "redis://b"];
        deal(&Only::try_parse_from(two.iter().chain(arguments)).expect("options").args, allowed)
    }

    #[test]
    fn every_server_gets_equally_many_shards() {
        assert_eq!(dealt(&[], &[0, 1, 2, 3, 4]), Ok(vec![vec![0, 2], vec![1, 3]]));
        assert_eq!(dealt(&[], &[7]), Ok(vec![vec![7], vec![7]]));
        assert_eq!(dealt(&["--shards", "2"], &[3, 4, 5]), Ok(vec![vec![3], vec![4]]));
        assert_eq!(dealt(&["--cores", "5,1,9,2"], &[0]), Ok(vec![vec![5, 9], vec![1, 2]]));
        let error = dealt(&["--shards", "3"], &[0, 1, 2]).expect_err("one gets more");
        assert!(error.starts_with("--shards: 3 cannot") && error.contains("2, 4, and so on"), "{error}");
        assert!(dealt(&["--cores", "1"], &[0, 1]).is_err_and(|error| error.starts_with("--cores: 1 ")));
        let one = Only::try_parse_from(["bench", "--url", "redis://a"]).expect("options");
        assert_eq!(deal(&one.args, &[0, 1]), Ok(Vec::new()));
    }

    #[test]
    fn shards_of_one_server_may_share_a_core() {
        let shards = |cores: Vec<usize>| {
            let config = Config::from_url("redis://a").expect("a URL");
            placed(config, cores).validate().map(|effective| effective.shard_cores().len())
        };
        let first = usable_cores().first().copied().expect("a core");
        assert_eq!(shards(vec![first, first, first]), Ok(3));
        assert_eq!(shards(vec![first]), Ok(1));
    }

    fn cores(shards: &[usize], endpoint: Option<usize>) -> Cores {
        Cores { shards: shards.into(), endpoint }
    }

    #[test]
    fn an_embedded_endpoint_gets_a_core_if_there_are_two() {
        assert_eq!(share(&[], &[0, 1, 2]), cores(&[1, 2], Some(0)));
        assert_eq!(share(&[], &[3]), Cores::default());
        assert_eq!(share(&["--shards", "1"], &[0, 1, 2]), cores(&[1], Some(0)));
        assert_eq!(share(&["--shards", "9"], &[0, 1, 2]), Cores::default());
        assert_eq!(share(&["--cores", "0,2"], &[0, 1, 2]), cores(&[0, 2], Some(1)));
        assert_eq!(share(&["--url", "redis://h"], &[0, 1, 2]), Cores::default());
    }
}
