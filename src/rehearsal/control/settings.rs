//! The verbs that change nodes, or the server as a whole.

use super::arguments::{VerbError, VerbResult, done, exactly, no_arguments, on_or_off, unescape};
use crate::rehearsal::context::{Scope, ServerContext};
use crate::rehearsal::ending::Ending;
use crate::rehearsal::ids::NodeId;
use crate::rehearsal::maintenance::audit::Audit;
use crate::rehearsal::maintenance::close_policy::ClosePolicy;
use crate::rehearsal::maintenance::fault::Fault;
use crate::rehearsal::maintenance::node::Node;
use crate::rehearsal::maintenance::notification::SmigratedShape;
use crate::rehearsal::maintenance::opt_in::OptInReply;
use crate::rehearsal::session::Counts;

pub(super) fn fault(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let fault = match args {
        [off] if off.eq_ignore_ascii_case("off") => None,
        _ => Some(Fault::parse(args)?),
    };
    for_nodes(context, scope, |node| match fault {
        Some(fault) => node.add_fault(fault),
        None => node.faults.clear(),
    });
    context.apply_faults(&scope.nodes);
    done()
}

pub(super) fn return_node(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    no_arguments(args)?;
    for node in &scope.nodes {
        context.return_node(*node);
    }
    done()
}

pub(super) fn close(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let ending = match args {
        [] => Some(Ending::AfterOutput),
        [how] => Ending::named(how),
        _ => None,
    };
    context.close(scope, ending.ok_or(VerbError::Syntax)?);
    done()
}

pub(super) fn reset(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    no_arguments(args)?;
    let state = &mut *context.state;
    state.keyspace.clear();
    state.sequence = 0;
    state.shape = SmigratedShape::default();
    state.commands = 0;
    state.agenda.clear();
    state.audit = Audit::default();
    for node in &mut state.nodes {
        *node = Node::new(node.address);
    }
    state.build_cluster();
    let all: Vec<NodeId> = (0..state.nodes.len()).map(NodeId).collect();
    let scope = Scope { nodes: all, only: None };
    // Sessions at the nodes of a cluster are at new ones.
    context.change_topology(|_| {});
    context.for_each(&scope, |_, session| {
        session.reordered_push = None;
        session.counts = Counts::default();
    });
    context.apply_faults(&scope.nodes);
    done()
}

pub(super) fn maint(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let (name, text) = match args {
        [name] => (name, None),
        [name, text @ ..] if name.eq_ignore_ascii_case("garbage") => (name, Some(unescape(&text.join(" "))?)),
        _ => return Err(VerbError::Syntax),
    };
    let mut reply = OptInReply::named(name).ok_or(VerbError::Syntax)?;
    if let (OptInReply::Garbage(bytes), Some(text)) = (&mut reply, text) {
        *bytes = text;
    }
    for_nodes(context, scope, |node| node.opt_in_reply = reply.clone());
    done()
}

pub(super) fn closing(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    if args.is_empty() {
        return Err(VerbError::Syntax);
    }
    ClosePolicy::DEFAULT.change(args)?;
    for_nodes(context, scope, |node| node.policy = node.policy.change(args).unwrap_or(node.policy));
    done()
}

pub(super) fn delay(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [ms] = exactly(args)?;
    closing(context, scope, &["delay", ms])
}

pub(super) fn replay(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let (which, how) = match args {
        [how] => ("both", *how),
        [which, how] => (*which, *how),
        _ => return Err(VerbError::Syntax),
    };
    let is_on = on_or_off("REPLAY", how)?;
    let which = which.to_ascii_lowercase();
    if !matches!(which.as_str(), "both" | "openers" | "closers") {
        return Err(VerbError::Syntax);
    }
    for_nodes(context, scope, |node| {
        if which != "closers" {
            node.replays_openers = is_on;
        }
        if which != "openers" {
            node.replays_closers = is_on;
        }
    });
    done()
}

pub(super) fn name(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [name] = exactly(args)?;
    let name = (!name.eq_ignore_ascii_case("off")).then(|| name.to_owned());
    for id in &scope.nodes {
        let cluster = context.state.cluster.as_mut();
        if let Some(node) = cluster.and_then(|cluster| cluster.node_mut(cluster.at(*id))) {
            node.hostname.clone_from(&name);
        }
    }
    for_nodes(context, scope, |node| node.name.clone_from(&name));
    done()
}

pub(super) fn listen(context: &mut ServerContext<'_>, scope: &Scope, args: &[&str]) -> VerbResult {
    let [how] = exactly(args)?;
    let is_on = on_or_off("LISTEN", how)?;
    for_nodes(context, scope, |node| node.listens = is_on);
    context.state.dirty_nodes.extend_from_slice(&scope.nodes);
    done()
}

pub(super) fn shape(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [name] = exactly(args)?;
    context.state.shape = SmigratedShape::named(name).ok_or(VerbError::Syntax)?;
    done()
}

pub(super) fn sequence(context: &mut ServerContext<'_>, _: &Scope, args: &[&str]) -> VerbResult {
    let [number] = exactly(args)?;
    context.state.sequence = number.parse().map_err(|_| format!("SEQ: '{number}' is not a number"))?;
    done()
}

fn for_nodes(context: &mut ServerContext<'_>, scope: &Scope, mut f: impl FnMut(&mut Node)) {
    for id in &scope.nodes {
        if let Some(node) = context.state.nodes.get_mut(id.0) {
            f(node);
        }
    }
}
