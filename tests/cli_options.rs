//! The command line as a whole: invalid values for every option, option files, hidden passwords, closed pipes and
//! Ctrl-C.

mod common;

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Arg;
use clap::error::ErrorKind;
use common::Redis;
use common::binary::{HITLESS, hitless, isolate, run, signal, started, stderr, stdout, wait_for_line};

const PASSWORD: &str = "Xq7kZw93";

/// The same under `timeout`: Ctrl-C after half a second, and a kill 30 seconds later.
fn watched<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new("timeout");
    // Without --foreground the signal goes to the process group as well, and arrives twice.
    command.args(["--foreground", "--preserve-status", "--signal=INT", "--kill-after=30", "0.5", HITLESS]);
    isolate(command.args(arguments));
    command
}

/// Values that are invalid for most options.
const INVALID: [&[u8]; 10] = [
    b"",
    b" ",
    b"-1",
    b"0",
    b"99999999999999999999999999",
    b"1e999",
    b"NaN",
    b"10parsecs",
    b"no such thing",
    b"\xff\xfe",
];

/// Options that keep a run short when the option under test accepts the value.
const SHORT: [(&str, &str); 8] = [
    ("step", "50ms"),
    ("rounds", "1"),
    ("requests", "20"),
    ("shards", "1"),
    ("key-space", "100"),
    ("connect-timeout", "200ms"),
    ("seeds", "2"),
    ("listen", "127.0.0.1:0"),
];

/// The entries of [`SHORT`] that this command has and that do not conflict with the option under test.
fn short(command: &clap::Command, tested: &Arg) -> Vec<OsString> {
    let of = |long: &str| command.get_arguments().find(|argument| argument.get_long() == Some(long));
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|conflict| conflict.get_id() == other.get_id())
    };
    // A sweep is limited by time, not by requests.
    let apt = SHORT.iter().filter(|(long, _)| *long != "requests" || of("step").is_none());
    let fitting = apt.filter_map(|(long, value)| Some((of(long)?, long, value))).filter(|(other, ..)| {
        other.get_id() != tested.get_id() && !excludes(tested, other) && !excludes(other, tested)
    });
    fitting.map(|(_, long, value)| format!("--{long}={value}").into()).collect()
}

