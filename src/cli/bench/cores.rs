//! The cores of a run: which ones the shards get, and which one the endpoint in this process.

use super::args::{BenchArgs, CoreList};
use crate::Config;
use crate::cli::options::limits::count;

/// The cores of the shards and of the endpoint in this process. Without `shards`, the library chooses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CoreSplit {
    pub(super) shards: Vec<usize>,
    pub(super) endpoint: Option<usize>,
}

impl CoreSplit {
    /// With an endpoint in this process and two or more cores, the first core is left to the endpoint.
    pub(super) fn new(args: &BenchArgs, allowed: &[usize]) -> CoreSplit {
        let wanted = args.client.shards.map(count);
        if let Some(CoreList(cores)) = &args.client.cores {
            let free = allowed.iter().copied().find(|core| !cores.contains(core));
            return CoreSplit { shards: cores.clone(), endpoint: free };
        }
        if args.url().is_some() {
            return CoreSplit::default();
        }
        match allowed.split_first() {
            Some((&first, rest)) if rest.len() >= wanted.unwrap_or(1).max(1) => {
                let shards = rest.iter().copied().take(wanted.unwrap_or(rest.len())).collect();
                CoreSplit { shards, endpoint: Some(first) }
            }
            // The shards need every core: none is left for the endpoint.
            _ => CoreSplit::default(),
        }
    }
}

/// Distributes the shards of a run over several servers: the cores of each server's shards. Empty for one server.
pub(super) fn distribute(args: &BenchArgs, allowed: &[usize]) -> Result<Vec<Vec<usize>>, String> {
    let servers = args.urls().count();
    if servers < 2 {
        return Ok(Vec::new());
    }
    let evenly = |option: &str, shards: usize| match shards % servers {
        0 => Ok(shards),
        _ => Err(format!(
            "{option}: {shards} cannot be divided evenly among the {servers} servers of --url; allowed: {servers}, {}, \
             and so on",
            2 * servers
        )),
    };
    let (cores, shards) = match (&args.client.cores, args.client.shards.map(count)) {
        (Some(CoreList(cores)), _) => (cores.as_slice(), evenly("--cores", cores.len())?),
        (None, Some(shards)) => (allowed, evenly("--shards", shards)?),
        // With more servers than cores, one core runs shards of several servers.
        (None, None) => (allowed, (allowed.len() / servers).max(1) * servers),
    };
    let core = |shard: usize| cores.iter().copied().cycle().nth(shard);
    Ok((0..servers).map(|server| (server..shards).step_by(servers).filter_map(core).collect()).collect())
}

/// Pins one shard to each of these cores. If a core occurs twice, the library chooses the cores.
pub(super) fn with_cores(config: Config, cores: Vec<usize>) -> Config {
    let is_shared = |(place, core): (usize, &usize)| cores.iter().take(place).any(|earlier| earlier == core);
    match cores.iter().enumerate().any(is_shared) {
        true => config.shards(cores.len()),
        false => config.cores(cores),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::usable_cores;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn split(arguments: &[&str], allowed: &[usize]) -> CoreSplit {
        let all = ["bench"].iter().chain(arguments);
        let only = Only::try_parse_from(all).expect("options");
        CoreSplit::new(&only.args, allowed)
    }

    fn distributed(arguments: &[&str], allowed: &[usize]) -> Result<Vec<Vec<usize>>, String> {
        let two = ["bench", "--url", "redis://a", "--url", "redis://b"];
        distribute(&Only::try_parse_from(two.iter().chain(arguments)).expect("options").args, allowed)
    }

    #[test]
    fn every_server_gets_equally_many_shards() {
        assert_eq!(distributed(&[], &[0, 1, 2, 3, 4]), Ok(vec![vec![0, 2], vec![1, 3]]));
        assert_eq!(distributed(&[], &[7]), Ok(vec![vec![7], vec![7]]));
        assert_eq!(distributed(&["--shards", "2"], &[3, 4, 5]), Ok(vec![vec![3], vec![4]]));
        assert_eq!(distributed(&["--cores", "5,1,9,2"], &[0]), Ok(vec![vec![5, 9], vec![1, 2]]));
        let error = distributed(&["--shards", "3"], &[0, 1, 2]).expect_err("one gets more");
        assert!(error.starts_with("--shards: 3 cannot") && error.contains("2, 4, and so on"), "{error}");
        assert!(distributed(&["--cores", "1"], &[0, 1]).is_err_and(|error| error.starts_with("--cores: 1 ")));
        let one = Only::try_parse_from(["bench", "--url", "redis://a"]).expect("options");
        assert_eq!(distribute(&one.args, &[0, 1]), Ok(Vec::new()));
    }

    #[test]
    fn shards_of_one_server_may_share_a_core() {
        let shards = |cores: Vec<usize>| {
            let config = Config::from_url("redis://a").expect("a URL");
            with_cores(config, cores).validate().map(|effective| effective.shard_cores().len())
        };
        let first = usable_cores().first().copied().expect("a core");
        assert_eq!(shards(vec![first, first, first]), Ok(3));
        assert_eq!(shards(vec![first]), Ok(1));
    }

    fn cores(shards: &[usize], endpoint: Option<usize>) -> CoreSplit {
        CoreSplit { shards: shards.into(), endpoint }
    }

    #[test]
    fn an_embedded_endpoint_gets_a_core_if_there_are_two() {
        assert_eq!(split(&[], &[0, 1, 2]), cores(&[1, 2], Some(0)));
        assert_eq!(split(&[], &[3]), CoreSplit::default());
        assert_eq!(split(&["--shards", "1"], &[0, 1, 2]), cores(&[1], Some(0)));
        assert_eq!(split(&["--shards", "9"], &[0, 1, 2]), CoreSplit::default());
        assert_eq!(split(&["--cores", "0,2"], &[0, 1, 2]), cores(&[0, 2], Some(1)));
        assert_eq!(split(&["--url", "redis://h"], &[0, 1, 2]), CoreSplit::default());
    }
}
