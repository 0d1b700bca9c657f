//! The architecture, and the habits that a machine can check. Each rule says why it is one.

#[path = "tidy/drivers.rs"]
mod drivers;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One source file: its path from the top, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let ends = ["/tests.rs", "/testing.rs"];
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || ends.iter().any(|end| self.path.ends_with(end))
    }

    /// The lines of code before the unit tests, counted from 1.
    fn code(&self) -> Vec<(usize, String)> {
        source::code(&self.text)
            .lines()
            .map(str::to_owned)
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .collect()
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| top().join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().path());
            // What a build of the benchmarks or fuzz targets has generated.
            pending.extend(entries.filter(|entry| !entry.ends_with("target")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned();
            sources.push(Source { path: name, text: std::fs::read_to_string(&path).unwrap() });
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!sources.is_empty());
    sources
}

fn assert_none(found: &str, why: &str) {
    assert!(found.is_empty(), "{why}:\n{found}");
}

/// What may be imported by whom: a folder or file, and the parts of the crate that it may name. The longest match
/// counts. Everything may name itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("src/proto/resp", &[]),
    ("src/proto/time", &[]),
    ("src/proto/endpoint", &[]),
    ("src/proto/role", &[]),
    ("src/proto/error", &["proto::resp", "proto::endpoint"]),
    ("src/proto/targets", &["proto::time", "proto::endpoint"]),
    (
        "src/proto/maint",
        &["proto::resp", "proto::time", "proto::endpoint", "proto::error", "proto::role", "proto::targets"],
    ),
    (
        "src/proto/connection",
        &[
            "proto::resp",
            "proto::time",
            "proto::endpoint",
            "proto::error",
            "proto::maint::mode",
            "proto::subscriptions",
        ],
    ),
    (
        "src/proto/pool",
        &[
            "proto::resp",
            "proto::time",
            "proto::endpoint",
            "proto::error",
            "proto::connection",
            "proto::maint",
            "proto::role",
            "proto::subscriptions",
            "proto::targets",
        ],
    ),
    (
        "src/proto/cluster",
        &[
            "proto::resp",
            "proto::time",
            "proto::endpoint",
            "proto::error",
            "proto::connection",
            "proto::maint",
            "proto::role",
            "proto::subscriptions",
            "proto::targets",
            "proto::pool",
        ],
    ),
    (
        "src/proto/root",
        &[
            "proto::time",
            "proto::error",
            "proto::connection",
            "proto::maint",
            "proto::role",
            "proto::subscriptions",
            "proto::pool",
            "proto::cluster",
        ],
    ),
    // The test of the table includes this folder.
    ("src/proto/cluster/commands", &[]),
    ("src/proto/subscriptions", &["proto::resp", "proto::time", "proto::error"]),
    ("src/proto/mod", &[]),
    ("src/error", &["proto"]),
    ("src/command", &["proto", "error"]),
    ("src/config", &["proto", "error"]),
    ("src/observe", &["proto", "error"]),
    ("src/fuzz", &["proto", "config", "command"]),
    ("src/driver", &["proto", "error", "config", "observe"]),
    ("src/shard", &["proto", "error", "command", "config", "observe", "driver"]),
    ("src/tokio", &["proto", "error", "config", "driver"]),
    ("src/client", &["proto", "error", "command", "config", "driver", "shard", "tokio", "observe"]),
    ("src/serde", &["proto::resp", "proto::error", "error", "command"]),
    ("src/manual", &[]),
    (
        "src/redis_rs",
        &[
            "client",
            "shard",
            "driver",
            "command",
            "config",
            "error",
            "proto::resp",
            "proto::error",
            "proto::endpoint",
        ],
    ),
    ("src/rehearsal", &[]),
    // The simulator reads subscriptions as applications do: through the real inbox, which touches no socket.
    ("src/sim", &["proto", "rehearsal", "driver::subscriptions", "driver::clock", "config"]),
    // The table of commands, which is compared with real servers: a second one would have its own mistakes.
    ("src/rehearsal/cluster/keys", &["proto::cluster::commands", "rehearsal"]),
    (
        "src/load",
        &[
            "client",
            "driver",
            "shard",
            "config",
            "error",
            "command",
            "rehearsal",
            "observe",
            "proto::error",
            "proto::resp",
        ],
    ),
    (
        "src/cli",
        &["load", "client", "driver", "shard", "config", "error", "command", "rehearsal", "observe", "sim"],
    ),
];

