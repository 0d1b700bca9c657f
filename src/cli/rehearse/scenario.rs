//! Scenario files: a timeline of the verbs of `REHEARSE`, as TOML.
//!
//! ```toml
//! exit = true                      # end after the last step and the closes it announced (false: go on)
//!
//! [nodes]                          # names for listeners: by address, or by index from 0
//! old = 0
//! new = "127.0.0.2:7001"
//!
//! [[step]]
//! at = "2s"                        # after the start
//! node = "old"                     # a name, an index or an address (default: the first listener)
//! do = "MOVING 15 {new}"           # {name} is the address of that listener
//! repeat = 3                       # number of times (default: 1)
//! every = "500ms"                  # interval between the times
//! ```
//!
//! The whole file is read and tried out before anything listens, so that a mistake in its last line is found at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::rehearsal::{NodeId, Server, ServerConfig};

/// A scenario whose file is well formed; the listeners are not known yet.
#[derive(Debug)]
pub(crate) struct Scenario {
    file: String,
    text: String,
    content: ScenarioFile,
}

/// A step, ready to be scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When, after the start.
    pub(crate) at: Duration,
    /// The index of its listener, from 0.
    pub(crate) node: usize,
    /// The verb and its arguments.
    pub(crate) words: Vec<String>,
    /// The index of the step in the file, for error messages.
    place: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    #[serde(default)]
    exit: bool,
    #[serde(default)]
    nodes: BTreeMap<String, ListenerRef>,
    step: Vec<Spanned<StepEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepEntry {
    at: String,
    node: Option<ListenerRef>,
    #[serde(rename = "do")]
    verb: Verb,
    #[serde(default = "once")]
    repeat: u64,
    every: Option<String>,
}

/// A listener as the file writes it: its index, its address, or (in a step) its name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected the index of a listener, counted from 0, or its address or name")]
enum ListenerRef {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text such as \"MOVING 15 {new}\", or a list of its words")]
enum Verb {
    Line(String),
    Words(Vec<String>),
}

fn once() -> u64 {
    1
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// The error names the file and, if known, the line.
    pub(crate) fn read(path: &Path) -> Result<Scenario, String> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
        Scenario::parse(&file, text)
    }

    fn parse(file: &str, text: String) -> Result<Scenario, String> {
        let content: ScenarioFile =
            toml::from_str(&text).map_err(|error| format!("{file}: {}", error.to_string().trim_end()))?;
        Ok(Scenario { file: file.to_owned(), text, content })
    }

    /// Whether the process ends with the last step.
    pub(crate) fn exits(&self) -> bool {
        self.content.exit
    }

    /// The steps for these listeners, in the order in which they are due.
    ///
    /// # Errors
    /// The error names the file, the step with its line, and what is allowed.
    pub(crate) fn steps(&self, listen: &[SocketAddr]) -> Result<Vec<Step>, String> {
        let names = self.names(listen)?;
        let mut steps = Vec::new();
        for (index, entry) in self.content.step.iter().enumerate() {
            let resolved = expand(entry.get_ref(), index, listen, &names)
                .map_err(|why| self.at_step(index, entry.span(), &why))?;
            steps.extend(resolved);
            if steps.len() > STEPS_MAX {
                let why = format!("repeat: more than {STEPS_MAX} steps in all");
                return Err(self.at_step(index, entry.span(), &why));
            }
        }
        if steps.is_empty() {
            return Err(format!("{}: the file has no [[step]]", self.file));
        }
        steps.sort_by_key(|step| step.at);
        Ok(steps)
    }

    /// Runs all `steps` in virtual time on a server without sockets.
    ///
    /// # Errors
    /// As [`Scenario::steps`]; for a verb, the error has the server's reason.
    pub(crate) fn dry_run(
        &self,
        steps: &[Step],
        config: &ServerConfig,
        listen: &[SocketAddr],
    ) -> Result<(), String> {
        // A trial run must not appear in the log.
        tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
            self.run_steps(steps, config, listen)
        })
    }

    fn run_steps(&self, steps: &[Step], config: &ServerConfig, listen: &[SocketAddr]) -> Result<(), String> {
        let mut server = Server::new(config.clone(), listen.to_vec(), 0);
        for step in steps {
            let now_us = micros(step.at);
            server.handle_time(now_us);
            server.rehearse(NodeId(step.node), now_us, &step.words_as_bytes()).map_err(|error| {
                let span = self.content.step.get(step.place).map_or(0..0, Spanned::span);
                let verb = step.words.join(" ");
                self.at_step(step.place, span, &format!("{verb:?}: {}", error.trim_start_matches("ERR ")))
            })?;
        }
        // A verb behind an AFTER is checked only when it is due.
        server.handle_time(micros(AT_MAX.saturating_mul(2)));
        match server.failed_steps() {
            0 => Ok(()),
            _ => Err(format!("{}: a verb behind AFTER is invalid; allowed: see REHEARSE HELP", self.file)),
        }
    }

    fn names(&self, listen: &[SocketAddr]) -> Result<BTreeMap<&str, usize>, String> {
        self.content
            .nodes
            .iter()
            .map(|(name, place)| match listener_index(place, listen, &BTreeMap::new()) {
                Ok(node) => Ok((name.as_str(), node)),
                Err(why) => Err(format!("{}: [nodes] {name}: {why}", self.file)),
            })
            .collect()
    }

    fn at_step(&self, index: usize, span: Range<usize>, why: &str) -> String {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        format!("{}, step {} (line {line}): {why}", self.file, index + 1)
    }
}

