//! [`Plan`]: what to measure, from `key=value` words.

use std::path::PathBuf;
use std::time::Duration;

use hitless::net::Sockets;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Get,
    Set,
    /// Ten GET and one SET.
    Mix,
    /// Of a hundred keys.
    Mget,
}

#[derive(Debug)]
pub struct Plan {
    pub port: u16,
    /// The certificate of the authority that signed the server's. With it, connections use TLS.
    pub ca: Option<PathBuf>,
    pub command: Command,
    /// Bytes of each value.
    pub value: usize,
    pub keys: usize,
    /// How many GETs a caller sends together; with 1, it makes no pipeline.
    pub pipeline: usize,
    pub tasks: usize,
    pub connections: usize,
    /// Among how many pools `hitless` divides the connections, in tokio.
    pub pools: usize,
    /// Workers of a multi-thread runtime. Without it, one for each core that the process may use.
    pub workers: Option<usize>,
    pub warmup: Duration,
    pub time: Duration,
    /// Rounds a second in an open loop. Without it, each caller starts its next round when one is over.
    pub rate: Option<f64>,
    /// Whether to record the time of each round, which costs a little CPU.
    pub latency: bool,
    /// How long `hitless` polls before it lets its core sleep.
    pub spin: Duration,
    /// Through what `hitless` uses its sockets, on threads of its own.
    pub sockets: Sockets,
    /// The core of the thread that schedules rounds.
    pub pacer_core: usize,
}

impl Plan {
    pub fn parse(words: impl Iterator<Item = String>) -> Plan {
        let mut plan = Plan {
            port: 6379,
            ca: None,
            command: Command::Get,
            value: 64,
            keys: 1000,
            pipeline: 1,
            tasks: 1,
            connections: 1,
            pools: 1,
            workers: None,
            warmup: Duration::from_millis(300),
            time: Duration::from_secs(1),
            rate: None,
            latency: false,
            spin: Duration::ZERO,
            sockets: Sockets::Auto,
            pacer_core: 0,
        };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not key=value"));
            plan.set(key, value);
        }
        assert!(plan.pipeline == 1 || plan.command == Command::Get, "pipelines are of GET");
        plan
    }

    fn set(&mut self, key: &str, value: &str) {
        let number = || value.parse::<usize>().unwrap_or_else(|error| panic!("{key}={value}: {error}"));
        let seconds = || value.parse::<f64>().unwrap_or_else(|error| panic!("{key}={value}: {error}"));
        match key {
            "port" => self.port = u16::try_from(number()).expect("a port"),
            "ca" => self.ca = Some(PathBuf::from(value)),
            "command" => {
                self.command = match value {
                    "get" => Command::Get,
                    "set" => Command::Set,
                    "mix" => Command::Mix,
                    "mget" => Command::Mget,
                    _ => panic!("no command {value}"),
                }
            }
            "value" => self.value = number(),
            "keys" => self.keys = number(),
            "pipeline" => self.pipeline = number(),
            "tasks" => self.tasks = number(),
            "connections" => self.connections = number(),
            "pools" => self.pools = number(),
            "workers" => self.workers = Some(number()),
            "warmup" => self.warmup = Duration::from_secs_f64(seconds()),
            "seconds" => self.time = Duration::from_secs_f64(seconds()),
            "rate" => self.rate = Some(seconds()),
            "latency" => self.latency = number() != 0,
            "spin_us" => self.spin = Duration::from_micros(number() as u64),
            "sockets" => {
                self.sockets = match value {
                    "auto" => Sockets::Auto,
                    "epoll" => Sockets::Epoll,
                    "io_uring" => Sockets::IoUring,
                    _ => panic!("no sockets {value}"),
                }
            }
            "pacer_core" => self.pacer_core = number(),
            _ => panic!("no option {key}"),
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The authority's certificate, as PEM, if connections use TLS.
    pub fn ca_pem(&self) -> Option<Vec<u8>> {
        self.ca.as_ref().map(|path| std::fs::read(path).expect("a file"))
    }

    /// Redis commands in one round of a caller. An MGET counts once, with any number of keys.
    pub fn commands_per_round(&self) -> usize {
        self.pipeline
    }
}

/// Keys of one MGET.
pub const MGET_KEYS: usize = 100;
