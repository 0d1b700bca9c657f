//! How a request becomes a call: the command is found, checked, and queued or executed.

use std::fmt::Write as _;

use super::cluster::route;
use super::command::{Call, Command, CommandContext, CommandResult, fits, lossy, wrong_arity};
use super::registry::find;
use super::transactions::end_watches;
use super::unblocking::serve_ready;
use crate::rehearsal::wire::reply::ErrorReply;
use crate::rehearsal::wire::request::Args;

/// Executes or queues one request. Exactly one reply follows, and then the pushes that the command has caused. Two kinds
/// of commands differ: those that subscribe confirm each name, and those that block can have their reply later.
#[inline]
pub(crate) fn execute(context: &mut CommandContext<'_>, args: Args<'_>) {
    context.state.commands += 1;
    context.session.counts.commands += 1;
    context.session.is_executing = true;
    execute_or_queue(context, args);
    context.session.is_executing = false;
    if context.session.cluster.is_asking {
        route::end_asking(context.session, args);
    }
    context.session.release_pushes();
    if context.state.blocked.count() > 0 {
        serve_ready(context);
    }
}

#[inline]
fn execute_or_queue(context: &mut CommandContext<'_>, args: Args<'_>) {
    let admitted = admit(context, args)
        .and_then(|command| route::check(context.state, context.session, args).map(|()| command));
    match admitted {
        Ok(command) => match &mut context.session.transaction {
            Some(transaction) if !command.is_immediate() => {
                if transaction.queue(args) {
                    context.session.reply.raw(b"+QUEUED\r\n");
                } else {
                    transaction.is_aborted = true;
                    context.session.reply.error(&"ERR transaction is too large".into());
                }
            }
            _ => call(context, command, args),
        },
        Err(error) => {
            context.session.reply.error(&error);
            if let Some(transaction) = &mut context.session.transaction {
                transaction.is_aborted = true;
            }
        }
    }
}

/// Calls an admitted command.
#[inline]
fn call(context: &mut CommandContext<'_>, command: &'static Command, args: Args<'_>) {
    let session = &mut *context.session;
    session.last_command = command.name;
    let result = match command.call {
        Call::Data(_) | Call::Blocking(_) if session.data_error.is_some() => {
            Err(session.data_error.unwrap_or_default().into())
        }
        Call::Data(call) => {
            context.state.audit.note(args);
            call(&mut context.data(), args)
        }
        Call::Blocking(call) => {
            context.state.audit.note(args);
            call(context, args)
        }
        Call::Session(call) => call(context, args),
        Call::Exec => exec(context),
    };
    if let Err(error) = result {
        context.session.reply.error(&error);
    }
}

/// `EXEC`: calls the queued commands. They were admitted when they were queued.
fn exec(context: &mut CommandContext<'_>) -> CommandResult {
    let transaction = context.session.transaction.take().ok_or("ERR EXEC without MULTI")?;
    let is_unchanged = end_watches(context);
    route::check_transaction(context.state, context.session, &transaction)?;
    if transaction.is_aborted {
        return Err("EXECABORT Transaction discarded because of previous errors.".into());
    }
    if !is_unchanged {
        context.session.reply.null_array();
        return Ok(());
    }
    context.session.reply.array(transaction.queue.len());
    context.session.denies_blocking = true;
    for queued in &transaction.queue {
        match find(queued.args().at(0)) {
            Some(command) => call(context, command, queued.args()),
            None => context.session.reply.error(&unknown(queued.args())),
        }
    }
    context.session.denies_blocking = false;
    context.session.last_command = "exec";
    Ok(())
}

/// The command that `args` name, if this session may call it now with these arguments.
#[inline]
fn admit(context: &CommandContext<'_>, args: Args<'_>) -> Result<&'static Command, ErrorReply> {
    let command = find(args.at(0)).ok_or_else(|| unknown(args))?;
    if !fits(command.arity, args.len()) {
        return Err(wrong_arity(command.name));
    }
    if !context.session.authenticated && !command.is_public() {
        return Err("NOAUTH Authentication required.".into());
    }
    if context.session.is_subscribed_in_resp2() && !command.is_allowed_while_subscribed() {
        return Err(only_subscribing(command, args));
    }
    Ok(command)
}

/// The error for a command that is not allowed to a subscribed session of RESP2.
fn only_subscribing(command: &Command, args: Args<'_>) -> ErrorReply {
    let name = command.name;
    let has_subcommands = matches!(name, "client" | "cluster" | "command" | "config" | "pubsub");
    let name = match args.get(1).filter(|_| has_subcommands) {
        Some(subcommand) => format!("{name}|{}", lossy(subcommand, SHOWN_MAX).to_ascii_lowercase()),
        None => name.to_owned(),
    };
    let code = if name == "exec" { "EXECABORT Transaction discarded because of:" } else { "ERR" };
    let allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET";
    format!("{code} Can't execute '{name}': {allowed} are allowed in this context").into()
}

/// The error for an unknown command, in Redis's words.
fn unknown(args: Args<'_>) -> ErrorReply {
    let mut shown = String::new();
    for argument in args.from(1).iter() {
        if shown.len() >= SHOWN_MAX {
            break;
        }
        let room = SHOWN_MAX - shown.len();
        // Writing to a String does not fail.
        let _ = write!(shown, "'{}' ", lossy(argument, room));
    }
    let name = lossy(args.at(0), SHOWN_MAX);
    format!("ERR unknown command '{name}', with args beginning with: {shown}").into()
}

/// Most bytes of an unknown command that its error shows.
const SHOWN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use crate::rehearsal::commands::testing::TestClient;

    #[test]
    fn errors_use_the_words_of_redis() {
        let mut client = TestClient::new();
        client.expect("FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n");
        client.expect("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
        client.expect("Get", "-ERR wrong number of arguments for 'get' command\r\n");
        client.expect("get a b", "-ERR wrong number of arguments for 'get' command\r\n");
    }
}
