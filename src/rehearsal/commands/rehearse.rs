//! `REHEARSE`: remote control of the announcements and faults of the nodes.

use super::command::{Command, CommandContext, CommandResult};
use crate::rehearsal::context::Scope;
use crate::rehearsal::control::verbs;
use crate::rehearsal::wire::request::Args;

pub(crate) const COMMANDS: &[Command] = &[Command::session("rehearse", -1, rehearse)];

fn rehearse(context: &mut CommandContext<'_>, args: Args<'_>) -> CommandResult {
    context.session.is_controller = true;
    let words: Vec<Vec<u8>> = args.from(1).iter().map(<[u8]>::to_vec).collect();
    let scope = Scope::of_node(context.session.node);
    let result = verbs::rehearse(&mut context.server(), scope, &words);
    let text = result.map_err(|error| format!("ERR REHEARSE: {error}"))?;
    match text.as_str() {
        "OK" => context.session.reply.ok(),
        // A status line, so that programs which expect "OK" and check only for errors need no change.
        line if line.starts_with("OK: ") => context.session.reply.simple(line),
        _ => context.session.reply.verbatim(&text),
    }
    // New faults apply to the output behind this reply.
    if let Some(node) = context.state.nodes.get(context.session.node.0) {
        context.session.set_faults(&node.faults);
        context.state.account_output(context.session, context.now_us);
    }
    Ok(())
}