/// Names at the crate's root, and where they come from: naming one is naming its home.
const ROOT_NAMES: &[(&str, &str)] = &[
    ("Client", "client"),
    ("ClientReply", "client"),
    ("Shard", "shard"),
    ("ShardStats", "driver"),
    ("ShardGroup", "driver"),
    ("Reply", "shard"),
    ("Pipeline", "command"),
    ("Config", "config"),
    ("ConfigError", "config"),
    ("ResolvedConfig", "config"),
    ("Maintenance", "config"),
    ("EndpointType", "proto::maint"),
    ("Error", "error"),
    ("ErrorKind", "error"),
    ("Result", "error"),
    ("Argument", "command"),
    ("Cmd", "command"),
    ("FromReply", "command"),
    ("ToArg", "command"),
    ("cmd", "command"),
    ("Endpoint", "proto::endpoint"),
    ("Outcome", "proto::error"),
    ("Frame", "proto::resp"),
    ("Limits", "proto::resp"),
];

/// A layer that imports a higher one cannot be tested, or replaced, without it. The rehearsal server shares nothing
/// with what it is the test of.
#[test]
fn imports_follow_the_layers() {
    let mut found = String::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let place =
            IMPORTS.iter().filter(|(place, _)| source.path.starts_with(place)).max_by_key(|(p, _)| p.len());
        let Some((place, allowed)) = place else {
            assert!(
                matches!(source.path.as_str(), "src/lib.rs" | "src/main.rs"),
                "no layer for {}",
                source.path
            );
            continue;
        };
        let own = place.trim_start_matches("src/").trim_end_matches("/mod").replace('/', "::");
        for name in imports::absolute(source.path.trim_start_matches("src/"), &source::code(&source.text)) {
            let first = name.split("::").next().unwrap_or_default();
            let root = ROOT_NAMES.iter().find(|(root, _)| *root == first);
            let name = root.map_or(name.clone(), |(_, home)| (*home).to_owned());
            let mut fine = allowed.iter().copied().chain([own.as_str()]);
            if !fine.any(|part| name == part || name.starts_with(&format!("{part}::"))) {
                writeln!(found, "  {}: crate::{name}", source.path).unwrap();
            }
        }
    }
    assert_none(&found, "imports against the layers (see IMPORTS in this test)");
}

#[test]
fn files_import_each_other_in_no_circle() {
    let sources = sources(&["src"]);
    let files = sources.iter().filter(|source| !source.is_test());
    let from_src = |source: &Source| source.path.trim_start_matches("src/").to_owned();
    let files: Vec<_> = files.map(|source| (from_src(source), source.text.clone())).collect();
    assert_none(&imports::circles(&files), "circles: move what both need into a file that imports neither");
}

/// Words that a part of the crate does without, and what to write instead.
const BANNED: &[(&str, &str, &str)] = &[
    ("src/proto", "std::time::Instant", "proto::time::Instant: time is an argument"),
    ("src/proto", "SystemTime", "proto::time::Instant: time is an argument"),
    ("src/proto", "std::thread", "nothing: the core runs where it is called"),
    ("src/proto", "std::io", "proto::error: the core does no I/O"),
    ("src/proto", "TcpStream", "bytes: the core has no sockets"),
    ("src/proto", "async ", "a handle_ or poll_ method: the core is sans-IO"),
    ("src/proto", "std::task", "a ticket: wakers belong to the driver"),
    ("src/proto", "HashMap", "a Vec or a BTreeMap: the order of a simulation must not depend on hashing"),
    ("src/proto", "HashSet", "a Vec or a BTreeSet: the order of a simulation must not depend on hashing"),
    ("src/proto", "Rc<", "plain values: the core owns what it needs"),
    ("src/proto", "fastrand::u", "the seeded generator of the pool"),
    ("src/proto", "tracing", "an Action: the driver logs"),
    ("src/driver", "glommio::", "driver::runtime: the driver is written once, for every runtime"),
    ("src/driver", "tokio::", "driver::runtime: the driver is written once, for every runtime"),
    ("src/driver", "std::rc::", "Runtime::Pointer: tasks of tokio run on several threads"),
    ("src/shard", "tokio::", "driver::runtime: only the folder `tokio` knows tokio"),
    ("src/client", "glommio::", "the shard's folder, so that another runtime can take its place"),
    ("src/config", "glommio::", "the shard's folder, so that another runtime can take its place"),
    ("src/cli", "glommio::", "the library"),
    ("src", "todo!(", "the thing itself"),
    ("src", "unimplemented!(", "the thing itself"),
    ("src", "dbg!(", "tracing"),
    ("src", " println!(", "a writer that was handed in (a closed pipe must not panic)"),
    ("tests", "#[ignore", "a test that runs"),
    (
        "tests",
        "sleep(",
        "something to wait for: a sleep is too short on a busy machine and too long on all others",
    ),
];