/// The test reads the options from clap, so it covers new ones.
#[test]
fn no_option_value_causes_a_panic_or_an_unexplained_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = hitless::cli::command();
    command.build();
    let mut cases = Vec::new();
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let of_option = |option| INVALID.map(|value| (subcommand, option, value));
        cases.extend(subcommand.get_opts().flat_map(of_option));
    }
    let (next, refused, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(String::new()));
    // Four threads, because the runs spend most of their time waiting.
    let work = || {
        while let Some((subcommand, option, value)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match tried(&command, subcommand, option, value, folder.path()) {
                Ok(is_refused) => drop(refused.fetch_add(usize::from(is_refused), Ordering::Relaxed)),
                Err(why) => wrong.lock().expect("no panics").push_str(&why),
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panics");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(refused.into_inner() > 200, "most invalid values are rejected");
}

/// Whether the option rejects the value. An error says how a rejection was unexplained, or how the run failed.
fn tried(
    command: &clap::Command,
    subcommand: &clap::Command,
    option: &Arg,
    value: &[u8],
    folder: &Path,
) -> Result<bool, String> {
    let long = option.get_long().expect("every option has a long name");
    let word = [format!("--{long}=").as_bytes(), value].concat();
    let mut arguments: Vec<OsString> = vec![subcommand.get_name().into()];
    arguments.extend(short(subcommand, option));
    arguments.push(OsStr::from_bytes(&word).into());
    let output = watched(&arguments).current_dir(folder).output().expect("it runs");
    let said = stderr(&output);
    match output.status.code() {
        Some(2) if is_explained(command, &arguments, option, value, &said) => Ok(true),
        // The value was accepted and the run ended. With 130, Ctrl-C arrived before the handler was installed.
        Some(0 | 1 | 3 | 130) if !said.contains("panicked") => Ok(false),
        _ => Err(format!("{arguments:?}: {}\n{said}\n", output.status)),
    }
}

/// Whether the message names the option and, when the value itself is invalid, the value and the allowed ones.
fn is_explained(
    command: &clap::Command,
    arguments: &[OsString],
    option: &Arg,
    value: &[u8],
    said: &str,
) -> bool {
    let names_option = option.get_long().is_some_and(|long| said.contains(&format!("--{long}")));
    let words = std::iter::once(OsString::from("hitless")).chain(arguments.iter().cloned());
    let kind = command.clone().try_get_matches_from(words).err().map(|error| error.kind());
    if !matches!(kind, Some(ErrorKind::InvalidValue | ErrorKind::ValueValidation)) {
        // The value is well formed: the option conflicts with others, or the error comes from the run.
        return names_option;
    }
    let shown = String::from_utf8_lossy(value);
    // For an empty value it is enough to say that a value is required.
    let is_missing = value.is_empty() && said.contains("a value is required");
    let says_what = said.contains("allowed") || said.contains("possible values") || is_missing;
    names_option && said.contains(shown.as_ref()) && says_what
}

#[test]
fn environment_and_command_line_override_the_file() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.toml");
    let file = format!(
        "[bench]\nurl = \"{}\"\nrequests = 300\nshards = 1\nkey-space = 100\nverify = true\n",
        redis.url()
    );
    std::fs::write(&path, file).expect("a file");
    let config = path.to_str().expect("a path that is text");
    let report = |output: &Output| -> serde_json::Value {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let json = ["--json", "-", "--quiet"];
    let from_file = report(&run(&[&["bench", "--config", config][..], &json].concat()));
    assert_eq!(from_file["commands"]["issued"], 300);
    assert!(from_file["verify"]["checked"].is_number());
    assert!(
        from_file["config"]["endpoint"].as_str().is_some_and(|name| name.contains(&redis.port().to_string()))
    );
    let over = report(&run(&[&["bench", "--config", config, "--requests=200"][..], &json].concat()));
    assert_eq!(over["commands"]["issued"], 200);
    let by_variable = hitless(&[&["bench"][..], &json].concat()).env("HITLESS_CONFIG", config).output();
    assert_eq!(report(&by_variable.expect("it runs"))["commands"]["issued"], 300);
    // The variable overrides the file: no server listens on its port.
    let unreachable = format!("redis://127.0.0.1:{}", common::free_port());
    let arguments = ["bench", "--config", config, "--connect-timeout", "200ms"];
    let elsewhere = hitless(&arguments).env("HITLESS_URL", unreachable).output().expect("it runs");
    assert_eq!(elsewhere.status.code(), Some(3), "{}", stderr(&elsewhere));
    let emptied = hitless(&arguments).env("HITLESS_URL", "").output().expect("it runs");
    assert_eq!(emptied.status.code(), Some(0), "{}", stderr(&emptied));
}

#[test]
fn half_of_an_option_pair_may_be_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.toml");
    std::fs::write(&path, "[bench]\ntls-key = \"/nonexistent/key.pem\"\n").expect("a file");
    let config = path.to_str().expect("a path that is text");
    let pair =
        ["bench", "--config", config, "--tls-cert", "/nonexistent/c.pem", "--url", "rediss://127.0.0.1:1"];
    let output = run(&pair);
    assert_eq!(output.status.code(), Some(2));
    assert!(!stderr(&output).contains("required"), "{}", stderr(&output));
}

#[test]
fn a_mistake_in_an_option_file_is_reported_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("load.toml");
    std::fs::write(&path, "[bench]\nurl = \"redis://h\"\nconections = 8\n").expect("a file");
    let output = run(&["bench", "--config", path.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("line 3: [bench] conections") && said.contains("did you mean connections?"),
        "{said}"
    );
}

/// Writes a file with a password, with these permissions.
fn file(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn a_password_stays_hidden_however_it_is_passed() {
    let redis = Redis::start_with(&["--requirepass", PASSWORD]);
    let folder = tempfile::tempdir().expect("a folder");
    let (secret, config) = (folder.path().join("secret"), folder.path().join("load.toml"));
    file(&secret, &format!("{PASSWORD}\n"), 0o600);
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port());
    file(&config, &format!("[bench]\nurl = \"{url}\"\n"), 0o600);
    let (secret, config) = (secret.to_str().expect("text"), config.to_str().expect("text"));
    let plain = redis.url();
    let bench = ["bench", "--requests", "50", "--shards", "1"];
    let check = |command: &mut Command, warned: bool| {
        let output = command.output().expect("it runs");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("warning: "), warned, "{said}");
        assert!(!said.contains(PASSWORD) && !stdout(&output).contains(PASSWORD));
    };
    check(hitless(&[&bench[..], &["--url", &plain]].concat()).env("HITLESS_PASSWORD", PASSWORD), false);
    check(&mut hitless(&[&bench[..], &["--url", &plain, "--password-file", secret]].concat()), false);
    check(&mut hitless(&[&bench[..], &["--config", config]].concat()), false);
    check(hitless(&bench).env("HITLESS_URL", &url), false);
    check(&mut hitless(&[&bench[..], &["--url", &url]].concat()), true);
    check(&mut hitless(&[&bench[..], &["--url", &url, "--quiet"]].concat()), false);
    let doctor = ["doctor", "--shards", "1", "--url", &plain, "--password-file", secret, "--quiet"];
    assert_eq!(run(&doctor).status.code(), Some(0));
    std::fs::set_permissions(secret, Permissions::from_mode(0o644)).expect("a mode");
    check(&mut hitless(&[&bench[..], &["--url", &plain, "--password-file", secret]].concat()), true);
    std::fs::set_permissions(config, Permissions::from_mode(0o644)).expect("a mode");
    check(&mut hitless(&[&bench[..], &["--config", config]].concat()), true);
}

