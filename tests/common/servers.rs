//! The server programs that tests start: redis-server and valkey-server on the `PATH`, and the ones that
//! `scripts/servers` puts under `target/servers`.
//!
//! A test runs on the first server that supports its options. `HITLESS_TEST_SERVER` puts another one first: the path
//! of a program, or a part of it, such as `valkey`. `scripts/test` uses it to run the tests on each server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Redis;
use super::authority::Certificates;

/// One server program, Redis or Valkey.
pub struct Server {
    pub program: PathBuf,
    /// The server's own name, such as `Valkey server v=9.1.2`.
    pub name: String,
    /// The known features, in the order of `FEATURES`; a test start finds out.
    features: [OnceLock<bool>; FEATURES.len()],
}

/// A feature that some servers lack.
#[derive(Clone, Copy, Debug)]
pub enum Feature {
    Tls,
    /// The server reports an unknown command before the login. Valkey answers `NOAUTH` instead, which is no reason for
    /// a client to fall back to RESP2.
    UnknownBeforeLogin,
}

/// All servers of this machine. The first one runs the tests that need no feature.
pub fn all() -> &'static [Server] {
    static ALL: OnceLock<Vec<Server>> = OnceLock::new();
    ALL.get_or_init(find)
}

/// The first server with these features.
///
/// # Panics
/// If there is none: a test that cannot run has failed.
#[track_caller]
pub fn with(features: &[Feature]) -> &'static Server {
    let fits = |server: &&'static Server| features.iter().all(|feature| server.has(*feature));
    all().iter().find(fits).unwrap_or_else(|| {
        let names: Vec<&str> = all().iter().map(|server| server.name.as_str()).collect();
        panic!(
            "none of {names:?} has {features:?}; scripts/test installs a redis-server that has all features"
        )
    })
}

/// The features that a server needs for these options.
pub fn features_for(options: &[&str]) -> Vec<Feature> {
    let is_there = |name: &str| options.iter().any(|option| option.starts_with(name));
    let needed = |feature: &Feature| match feature {
        Feature::Tls => is_there("--tls-"),
        Feature::UnknownBeforeLogin => is_there("--rename-command") && is_there("--requirepass"),
    };
    FEATURES.into_iter().filter(needed).collect()
}

impl Server {
    /// Finds out by starting the server, once for each test program.
    pub fn has(&'static self, feature: Feature) -> bool {
        *self.features[feature as usize].get_or_init(|| match feature {
            Feature::Tls => {
                let certificates = Certificates::new(&["127.0.0.1"]);
                Redis::try_start(self, &certificates.options()).is_ok()
            }
            Feature::UnknownBeforeLogin => {
                let redis = Redis::start_on(self, &["--requirepass", "unknown"]);
                let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).expect("it listens");
                stream.write_all(b"NOSUCH\r\n").expect("it reads");
                let mut reply = String::new();
                BufReader::new(stream).read_line(&mut reply).expect("it answers");
                reply.contains("unknown command")
            }
        })
    }

    /// `None` if the program is not a server, or does not run.
    fn known_as(program: PathBuf) -> Option<Server> {
        let output = Command::new(&program).arg("--version").output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        let name = said.split(" sha=").next().filter(|name| name.contains(" server v="))?;
        Some(Server { program, name: name.to_owned(), features: Default::default() })
    }
}

fn find() -> Vec<Server> {
    let chosen = std::env::var("HITLESS_TEST_SERVER").unwrap_or_default();
    let mut programs: Vec<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    // `target` is the parent of `target/tmp`, which Cargo names.
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers");
    let folders = fetched.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    programs.extend(folders.flat_map(|folder| PROGRAMS.map(|program| folder.join(program))));
    programs[PROGRAMS.len()..].sort();
    if chosen.contains('/') {
        programs.insert(0, chosen.clone().into());
    }
    let mut found: Vec<Server> = programs.into_iter().filter_map(Server::known_as).collect();
    let is_it = |server: &Server| server.program.to_string_lossy().contains(&chosen);
    assert!(!found.is_empty(), "no redis-server and no valkey-server; scripts/test installs them");
    assert!(found.iter().any(is_it), "HITLESS_TEST_SERVER: no server on this machine matches {chosen}");
    found.sort_by_key(|server| !is_it(server));
    found
}

const FEATURES: [Feature; 2] = [Feature::Tls, Feature::UnknownBeforeLogin];

const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