#[test]
fn banned_words_do_not_occur() {
    let mut found = String::new();
    for source in sources(&["src", "tests"]).iter().filter(|source| source.path != "tests/tidy.rs") {
        let banned = BANNED.iter().filter(|(place, ..)| source.path.starts_with(place));
        for (_, word, instead) in banned.filter(|_| !source.is_test() || source.path.starts_with("tests/")) {
            for (line, _) in source.code().iter().filter(|(_, code)| code.contains(word)) {
                writeln!(found, "  {}:{line}: {word}: use {instead}", source.path).unwrap();
            }
        }
    }
    assert_none(&found, "banned words");
}

/// Where unsafe code may be: the lint against it is on for the whole package, and off for single functions. Elsewhere
/// there is a safe way.
const UNSAFE: &[(&str, &str)] = &[
    ("src/client/route.rs", "the core that a thread runs on"),
    ("src/client/process.rs", "a page of memory that the kernel zeroes in children"),
    ("src/shard/machine/uring.rs", "a system call that no crate wraps"),
    ("src/shard/reactor/mod.rs", "the runtime waits for streams only, which it takes as bare numbers"),
    ("src/shard/reactor/ring/buffers.rs", "memory that the kernel writes to"),
    ("src/shard/reactor/ring/mod.rs", "operations that name memory"),
    ("src/shard/reactor/ring/queue.rs", "operations that name memory, and the system call that submits them"),
    (
        "src/rehearsal/sockets/raw.rs",
        "the runtime takes and lends sockets as bare numbers; the same system call",
    ),
    ("src/load/machine/threads.rs", "the thread's own clock"),
    ("src/proto/resp/decoder/tests/allocation.rs", "a global allocator that counts"),
    ("tests/common/filter.rs", "a filter of system calls for a command that a test starts"),
    ("tests/fork.rs", "a child, which the standard library does not fork"),
    ("tests/common/mod.rs", "a signal to a process that a test started"),
    ("tests/maintenance_alone.rs", "system calls that no crate of ours wraps"),
];