impl Step {
    pub(crate) fn words_as_bytes(&self) -> Vec<Vec<u8>> {
        self.words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }
}

/// One step of the file, with all its repetitions.
fn expand(
    entry: &StepEntry,
    place: usize,
    listen: &[SocketAddr],
    names: &BTreeMap<&str, usize>,
) -> Result<Vec<Step>, String> {
    let at = time("at", &entry.at)?;
    let every = entry.every.as_deref().map(|every| time("every", every)).transpose()?;
    let every = match (entry.repeat, every) {
        (0, _) => return Err("repeat: allowed: 1 or more".into()),
        (1, None) => Duration::ZERO,
        (1, Some(_)) => return Err("every: it needs repeat, e.g. repeat = 10".into()),
        (_, Some(every)) => every,
        (_, None) => return Err("repeat: it needs every, e.g. every = \"500ms\"".into()),
    };
    if entry.repeat > STEPS_MAX as u64 {
        return Err(format!("repeat: allowed: 1 to {STEPS_MAX}"));
    }
    let node = match &entry.node {
        Some(place) => listener_index(place, listen, names).map_err(|why| format!("node: {why}"))?,
        None => 0,
    };
    let words = match &entry.verb {
        Verb::Line(line) => line.split_whitespace().map(str::to_owned).collect(),
        Verb::Words(words) => words.clone(),
    };
    let words: Vec<String> =
        words.iter().map(|word| with_addresses(word, listen, names)).collect::<Result<_, _>>()?;
    if words.is_empty() {
        return Err("do: allowed: a verb of REHEARSE, e.g. \"MOVING 15 {new}\"".into());
    }
    let times = (0..u32::try_from(entry.repeat).unwrap_or(u32::MAX)).map(|n| at + every * n);
    Ok(times.map(|at| Step { at, node, words: words.clone(), place }).collect())
}

fn time(key: &str, text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= AT_MAX => Ok(time),
        _ => Err(format!("{key}: {text:?}: allowed: 0s to 7days, with a unit, e.g. 500ms, 2s, 1m30s")),
    }
}

/// The index of a listener.
fn listener_index(
    place: &ListenerRef,
    listen: &[SocketAddr],
    names: &BTreeMap<&str, usize>,
) -> Result<usize, String> {
    let found = match place {
        ListenerRef::Number(number) => usize::try_from(*number).ok().filter(|&number| number < listen.len()),
        ListenerRef::Text(text) => names.get(text.as_str()).copied().or_else(|| {
            let address: SocketAddr = text.parse().ok()?;
            listen.iter().position(|listener| *listener == address)
        }),
    };
    found.ok_or_else(|| {
        let wrong = match place {
            ListenerRef::Number(number) => number.to_string(),
            ListenerRef::Text(text) => format!("{text:?}"),
        };
        format!("{wrong} is not a listener; allowed: {}", listeners(listen, names))
    })
}

fn listeners(listen: &[SocketAddr], names: &BTreeMap<&str, usize>) -> String {
    let mut all = format!("0 to {}", listen.len().saturating_sub(1));
    for address in listen {
        all.push_str(&format!(", \"{address}\""));
    }
    for name in names.keys() {
        all.push_str(&format!(", \"{name}\""));
    }
    all
}

