//! The table of the verbs of `REHEARSE`, and how one is found.
//!
//! A verb applies to the node that it is sent to, unless a prefix says otherwise.

use super::announcements::{close_window, moving, open_window, push, smigrated, smigrating};
use super::arguments::{VerbError, VerbResult, find_node};
use super::cluster::CLUSTER_VERBS;
use super::pretty::pretty;
use super::settings::{
    close, closing, delay, fault, listen, maint, name, replay, reset, return_node, sequence, shape,
};
use super::stats;
use super::verb::{Verb, verb};
use crate::rehearsal::context::{Scope, ServerContext};
use crate::rehearsal::ids::{NodeId, SessionId};
use crate::rehearsal::maintenance::agenda::Action;
use crate::rehearsal::maintenance::fault::SYNTAX as FAULT_SYNTAX;
use crate::rehearsal::maintenance::notification::{NotificationKind, SHAPE_SYNTAX};
use crate::rehearsal::maintenance::opt_in::OptInReply;

/// Executes the verb in `words` on `scope`, which prefixes can change. Returns the text of the reply, or the error.
pub(crate) fn rehearse(
    context: &mut ServerContext<'_>,
    mut scope: Scope,
    words: &[Vec<u8>],
) -> Result<String, String> {
    let texts: Result<Vec<&str>, _> = words.iter().map(|word| std::str::from_utf8(word)).collect();
    let texts = texts.map_err(|_| "not UTF-8; PUSH takes bytes as \\xNN")?;
    let mut rest = texts.as_slice();
    loop {
        let (first, args) = rest.split_first().ok_or(VERB_MISSING)?;
        let prefix = first.to_ascii_uppercase();
        rest = match (prefix.as_str(), args) {
            ("ALL", rest) => {
                scope.nodes = (0..context.state.nodes.len()).map(NodeId).collect();
                rest
            }
            ("NODE", [node, rest @ ..]) => {
                scope.nodes = vec![find_node(&context.state.nodes, node)?];
                rest
            }
            ("TO", [id, rest @ ..]) => {
                let id = id.parse().map_err(|_| format!("TO: '{id}' is not a CLIENT ID"))?;
                select_session(context, &mut scope, SessionId(id))?;
                rest
            }
            ("AFTER", [ms, rest @ ..]) => return schedule(context, &scope, ms, rest),
            _ => break,
        };
    }
    let (wanted, args) = rest.split_first().ok_or(VERB_MISSING)?;
    let found = verbs().find(|verb| wanted.eq_ignore_ascii_case(verb.name()));
    let verb = found.ok_or_else(|| {
        let names: Vec<&str> = verbs().map(Verb::name).collect();
        format!("unknown verb '{}'; there are {}", wanted.escape_debug(), names.join(", "))
    })?;
    log(&scope, rest);
    (verb.call)(context, &scope, args).map_err(|error| match error {
        VerbError::Syntax => format!("syntax: REHEARSE {}", verb.syntax),
        VerbError::Text(text) => text,
    })
}

fn log(scope: &Scope, words: &[&str]) {
    const SHOWN_MAX: usize = 200;
    let nodes: Vec<usize> = scope.nodes.iter().map(|node| node.0).collect();
    let words = words.iter().flat_map(|word| [" ", word]).flat_map(str::chars);
    let verb: String = words.skip(1).take(SHOWN_MAX).collect();
    tracing::info!(?nodes, verb = %verb.escape_debug(), "rehearse");
}

/// `TO id`: narrows the scope to one connection, on any node.
fn select_session(context: &mut ServerContext<'_>, scope: &mut Scope, id: SessionId) -> Result<(), String> {
    let all = Scope { nodes: (0..context.state.nodes.len()).map(NodeId).collect(), only: Some(id) };
    let mut node = None;
    context.for_each(&all, |_, session| node = Some(session.node));
    scope.nodes = vec![node.ok_or_else(|| format!("TO: there is no connection {id}"))?];
    scope.only = Some(id);
    Ok(())
}

