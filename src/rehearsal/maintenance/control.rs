//! The verbs of `REHEARSE`.
//!
//! A verb acts on the node that it is sent to, unless words before it say otherwise.

use super::agenda::Due;
use super::fault::{self, Fault};
use super::node::{ClosePolicy, Ending, Node, NodeId};
use super::notification::{Kind, Subject};
use super::opt_in::Answer;
use super::pretty::pretty;
use super::stage::{Scope, Stage, tell_raw};
use super::stats;
use crate::rehearsal::session::SessionId;

mod moving;

/// Most bytes of a raw push (16 MiB).
pub const PUSH_BYTES_MAX: usize = 16 << 20;

/// Longest time that can be announced or waited for, in seconds: about 30 years.
const SECONDS_MAX: f64 = 1e9;
/// The shards that are named if none are given.
const SHARDS_DEFAULT: &str = "[\"1\"]";
const OK: &str = "OK";

type Done = Result<String, String>;

/// A verb: its name and arguments for people, what it does in their words, and how.
struct Verb {
    syntax: &'static str,
    help: &'static str,
    call: fn(&mut Stage<'_>, &Scope, &[&str]) -> Done,
}

const fn verb(
    syntax: &'static str,
    help: &'static str,
    call: fn(&mut Stage<'_>, &Scope, &[&str]) -> Done,
) -> Verb {
    Verb { syntax, help, call }
}

const VERBS: &[Verb] = &[
    verb(
        "MOVING grace_s target|null [how it closes, see CLOSING]",
        "announce that this node goes away, and answer who was told; at grace + delay it closes all its connections",
        moving::moving,
    ),
    verb("MIGRATING time_s [shards]", "announce a migration", |stage, scope, args| {
        open_window(stage, scope, Kind::Migrating, args)
    }),
    verb("MIGRATED [shards]", "announce its end; later opt-ins are told too", |stage, scope, args| {
        end_window(stage, scope, Kind::Migrated, args)
    }),
    verb("FAILING_OVER time_s [shards]", "announce a failover", |stage, scope, args| {
        open_window(stage, scope, Kind::FailingOver, args)
    }),
    verb("FAILED_OVER [shards]", "announce its end; later opt-ins are told too", |stage, scope, args| {
        end_window(stage, scope, Kind::FailedOver, args)
    }),
    verb("SMIGRATING slots", "announce that slots start to move", smigrating),
    verb("SMIGRATED src dst slots [src dst slots ...]", "announce that slots have moved", smigrated),
    verb("PUSH text", "send raw bytes to every connection here; \\r \\n \\t \\\\ \\xNN are read", push),
    verb(fault::SYNTAX, "do something wrong, from now on; faults of several kinds add up", fault),
    verb(
        "RETURN",
        "this node is there again: later connections are not told of its MOVING, and outlive its close",
        come_back,
    ),
    verb("CLOSE [fin|rst|half]", "close all connections here, unannounced", close),
    verb(
        "STATS [--pretty]",
        "connections, counts, windows and audits as JSON; pretty: on many lines, for redis-cli -3 or --raw",
        |stage, _, args| match args {
            [option] if ["--pretty", "pretty"].contains(&option.to_ascii_lowercase().as_str()) => {
                Ok(pretty(&stats::write(stage)))
            }
            [] => Ok(stats::write(stage)),
            _ => syntax("STATS"),
        },
    ),
    verb("RESET", "forget everything, on all nodes: keys, sequence, windows, faults, settings", reset),
    verb(Answer::SYNTAX, "how opting in is answered", maint),
    verb(
        "CLOSING [fin|rst|half|never] [delay ms] [early part] [refuse] [unread] [default]",
        "how this node closes after a MOVING: refuse stops listening, unread leaves a push behind",
        closing,
    ),
    verb("DELAY ms", "how long after the grace this node closes (700)", |stage, scope, args| {
        let [ms] = exactly(args, "DELAY ms")?;
        closing(stage, scope, &["delay", ms])
    }),
    verb(
        "REPLAY [openers|closers] on|off",
        "whether later opt-ins are told what goes on and went on",
        replay,
    ),
    verb("NAME fqdn|off", "what clients that want names are told of this node as a target", name),
    verb("LISTEN on|off", "whether this node takes new connections", listen),
    verb("SEQ n", "the number of the next notification", sequence),
    verb("HELP", "this", help),
];

/// What may stand before a verb.
const PREFIXES: [(&str, &str); 4] = [
    ("ALL", "on all nodes: one event, one sequence number"),
    ("NODE n|addr:port|port", "on that node (counted from 0)"),
    ("TO id", "only the connection with this CLIENT ID is told, or closed"),
    ("AFTER ms", "later"),
];

impl Verb {
    fn name(&self) -> &'static str {
        self.syntax.split(' ').next().unwrap_or_default()
    }
}

/// Does what `words` say, on `scope` unless they say where; returns the reply.
pub(crate) fn rehearse(stage: &mut Stage<'_>, mut scope: Scope, words: &[Vec<u8>]) -> Done {
    let texts: Result<Vec<&str>, _> = words.iter().map(|word| std::str::from_utf8(word)).collect();
    let texts = texts.map_err(|_| "not UTF-8; PUSH takes bytes as \\xNN")?;
    let mut rest = texts.as_slice();
    loop {
        let (first, args) = rest.split_first().ok_or("a verb is needed; see REHEARSE HELP")?;
        let prefix = first.to_ascii_uppercase();
        rest = match (prefix.as_str(), args) {
            ("ALL", rest) => {
                scope.nodes = (0..stage.world.nodes.len()).map(NodeId).collect();
                rest
            }
            ("NODE", [node, rest @ ..]) => {
                scope.nodes = vec![find_node(&stage.world.nodes, node)?];
                rest
            }
            ("TO", [id, rest @ ..]) => {
                let id = id.parse().map_err(|_| format!("TO: '{id}' is not a CLIENT ID"))?;
                only(stage, &mut scope, SessionId(id))?;
                rest
            }
            ("AFTER", [ms, rest @ ..]) => return later(stage, &scope, ms, rest),
            _ => break,
        };
    }
    let (wanted, args) = rest.split_first().ok_or("a verb is needed; see REHEARSE HELP")?;
    let found = VERBS.iter().find(|verb| wanted.eq_ignore_ascii_case(verb.name()));
    let verb = found.ok_or_else(|| {
        let names: Vec<&str> = VERBS.iter().map(Verb::name).collect();
        format!("unknown verb '{}'; there are {}", wanted.escape_debug(), names.join(", "))
    })?;
    log(&scope, rest);
    (verb.call)(stage, &scope, args)
}

fn log(scope: &Scope, words: &[&str]) {
    const SHOWN_MAX: usize = 200;
    let nodes: Vec<usize> = scope.nodes.iter().map(|node| node.0).collect();
    let words = words.iter().flat_map(|word| [" ", word]).flat_map(str::chars);
    let verb: String = words.skip(1).take(SHOWN_MAX).collect();
    tracing::info!(?nodes, verb = %verb.escape_debug(), "rehearse");
}

/// Narrows the scope down to one session, on whichever node it is.
fn only(stage: &mut Stage<'_>, scope: &mut Scope, id: SessionId) -> Result<(), String> {
    let all = Scope { nodes: (0..stage.world.nodes.len()).map(NodeId).collect(), only: Some(id) };
    let mut node = None;
    stage.for_each(&all, |_, session| node = Some(session.node));
    scope.nodes = vec![node.ok_or_else(|| format!("TO: there is no connection {id}"))?];
    scope.only = Some(id);
    Ok(())
}

fn later(stage: &mut Stage<'_>, scope: &Scope, ms: &str, rest: &[&str]) -> Done {
    let ms: u64 = ms.parse().map_err(|_| format!("AFTER: '{ms}' is not a number of milliseconds"))?;
    let wanted = rest.first().copied().unwrap_or_default();
    if wanted.is_empty() {
        return Err("AFTER: needs a verb".to_owned());
    }
    let at_us = stage.now_us.saturating_add(ms.saturating_mul(1_000));
    let mut words: Vec<Vec<u8>> = Vec::new();
    if scope.nodes.len() > 1 {
        words.push("ALL".into());
    }
    if let Some(id) = scope.only {
        words.extend(["TO".into(), id.to_string().into()]);
    }
    words.extend(rest.iter().map(|word| word.as_bytes().to_vec()));
    let node = scope.nodes.first().copied().unwrap_or_default();
    match stage.world.agenda.plan(at_us, Due::Step { node, words }) {
        true => done(),
        false => Err("AFTER: too much is planned".to_owned()),
    }
}

/// A node by its index, its address, or its port.
fn find_node(nodes: &[Node], wanted: &str) -> Result<NodeId, String> {
    let index = wanted.parse().ok().filter(|&index: &usize| index < nodes.len());
    let port = wanted.trim_start_matches(':').parse().ok();
    let has_address = |node: &Node| node.address.to_string() == wanted;
    let place = index.or_else(|| nodes.iter().position(has_address));
    let mut at_port = nodes.iter().enumerate().filter(|(_, node)| Some(node.address.port()) == port);
    match (place, at_port.next(), at_port.next()) {
        (Some(place), ..) | (None, Some((place, _)), None) => Ok(NodeId(place)),
        (None, Some((_, one)), Some((_, other))) => Err(format!(
            "nodes {} and {} both have port '{wanted}'; name one of them",
            one.address, other.address
        )),
        (None, None, _) => Err(format!("there is no node '{wanted}'")),
    }
}

fn come_back(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    none(args)?;
    for node in &scope.nodes {
        stage.come_back(*node);
    }
    done()
}

fn open_window(stage: &mut Stage<'_>, scope: &Scope, kind: Kind, args: &[&str]) -> Done {
    let (time, shards) = match args {
        [time] => (time, SHARDS_DEFAULT),
        [time, shards] => (time, *shards),
        _ => return syntax(kind.name()),
    };
    let until_us = at(stage.now_us, micros("time_s", time)?);
    stage.announce(scope, kind, Some(until_us), shard_ids(shards));
    done()
}

fn end_window(stage: &mut Stage<'_>, scope: &Scope, kind: Kind, args: &[&str]) -> Done {
    let shards = match args {
        [] => SHARDS_DEFAULT,
        [shards] => shards,
        _ => return syntax(kind.name()),
    };
    stage.announce(scope, kind, None, shard_ids(shards));
    done()
}

/// Shard ids as JSON text, from that or from `1,2`.
fn shard_ids(text: &str) -> Subject {
    if text.starts_with('[') {
        return Subject::Text(text.into());
    }
    let ids: Vec<String> = text.split(',').map(|id| format!("\"{}\"", id.trim())).collect();
    Subject::Text(format!("[{}]", ids.join(",")).into())
}

fn smigrating(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let [slots] = exactly(args, "SMIGRATING slots")?;
    stage.announce(scope, Kind::Smigrating, None, Subject::Text(slots.into()));
    done()
}

fn smigrated(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    if args.is_empty() || !args.len().is_multiple_of(3) {
        return syntax("SMIGRATED");
    }
    let moves = args.chunks_exact(3).filter_map(|parts| {
        let parts: &[&str; 3] = parts.try_into().ok()?;
        Some(parts.map(|part| part.as_bytes().to_vec()))
    });
    stage.announce(scope, Kind::Smigrated, None, Subject::Moves(moves.collect()));
    done()
}

fn push(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    if args.is_empty() {
        return syntax("PUSH");
    }
    let bytes = unescape(&args.join(" "))?;
    if bytes.len() > PUSH_BYTES_MAX {
        return Err(format!("PUSH: more than {PUSH_BYTES_MAX} bytes"));
    }
    let now_us = stage.now_us;
    stage.for_each(scope, |world, session| tell_raw(world, session, &bytes, now_us));
    done()
}

fn fault(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let fault = match args {
        [off] if off.eq_ignore_ascii_case("off") => None,
        _ => Some(Fault::parse(args)?),
    };
    for_nodes(stage, scope, |node| match fault {
        Some(fault) => node.add_fault(fault),
        None => node.faults.clear(),
    });
    stage.apply_faults(&scope.nodes);
    done()
}

fn close(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let ending = match args {
        [] => Some(Ending::AfterOutput),
        [how] => Ending::named(how),
        _ => None,
    };
    let Some(ending) = ending else {
        return syntax("CLOSE");
    };
    stage.close(scope, ending);
    done()
}

fn reset(stage: &mut Stage<'_>, _: &Scope, args: &[&str]) -> Done {
    none(args)?;
    let world = &mut *stage.world;
    world.keyspace.clear();
    world.sequence = 0;
    world.commands = 0;
    world.agenda.clear();
    world.audit = super::audit::Audit::default();
    for node in &mut world.nodes {
        *node = Node::new(node.address);
    }
    let all: Vec<NodeId> = (0..world.nodes.len()).map(NodeId).collect();
    let scope = Scope { nodes: all, only: None };
    stage.for_each(&scope, |_, session| {
        session.overtaken = None;
        session.counts = crate::rehearsal::session::Counts::default();
    });
    stage.apply_faults(&scope.nodes);
    done()
}

fn maint(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let (name, text) = match args {
        [name] => (name, None),
        [name, text @ ..] if name.eq_ignore_ascii_case("garbage") => (name, Some(unescape(&text.join(" "))?)),
        _ => return syntax("MAINT"),
    };
    let Some(mut answer) = Answer::named(name) else {
        return syntax("MAINT");
    };
    if let (Answer::Garbage(bytes), Some(text)) = (&mut answer, text) {
        *bytes = text;
    }
    for_nodes(stage, scope, |node| node.answer = answer.clone());
    done()
}

fn closing(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    if args.is_empty() {
        return syntax("CLOSING");
    }
    ClosePolicy::DEFAULT.change(args)?;
    for_nodes(stage, scope, |node| node.policy = node.policy.change(args).unwrap_or(node.policy));
    done()
}

fn replay(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let (which, how) = match args {
        [how] => ("both", *how),
        [which, how] => (*which, *how),
        _ => return syntax("REPLAY"),
    };
    let is_on = on_or_off("REPLAY", how)?;
    let which = which.to_ascii_lowercase();
    if !matches!(which.as_str(), "both" | "openers" | "closers") {
        return syntax("REPLAY");
    }
    for_nodes(stage, scope, |node| {
        if which != "closers" {
            node.replays_openers = is_on;
        }
        if which != "openers" {
            node.replays_closers = is_on;
        }
    });
    done()
}

fn name(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let [name] = exactly(args, "NAME fqdn|off")?;
    let name = (!name.eq_ignore_ascii_case("off")).then(|| name.to_owned());
    for_nodes(stage, scope, |node| node.name.clone_from(&name));
    done()
}

fn listen(stage: &mut Stage<'_>, scope: &Scope, args: &[&str]) -> Done {
    let [how] = exactly(args, "LISTEN on|off")?;
    let is_on = on_or_off("LISTEN", how)?;
    for_nodes(stage, scope, |node| node.listens = is_on);
    stage.world.disturbed_nodes.extend_from_slice(&scope.nodes);
    done()
}

fn sequence(stage: &mut Stage<'_>, _: &Scope, args: &[&str]) -> Done {
    let [number] = exactly(args, "SEQ n")?;
    stage.world.sequence = number.parse().map_err(|_| format!("SEQ: '{number}' is not a number"))?;
    done()
}

fn help(_: &mut Stage<'_>, _: &Scope, _: &[&str]) -> Done {
    let verbs = VERBS.iter().map(|verb| (verb.syntax, verb.help));
    let lines = verbs.chain(PREFIXES.map(|(syntax, help)| (syntax, help)));
    Ok(lines.map(|(syntax, help)| format!("REHEARSE {syntax}\n    {help}\n")).collect())
}

fn for_nodes(stage: &mut Stage<'_>, scope: &Scope, mut f: impl FnMut(&mut Node)) {
    for id in &scope.nodes {
        if let Some(node) = stage.world.nodes.get_mut(id.0) {
            f(node);
        }
    }
}

fn done() -> Done {
    Ok(OK.to_owned())
}

/// The complaint about the arguments of the verb `name`.
fn syntax(name: &str) -> Done {
    let verb = VERBS.iter().find(|verb| verb.name() == name);
    Err(format!("syntax: REHEARSE {}", verb.map_or(name, |verb| verb.syntax)))
}

fn none(args: &[&str]) -> Result<(), String> {
    if args.is_empty() { Ok(()) } else { Err("takes no arguments".to_owned()) }
}

fn exactly<'a, const N: usize>(args: &[&'a str], syntax: &str) -> Result<[&'a str; N], String> {
    args.try_into().map_err(|_| format!("syntax: REHEARSE {syntax}"))
}

fn on_or_off(what: &str, text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{what}: '{text}' is neither 'on' nor 'off'")),
    }
}

/// Seconds, with a fraction if wanted, and negative if wanted, in microseconds.
fn micros(what: &str, text: &str) -> Result<i64, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds: &f64| seconds.abs() <= SECONDS_MAX);
    let seconds = seconds.ok_or_else(|| format!("{what}: '{text}' is not a number of seconds"))?;
    Ok((seconds * 1e6).round() as i64)
}

fn at(now_us: u64, after_us: i64) -> i64 {
    i64::try_from(now_us).unwrap_or(i64::MAX).saturating_add(after_us)
}

/// Reads `\r`, `\n`, `\t`, `\\` and `\xNN`.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| 16 * high + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or("\\x needs two hexadecimal digits")?
            }
            _ => return Err("a \\ must be followed by r, n, t, x or another \\".to_owned()),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
