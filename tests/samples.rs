//! The commands that the README, the manual and the help texts show can be typed: the test runs each of them against
//! servers of this machine, and none is a usage error.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::Redis;
use common::authority::Certificates;

/// The pages whose commands and files of options the test tries.
const PAGES: [&str; 3] = [
    include_str!("../README.md"),
    include_str!("../src/manual/command_line.md"),
    include_str!("../src/manual/rehearsing.md"),
];

/// The text of each block that begins with this fence.
fn blocks(fence: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = PAGES.iter().flat_map(|page| page.lines());
    while lines.any(|line| line.trim_end() == fence) {
        blocks.push(
            lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .map(|line| format!("{line}\n"))
                .collect(),
        );
    }
    blocks
}

/// The commands of the pages that are this program's, with `hitless` as their first word.
fn commands_of_the_pages() -> Vec<String> {
    let blocks = blocks("```console");
    let typed = blocks.iter().flat_map(|block| block.lines()).filter_map(|line| line.strip_prefix("$ "));
    let ours = typed.filter_map(|line| match line.strip_prefix("cargo hitless ") {
        Some(rest) => Some(format!("hitless {rest}")),
        None => line.starts_with("hitless ").then(|| line.to_owned()),
    });
    ours.collect()
}

/// The example commands of every subcommand's help text.
fn commands_of_the_help() -> Vec<String> {
    let mut command = hitless::cli::command();
    command.build();
    let mut all = Vec::new();
    for subcommand in std::iter::once(&command).chain(command.get_subcommands()) {
        let notes = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
        let sets_a_variable = |line: &str| line.split(' ').next().is_some_and(|word| word.contains('='));
        let is_ours = |line: &&str| {
            line.starts_with("hitless ") || (line.starts_with("HITLESS_") && sets_a_variable(line))
        };
        let examples = notes.lines().filter_map(|line| line.strip_prefix("  ")).filter(is_ours);
        // `man` is another program, which may be missing.
        all.extend(examples.filter(|line| !line.contains("| man ")).map(str::to_owned));
    }
    all
}

/// Replaces the servers of an example: a real one, and for TLS a port without a listener.
fn on_this_machine(text: &str, redis: u16, nothing: u16) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', ' ', '\'', '"', '?', ';', ',', '\n']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        let login = authority.rsplit_once('@').map(|(login, _)| format!("{login}@")).unwrap_or_default();
        let has_tls = before.ends_with("rediss://") || before.ends_with("valkeys://");
        let port = if has_tls { nothing } else { redis };
        if !authority.is_empty() {
            out.push_str(&format!("{login}127.0.0.1:{port}"));
        }
        rest = tail;
    }
    out.push_str(rest);
    // Fixed ports would collide with a second test. A cluster counts its nodes from the first address.
    let listen = " --listen 127.0.0.1:0";
    let listens = if out.contains("--cluster") { listen.to_owned() } else { listen.repeat(2) };
    out.replace("hitless rehearse", &format!("hitless rehearse{listens}"))
}

/// Prepares a folder with the files that the examples expect, and `hitless` in its `bin`.
fn prepare(folder: &Path, redis: u16, nothing: u16) {
    let certificates = Certificates::new(&["127.0.0.1"]);
    let [ca, chain, key] = certificates.paths();
    for (from, names) in [
        (ca, &["ca.pem", "clients.pem"][..]),
        (chain, &["server.pem", "me.pem", "cert.pem"]),
        (key, &["server-key.pem", "me-key.pem", "key.pem"]),
    ] {
        for name in names {
            std::fs::copy(from, folder.join(name)).expect("a copy");
        }
    }
    for name in [
        "bin",
        ".local/share/bash-completion/completions",
        ".zfunc",
        ".config/fish/completions",
        ".config/elvish",
    ] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hitless"), folder.join("bin/hitless")).expect("a link");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    std::fs::copy(scenarios.join("scenarios/rolling-upgrade.toml"), folder.join("rolling-upgrade.toml"))
        .expect("a copy");
    std::os::unix::fs::symlink(scenarios, folder.join("scripts")).expect("a link");
    let samples = blocks("```toml").into_iter().filter(|sample| sample.starts_with("[bench]"));
    let sample: Vec<String> = samples.collect();
    assert_eq!(sample.len(), 1, "the manual has a sample of a file of options");
    std::fs::write(folder.join("load.toml"), on_this_machine(&sample[0], redis, nothing)).expect("a file");
    let earlier =
        "hitless bench --requests 100 --shards 1 --key-space 100 --no-moving --quiet --json old.json";
    let (code, said) = run_for(folder, earlier, "60");
    assert_eq!(code, Some(0), "{said}");
}

/// Runs a line in a shell, with Ctrl-C after a while. Returns the exit code and the output.
fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    run_for(folder, line, "0.7")
}

/// The same with Ctrl-C after so many seconds.
fn run_for(folder: &Path, line: &str, seconds: &str) -> (Option<i32>, String) {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    // Without --foreground the signal goes to the process group as well, and arrives twice.
    command.args(["--foreground", "--preserve-status", "--signal=INT", "--kill-after=60", seconds]);
    // `exec` replaces the shell, so that the signal reaches the command.
    command.args(["bash", "-c", &format!("{}{line}", if line.contains(';') { "" } else { "exec env " })]);
    for name in ["URL", "CONFIG", "UPSTREAM", "PASSWORD", "USERNAME", "LOG"] {
        command.env_remove(format!("HITLESS_{name}"));
    }
    command
        .env("PATH", path)
        .env("HOME", folder)
        .env("PROFILE", folder.join("profile"))
        .env_remove("RUST_LOG");
    let output = command.current_dir(folder).stdin(Stdio::null()).output().expect("timeout runs");
    let said = [output.stderr, output.stdout].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn every_example_command_runs() {
    let redis = Redis::start();
    let nothing = common::free_port();
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path(), redis.port(), nothing);
    let lines = [commands_of_the_pages(), commands_of_the_help()].concat();
    assert!(lines.len() > 30, "{lines:#?}");
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(String::new()));
    // Three threads, because the runs spend most of their time waiting.
    let work = || {
        while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
            let line = on_this_machine(line, redis.port(), nothing);
            let (code, said) = run(folder.path(), &line);
            // The command line is valid; the result of such a short run does not matter.
            if !matches!(code, Some(0 | 1 | 3 | 130)) || said.contains("panicked") {
                wrong.lock().expect("no panics").push_str(&format!("{line}: {code:?}: {said}\n"));
            }
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panics");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn example_servers_are_replaced_by_local_ones() {
    for (text, expected) in [
        (
            "hitless bench --url redis://a --url redis://b:1",
            "hitless bench --url redis://127.0.0.1:6 --url redis://127.0.0.1:6",
        ),
        ("url = \"rediss://u:p@h:6380\" # x", "url = \"rediss://u:p@127.0.0.1:7\" # x"),
        ("'rediss://h?ca_file=ca.pem'", "'rediss://127.0.0.1:7?ca_file=ca.pem'"),
        ("--url unix:///run/x.sock", "--url unix:///run/x.sock"),
    ] {
        assert_eq!(on_this_machine(text, 6, 7), expected);
    }
}