/// `AFTER ms`: plans the rest of the words for a later time.
fn schedule(
    context: &mut ServerContext<'_>,
    scope: &Scope,
    ms: &str,
    rest: &[&str],
) -> Result<String, String> {
    let ms: u64 = ms.parse().map_err(|_| format!("AFTER: '{ms}' is not a number of milliseconds"))?;
    let wanted = rest.first().copied().unwrap_or_default();
    if wanted.is_empty() {
        return Err("AFTER: needs a verb".to_owned());
    }
    let at_us = context.now_us.saturating_add(ms.saturating_mul(1_000));
    let mut words: Vec<Vec<u8>> = Vec::new();
    if scope.nodes.len() > 1 {
        words.push("ALL".into());
    }
    if let Some(id) = scope.only {
        words.extend(["TO".into(), id.to_string().into()]);
    }
    words.extend(rest.iter().map(|word| word.as_bytes().to_vec()));
    let node = scope.nodes.first().copied().unwrap_or_default();
    match context.state.agenda.plan(at_us, Action::Step { node, words }) {
        true => Ok("OK".to_owned()),
        false => Err("AFTER: too much is planned".to_owned()),
    }
}

/// All verbs. Those of clusters are refused without a cluster.
fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().chain(CLUSTER_VERBS)
}

fn help(_: &mut ServerContext<'_>, _: &Scope, _: &[&str]) -> VerbResult {
    let verbs = verbs().map(|verb| (verb.syntax, verb.help));
    let lines = verbs.chain(PREFIXES.map(|(syntax, help)| (syntax, help)));
    Ok(lines.map(|(syntax, help)| format!("REHEARSE {syntax}\n    {help}\n")).collect())
}

const VERBS: &[Verb] = &[
    verb(
        "MOVING grace_s target|null [how it closes, see CLOSING]",
        "announce that this node moves, and answer how many connections were told; at grace + delay it closes all \
         its connections",
        moving,
    ),
    verb("MIGRATING time_s [shards]", "announce a migration", |context, scope, args| {
        open_window(context, scope, NotificationKind::Migrating, args)
    }),
    verb("MIGRATED [shards]", "announce its end, also to later opt-ins", |context, scope, args| {
        close_window(context, scope, NotificationKind::Migrated, args)
    }),
    verb("FAILING_OVER time_s [shards]", "announce a failover", |context, scope, args| {
        open_window(context, scope, NotificationKind::FailingOver, args)
    }),
    verb("FAILED_OVER [shards]", "announce its end, also to later opt-ins", |context, scope, args| {
        close_window(context, scope, NotificationKind::FailedOver, args)
    }),
    verb("SMIGRATING slots", "announce that slots start to move", smigrating),
    verb("SMIGRATED src dst slots [src dst slots ...]", "announce that slots have moved", smigrated),
    verb(SHAPE_SYNTAX, "how SMIGRATED is written from now on, by any node (nested)", shape),
    verb("PUSH text", "send raw bytes to every connection here; escapes: \\r \\n \\t \\\\ \\xNN", push),
    verb(FAULT_SYNTAX, "add a fault to this node; faults of different kinds add up", fault),
    verb(
        "RETURN",
        "this node returns: later connections are not told of its MOVING, and outlive its close",
        return_node,
    ),
    verb("CLOSE [fin|rst|half]", "close all connections here, unannounced", close),
    verb(
        "STATS [--pretty]",
        "connections, counts, windows and audits as JSON; pretty: on many lines, for redis-cli -3 or --raw",
        |context, _, args| match args {
            [option] if ["--pretty", "pretty"].contains(&option.to_ascii_lowercase().as_str()) => {
                Ok(pretty(&stats::write(context)))
            }
            [] => Ok(stats::write(context)),
            _ => Err(VerbError::Syntax),
        },
    ),
    verb("RESET", "forget everything, on all nodes: keys, sequence, windows, faults, settings", reset),
    verb(OptInReply::SYNTAX, "how this node answers an opt-in", maint),
    verb(
        "CLOSING [fin|rst|half|never] [delay ms] [early part] [refuse] [unread] [default]",
        "how this node closes after a MOVING: refuse stops listening, unread leaves a push behind",
        closing,
    ),
    verb("DELAY ms", "how long after the grace this node closes (700)", delay),
    verb(
        "REPLAY [openers|closers] on|off",
        "whether later opt-ins are told of open windows and of the last end",
        replay,
    ),
    verb("NAME fqdn|off", "the name of this node, for clients that ask for names of targets", name),
    verb("LISTEN on|off", "whether this node takes new connections", listen),
    verb("SEQ n", "the sequence number of the next notification", sequence),
    verb("HELP", "this list", help),
];

/// The prefixes of a verb.
const PREFIXES: [(&str, &str); 4] = [
    ("ALL", "on all nodes: one event, one sequence number"),
    ("NODE n|addr:port|port", "on that node (counted from 0)"),
    ("TO id", "only the connection with this CLIENT ID is told, or closed"),
    ("AFTER ms", "later"),
];

const VERB_MISSING: &str = "a verb is needed; see REHEARSE HELP";