#[test]
fn a_closed_pipe_is_no_error() {
    for arguments in [
        &["bench", "--requests", "100", "--shards", "1", "--json", "-", "--quiet"][..],
        &["simulate", "--seed", "1", "--trace"],
        &["doctor", "--json", "-"],
        &["completions", "bash"],
        &["man"],
        &["bench", "--help"],
    ] {
        // The pipe has no reader from the start.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = hitless(arguments).stdout(writer).output().expect("it runs");
        let said = stderr(&output);
        assert!(!said.contains("panicked") && !said.contains("error"), "{arguments:?}: {said}");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {:?}", output.status);
    }
}

#[test]
fn man_pages_and_completions_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("share/man1");
    let output = run(&["man", pages.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["hitless.1", "hitless-bench.1", "hitless-rehearse.1", "hitless-man.1"] {
        let page = std::fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(".TH ") && page.contains(".SH \"EXAMPLES\""), "{page}");
    }
    assert!(stdout(&run(&["man"])).contains(".TH "));
    let output = run(&["man", "/proc/nonexistent"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("key-distribution"), "{shell}");
    }
    let script = stdout(&run(&["completions", "bash"]));
    let asked = "COMP_WORDS=(hitless bench --key-d); COMP_CWORD=2; _hitless hitless --key-d bench; echo \"${COMPREPLY[@]}\"";
    let answer =
        Command::new("bash").arg("-c").arg(format!("{script}\n{asked}")).output().expect("bash runs");
    assert_eq!(stdout(&answer).trim(), "--key-distribution", "{}", stderr(&answer));
}

#[test]
fn options_and_variables_switch_colors() {
    let output = run(&["bench", "--color", "always", "--tasks", "0"]);
    assert!(stderr(&output).contains("\u{1b}["), "{}", stderr(&output));
    let asked = |name: &str, value: &str| {
        let output = hitless(&["bench", "--tasks", "0"]).env(name, value).output().expect("it runs");
        stderr(&output).contains('\u{1b}')
    };
    assert!(asked("CLICOLOR_FORCE", "1"));
    assert!(!asked("NO_COLOR", "1") && !asked("CLICOLOR", "1"));
    let help = hitless(&["bench", "--help", "--color", "never"]).env("CLICOLOR_FORCE", "1").output();
    assert!(!stdout(&help.expect("it runs")).contains('\u{1b}'));
}

