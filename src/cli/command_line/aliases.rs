//! Short options and names of other tools.

use clap::{Arg, Command, ValueHint};

/// Adds the short options and names of other tools, and the hints by which a shell completes values.
pub(super) fn with_familiar_names(mut command: Command) -> Command {
    for &(short, long) in SHORTS {
        let is_free = command.get_arguments().all(|argument| argument.get_short() != Some(short));
        command = with_long(command, long, |argument| match argument.get_short() {
            None if is_free => argument.short(short),
            _ => argument,
        });
    }
    for &(alias, long) in ALIASES {
        if command.get_arguments().all(|argument| argument.get_long() != Some(alias)) {
            command = with_long(command, long, |argument| argument.visible_alias(alias));
        }
    }
    command.mut_args(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        let hint = match names.first().map(|name| name.as_str()) {
            Some("URL") => ValueHint::Url,
            Some(name) if name.starts_with("FILE") => ValueHint::FilePath,
            _ => return argument,
        };
        argument.value_hint(hint)
    })
}

fn with_long(command: Command, long: &str, change: impl FnOnce(Arg) -> Arg) -> Command {
    let id =
        command.get_arguments().find(|argument| argument.get_long() == Some(long)).map(Arg::get_id).cloned();
    match id {
        Some(id) => command.mut_arg(id, change),
        None => command,
    }
}

/// Short options with the meaning that they have in redis-benchmark, and `-q`. An option of a subcommand gets one if
/// it has none and the letter is free.
const SHORTS: &[(char, &str)] = &[
    ('u', "url"),
    ('n', "requests"),
    ('d', "value-size"),
    ('P', "pipeline"),
    ('r', "key-space"),
    ('q', "quiet"),
];
/// The names of equal options in other tools.
const ALIASES: &[(&str, &str)] =
    &[("threads", "shards"), ("rps", "rate"), ("qps", "rate"), ("data-size", "value-size")];
