//! `hitless completions`: prints a completion script for a shell.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::exit::{Failure, SUCCESS};
use crate::cli::options::help;

/// Options of `hitless completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell to print a script for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for this command line and returns the exit code.
pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> Result<u8, Failure> {
    let name = command.get_name().to_owned();
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    let mut out = io::stdout();
    let script = help::without_joiners(&String::from_utf8_lossy(&script));
    let written = out.write_all(script.as_bytes()).and_then(|()| out.flush());
    written.context("could not write the completions").map_err(Failure::Failed)?;
    Ok(SUCCESS)
}

const EXAMPLES: &str = "\
Examples:
  hitless completions bash > ~/.local/share/bash-completion/completions/hitless
      bash; needs the folder and the package bash-completion.
  hitless completions zsh > ~/.zfunc/_hitless
      zsh; with these lines in ~/.zshrc: fpath+=~/.zfunc; autoload -Uz compinit; compinit
  hitless completions fish > ~/.config/fish/completions/hitless.fish
      fish.
  hitless completions elvish >> ~/.config/elvish/rc.elv
      elvish.
  hitless completions powershell >> $PROFILE
      PowerShell.
  source <(hitless completions bash)
      In the current bash only, to try it.

Exit codes:
  0 all well · 1 the script could not be written · 2 usage";

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::cli::command_line::description;

    #[test]
    fn every_script_has_every_option() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut description::command(), "hitless", &mut script);
            let script = String::from_utf8(script).expect("text");
            for subcommand in description::command().get_subcommands() {
                for argument in subcommand.get_opts().filter(|argument| !argument.is_hide_set()) {
                    let long = argument.get_long().expect("every option has a long name");
                    assert!(script.contains(long), "{shell}: --{long}");
                }
            }
        }
    }
}
