//! `REHEARSE`: remote control of what the endpoints announce and do wrong.

use super::{Command, Context, Outcome};
use crate::rehearsal::maintenance::control;
use crate::rehearsal::maintenance::stage::Scope;
use crate::rehearsal::server::settle;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[Command::session("rehearse", -1, rehearse)];

fn rehearse(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    context.session.is_controller = true;
    let words: Vec<Vec<u8>> = args.from(1).iter().map(<[u8]>::to_vec).collect();
    let scope = Scope { nodes: vec![context.session.node], only: None };
    let done = control::rehearse(&mut context.stage(), scope, &words);
    let text = done.map_err(|error| format!("ERR REHEARSE: {error}"))?;
    match text.as_str() {
        "OK" => context.session.reply.ok(),
        // A status line, as "OK" is: programs that only look for an error need no change.
        line if line.starts_with("OK: ") => context.session.reply.simple(line),
        _ => context.session.reply.verbatim(&text),
    }
    // Faults concern what follows this reply.
    if let Some(node) = context.world.nodes.get(context.session.node.0) {
        context.session.set_faults(&node.faults);
        settle(context.world, context.session, context.now_us);
    }
    Ok(())
}