#[test]
fn unsafe_code_is_where_it_has_to_be_and_says_why_it_is_sound() {
    let mut found = String::new();
    for (path, _) in UNSAFE {
        let text = std::fs::read_to_string(top().join(path)).unwrap_or_default();
        if !text.contains("unsafe ") {
            writeln!(found, "  {path}: listed in UNSAFE, and needs not be any more").unwrap();
        }
    }
    for source in sources(&["src", "tests"]).iter().filter(|source| source.path != "tests/tidy.rs") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if code.contains("allow(unsafe_code)") {
                writeln!(found, "  {}:{}: expect it, with a reason", source.path, index + 1).unwrap();
            }
            if !["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| code.contains(form)) {
                continue;
            }
            let place = format!("{}:{}", source.path, index + 1);
            if UNSAFE.iter().all(|(path, _)| *path != source.path) {
                writeln!(found, "  {place}: not among the files of UNSAFE in this test").unwrap();
            }
            let before = &lines[index.saturating_sub(4)..index];
            let explained = before.iter().any(|line| line.contains("SAFETY:"));
            // A function of an unsafe trait is explained by its impl.
            if !explained && !code.contains("unsafe fn") {
                writeln!(found, "  {place}: no SAFETY comment").unwrap();
            }
        }
    }
    assert_none(&found, "unsafe code");
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are_for() {
    // Tests are read one at a time, and the library is read as a whole.
    const FILE_LINES_MAX: usize = 450;
    const TEST_FILE_LINES_MAX: usize = 600;
    const FUNCTION_LINES_MAX: usize = 70;
    let mut found = String::new();
    for source in sources(&["src", "tests", "benches"]) {
        let path = &source.path;
        let lines = source.text.lines().count();
        let lines_max = if path.starts_with("src/") { FILE_LINES_MAX } else { TEST_FILE_LINES_MAX };
        if lines > lines_max {
            writeln!(found, "  {path}: {lines} lines; split it before {lines_max}").unwrap();
        }
        if !source.text.starts_with("//!") {
            writeln!(found, "  {path}: it does not open with what it is for").unwrap();
        }
        for (line, length) in functions(&source.text).filter(|(_, length)| *length > FUNCTION_LINES_MAX) {
            writeln!(
                found,
                "  {path}:{line}: a function of {length} lines; one screen is {FUNCTION_LINES_MAX}"
            )
            .unwrap();
        }
    }
    assert_none(&found, "too long to take in, or without a purpose");
}

/// Where each function begins, and how many lines it has, going by rustfmt's indentation.
fn functions(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|&index| is_function(lines[index])).collect();
    starts.into_iter().filter_map(move |start| {
        let indent = lines[start].len() - lines[start].trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[start..].iter().position(|line| *line == closing || line.ends_with("{}"))?;
        Some((start + 1, end + 1))
    })
}

/// Whether a function begins in this line.
fn is_function(line: &str) -> bool {
    let visibility = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
    let rest = visibility.trim_start_matches("pub(super) ").trim_start_matches("async ");
    rest.trim_start_matches("const ").trim_start_matches("unsafe ").starts_with("fn ")
}

/// Names that say nothing, or that the standard library has taken.
#[test]
fn names_say_what_things_are() {
    let mut found = String::new();
    for source in sources(&["src", "tests", "benches"]).iter().filter(|source| source.path != "tests/tidy.rs")
    {
        for word in ["core", "utils", "util", "helpers", "helper", "misc", "manager"] {
            if source.path.ends_with(&format!("/{word}.rs")) || source.path.contains(&format!("/{word}/")) {
                writeln!(found, "  {}: a module named {word}", source.path).unwrap();
            }
        }
        for (line, code) in source.code() {
            let defines =
                ["struct ", "enum ", "trait ", "type "].iter().find_map(|kind| code.split(kind).nth(1));
            let name = defines
                .and_then(|rest| rest.split(|c: char| !c.is_alphanumeric()).next())
                .unwrap_or_default();
            if ["Manager", "Helper", "Utils", "Impl"].iter().any(|end| name.ends_with(end)) {
                writeln!(found, "  {}:{line}: {name}", source.path).unwrap();
            }
        }
    }
    assert_none(&found, "names");
}

/// A rule of ten words can be read in a list of failures. A sentence of ninety letters cannot.
#[test]
fn function_names_are_short() {
    const NAME_LETTERS_MAX: usize = 60;
    let mut found = String::new();
    for source in sources(&["src", "tests", "benches"]) {
        for name in source
            .text
            .split("fn ")
            .skip(1)
            .map(|rest| rest.split(|c: char| !is_word(c)).next().unwrap_or(""))
        {
            if name.len() > NAME_LETTERS_MAX {
                writeln!(found, "  {}: {name} has {} letters", source.path, name.len()).unwrap();
            }
        }
    }
    assert_none(&found, "names of functions that are too long");
}