#[test]
fn ctrl_c_ends_each_command_with_its_report() {
    let redis = Redis::start();
    let url = redis.url();
    for (arguments, until, code, output_has) in [
        (
            &["bench", "--duration", "1h", "--shards", "1", "--url", &url][..],
            "the run begins",
            130,
            "throughput",
        ),
        // `rehearse` serves until Ctrl-C, so it ends with success.
        (&["rehearse", "--listen", "127.0.0.1:0", "--json", "/dev/stdout"], "listening on", 0, "connections"),
    ] {
        let mut command = hitless(arguments);
        command.env("HITLESS_LOG", "hitless=info");
        let (child, mut stderr) = started(command, until);
        let is_measuring = || output_has != "throughput" || redis.statistics().contains("cmdstat_get");
        common::fixture::eventually("the load arrives", is_measuring);
        signal(&child, libc::SIGINT);
        let output = child.wait_with_output().expect("it ends");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("text");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {rest}");
        assert!(stdout(&output).contains(output_has), "{arguments:?}: {}", stdout(&output));
    }
}

/// Waits until the process handles SIGINT, sends one, and waits until it has been delivered.
fn interrupt_when_ready(child: &Child) {
    let has = |mask: &str, signal: i32| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let bits = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap_or("0").trim();
        u64::from_str_radix(bits, 16).expect("a mask") & (1 << (signal - 1)) != 0
    };
    // The kernel knows the handler of SIGINT before its actions are registered. SIGTERM follows once all of them are.
    common::fixture::eventually("the actions of SIGINT are registered", || has("SigCgt:", libc::SIGTERM));
    signal(child, libc::SIGINT);
    common::fixture::eventually("SIGINT is delivered", || {
        !has("ShdPnd:", libc::SIGINT) && !has("SigPnd:", libc::SIGINT)
    });
}

#[test]
fn ctrl_c_ends_endless_runs_and_connection_attempts() {
    let mut redis = Redis::start();
    redis.signal(libc::SIGSTOP);
    let (patience, url) = ("--connect-timeout=1h", redis.url());
    for (arguments, output_has) in [
        (&["simulate", "--seeds", "1G"][..], "violations    none"),
        (&["bench", "--url", &url, patience, "--shards", "1"], "interrupted"),
        (&["tune", "--url", &url, patience, "--shards", "1"], "interrupted"),
        (&["doctor", "--url", &url, patience], "interrupted"),
        (&["rehearse", "--listen", "127.0.0.1:0", "--upstream", &url], "interrupted"),
    ] {
        let mut command = hitless(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        interrupt_when_ready(&child);
        let output = child.wait_with_output().expect("it ends");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(128 + libc::SIGINT), "{arguments:?}: {said}");
        assert!(said.contains(output_has), "{arguments:?}: {said}");
    }
    redis.kill();
}

#[test]
fn the_second_ctrl_c_ends_it_at_once() {
    let mut redis = Redis::start();
    let url = redis.url();
    let load = ["bench", "--duration", "1h", "--shards", "1", "--timeout", "1h", "--no-load", "--url", &url];
    let mut command = hitless(&load);
    command.env("HITLESS_LOG", "hitless=info");
    let (mut child, mut stderr) = started(command, "the run begins");
    common::fixture::eventually("the load arrives", || redis.statistics().contains("cmdstat_get"));
    // The stopped server sends no replies, so the run waits for them.
    redis.signal(libc::SIGSTOP);
    interrupt_when_ready(&child);
    // The command tells the user how to quit at once.
    wait_for_line(&mut stderr, "press Ctrl-C again to quit");
    signal(&child, libc::SIGINT);
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(128 + libc::SIGINT));
    redis.kill();
}