/// `word` with the address of the listener for each `{name}` or `{place}` in it.
fn with_addresses(
    word: &str,
    listen: &[SocketAddr],
    names: &BTreeMap<&str, usize>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("do: {word:?}: a {{ without a }}"))?;
        let place = name.parse().map_or_else(|_| ListenerRef::Text(name.to_owned()), ListenerRef::Number);
        let node = listener_index(&place, listen, names).map_err(|why| format!("do: {{{name}}}: {why}"))?;
        out.push_str(before);
        if let Some(address) = listen.get(node) {
            out.push_str(&address.to_string());
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A time in microseconds. The latest time of a step is far below `u64::MAX`.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The most steps, with all repetitions.
const STEPS_MAX: usize = 10_000;
/// The latest time of a step.
const AT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[nodes]\nold = 0\nnew = \"127.0.0.1:7002\"\n";

    fn listen() -> Vec<SocketAddr> {
        vec![([127, 0, 0, 1], 7001).into(), ([127, 0, 0, 1], 7002).into()]
    }

    fn steps(text: &str) -> Result<Vec<Step>, String> {
        Scenario::parse("s.toml", format!("{HEAD}{text}"))?.steps(&listen())
    }

    #[test]
    fn steps_are_named_repeated_and_put_in_order() {
        let text = "[[step]]\nat = \"2s\"\nnode = \"old\"\ndo = \"MOVING 15 {new}\"\nrepeat = 2\nevery = \"1m\"\n\
            [[step]]\nat = \"500ms\"\nnode = 1\ndo = [\"PUSH\", \"+a b\"]\n\
            [[step]]\nat = \"3s\"\nnode = \"127.0.0.1:7002\"\ndo = \"STATS\"\n";
        let steps = steps(text).unwrap();
        let listed: Vec<_> =
            steps.iter().map(|step| (step.at.as_millis(), step.node, step.words.join("|"))).collect();
        let moving = "MOVING|15|127.0.0.1:7002".to_owned();
        let expected = [
            (500, 1, "PUSH|+a b".to_owned()),
            (2000, 0, moving.clone()),
            (3000, 1, "STATS".to_owned()),
            (62_000, 0, moving),
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn a_mistake_names_its_line_and_what_is_allowed() {
        let step = |lines: &str| format!("[[step]]\nat = \"1s\"\ndo = \"STATS\"\n\n[[step]]\n{lines}\n");
        for (text, parts) in [
            ("at = \"soon\"\ndo = \"STATS\"", &["s.toml, step 2 (line 8)", "at: \"soon\"", "500ms"][..]),
            ("at = \"8days\"\ndo = \"STATS\"", &["7days"]),
            ("at = \"1s\"\nnode = 3\ndo = \"STATS\"", &["node: 3", "0 to 1", "\"old\""]),
            ("at = \"1s\"\nnode = \"older\"\ndo = \"STATS\"", &["node: \"older\"", "\"127.0.0.1:7001\""]),
            ("at = \"1s\"\ndo = \"MOVING 5 {x}\"", &["do: {x}", "\"new\""]),
            ("at = \"1s\"\ndo = \"MOVING 5 {new\"", &["{ without a }"]),
            ("at = \"1s\"\ndo = \" \"", &["do:", "MOVING 15"]),
            ("at = \"1s\"\ndo = \"STATS\"\nrepeat = 0", &["repeat: allowed: 1"]),
            ("at = \"1s\"\ndo = \"STATS\"\nrepeat = 2", &["needs every"]),
            ("at = \"1s\"\ndo = \"STATS\"\nevery = \"1s\"", &["needs repeat"]),
            ("at = \"1s\"\ndo = \"STATS\"\nrepeat = 999999\nevery = \"1s\"", &["1 to 10000"]),
            ("at = \"1s\"\ndo = \"STATS\"\nrepaet = 2", &["s.toml", "line 11", "repaet", "repeat"]),
            ("at = \"1s\"\ndo = 7", &["s.toml", "line 10", "list of its words"]),
            ("at = 1", &["s.toml", "line 9", "string"]),
        ] {
            let error = steps(&step(text)).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
        assert!(steps("").unwrap_err().contains("step"));
        let error = Scenario::parse("s.toml", "step = []\n[nodes]\nx = 9".into()).unwrap();
        let error = error.steps(&listen()).unwrap_err();
        assert!(error.contains("[nodes] x") && error.contains("0 to 1"), "{error}");
    }

    #[test]
    fn a_verb_that_the_server_rejects_is_found_before_the_start() {
        let text =
            "[[step]]\nat = \"1s\"\ndo = \"MOVING 15 {1}\"\n[[step]]\nat = \"2s\"\ndo = \"MUVING 15\"\n";
        let scenario = Scenario::parse("s.toml", text.into()).unwrap();
        let steps = scenario.steps(&listen()).unwrap();
        let error = scenario.dry_run(&steps, &ServerConfig::default(), &listen()).unwrap_err();
        assert!(error.contains("step 2 (line 4)") && error.contains("MUVING"), "{error}");
        assert!(error.contains("MIGRATING"), "the error lists the verbs: {error}");
        let scenario = Scenario::parse("s.toml", text.replace("MUVING 15", "AFTER 5 MUVING")).unwrap();
        let steps = scenario.steps(&listen()).unwrap();
        let error = scenario.dry_run(&steps, &ServerConfig::default(), &listen()).unwrap_err();
        assert!(error.contains("s.toml") && error.contains("AFTER"), "{error}");
    }

    #[test]
    fn every_shipped_scenario_runs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/scenarios");
        let mut names = Vec::new();
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let scenario = Scenario::read(&path).unwrap();
            assert!(
                scenario.text.starts_with("# "),
                "{}: it does not begin with its purpose",
                path.display()
            );
            let steps = scenario.steps(&listen()).unwrap();
            scenario.dry_run(&steps, &ServerConfig::default(), &listen()).unwrap();
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
        names.sort();
        let expected = ["failover", "null-endpoint-late-close", "rolling-upgrade", "silent-removal", "storm"];
        assert_eq!(names, expected);
    }
}