/// A sentence without a named subject makes its reader guess who acts.
#[test]
fn sentences_name_their_subjects() {
    // Built here, so that this file does not hold the words itself.
    let idioms = ["who", "no", "some", "every"]
        .map(|start| start.to_owned() + if start == "who" { "ever" } else { "body" });
    let mut found = String::new();
    for source in sources(&["src", "tests", "benches", "scripts"]) {
        for (line, text) in source.text.lines().enumerate() {
            let mut words = text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            if let Some(word) = words.find(|word| idioms.contains(word)) {
                writeln!(
                    found,
                    "  {}:{}: {word}: name the caller, the driver, the server, …",
                    source.path,
                    line + 1
                )
                .unwrap();
            }
        }
    }
    assert_none(&found, "sentences without a named subject");
}

/// A type with more methods than this is several types: split its state together with what works on it.
#[test]
fn blocks_of_methods_are_short() {
    const METHODS_MAX: usize = 30;
    let mut found = String::new();
    for source in sources(&["src"]) {
        let mut block = (0, "");
        let mut methods = 0;
        for (line, text) in source.text.lines().enumerate() {
            if text.starts_with("impl") {
                (block, methods) = ((line + 1, text), 0);
            } else if text.starts_with("    ") && !text.starts_with("     ") && is_function(text) {
                methods += 1;
            } else if text == "}" {
                if methods > METHODS_MAX {
                    writeln!(found, "  {}:{}: {methods} methods: {}", source.path, block.0, block.1).unwrap();
                }
                methods = 0;
            }
        }
    }
    assert_none(&found, "types that do too much");
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The house is readable by its folder names, and nothing else stands in front of it.
#[test]
fn the_top_level_holds_what_was_agreed() {
    let agreed =
        ["Cargo.toml", "Cargo.lock", "src", "benches", "tests", "scripts", "README.md", "CHANGELOG.md"];
    let mut found = String::new();
    for entry in top().read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let fine = agreed.contains(&name.as_str()) || name.starts_with('.') || name.starts_with("LICENSE");
        if !fine && name != "target" && name != "proptest-regressions" {
            writeln!(found, "  {name}").unwrap();
        }
    }
    assert_none(&found, "more than was agreed at the top level");
}

/// The crate's front page promises a walk through files that exist, and few names at the door.
#[test]
fn the_front_page_is_true() {
    const ROOT_NAMES_MAX: usize = 25;
    const WALK_FILES_MAX: usize = 10;
    let door = std::fs::read_to_string(top().join("src/lib.rs")).unwrap();
    let walk = door.split("# A newcomer's walk").nth(1).unwrap().split("//! # ").next().unwrap();
    let steps: Vec<&str> = walk.lines().filter_map(|line| line.split(". `").nth(1)).collect();
    assert!((1..=WALK_FILES_MAX).contains(&steps.len()), "{} steps", steps.len());
    for file in steps.iter().map(|step| step.split('`').next().unwrap()) {
        assert!(top().join("src").join(file).exists(), "the walk goes through {file}");
    }
    let exported = door.lines().filter(|line| line.starts_with("pub use "));
    let names: usize = exported.map(|line| line.split("::").last().unwrap().split(',').count()).sum();
    assert!((1..=ROOT_NAMES_MAX).contains(&names), "{names} names at the root");
}

/// Users copy the dependency line of the README, which has the default features. Without `tls`, every `rediss://` of the
/// same page fails; with `cli`, every user builds a command line.
#[test]
fn the_dependency_line_of_the_readme_has_tls() {
    let readme = std::fs::read_to_string(top().join("README.md")).unwrap();
    assert!(readme.lines().any(|line| line.starts_with("hitless = \"")), "the README has no dependency line");
    let manifest = std::fs::read_to_string(top().join("Cargo.toml")).unwrap();
    assert!(
        manifest.lines().any(|line| line == "default = [\"glommio\", \"tls\"]"),
        "the default features are not a runtime and TLS"
    );
}

/// A link in the manifest is shown on the registry's page of the crate: a made-up one is worse than none.
#[test]
fn the_manifest_names_no_placeholder() {
    let manifest = std::fs::read_to_string(top().join("Cargo.toml")).unwrap();
    for key in ["repository", "homepage", "documentation"] {
        let line = manifest.lines().find(|line| line.starts_with(&format!("{key} = ")));
        let made_up = line.filter(|line| [".invalid", "example."].iter().any(|part| line.contains(part)));
        assert_eq!(made_up, None);
    }
}
