//! The keys of a load: options for their names and their lifetime, and their removal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use crate::Client;
use crate::cli::options::parse;
use crate::load::{self, CLEANUP_KEYS_MAX, Cleanup, KEY_PREFIX_MAX, KEY_SPACE_MAX, Progress, Workload};

#[derive(Debug, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// Prefix of the key names; twelve digits follow
    #[arg(long, value_name = "TEXT", default_value = "key:", value_parser = prefix)]
    key_prefix: String,
    /// Number of the first key; the last one is this plus --key-space minus 1
    #[arg(long, value_name = "N", default_value = "0")]
    #[arg(value_parser = |s: &str| parse::number(s, 0, KEY_SPACE_MAX - 1))]
    key_minimum: u64,
    /// Expiry of the values that loading and the SET of --ratio write, e.g. 10m [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    ttl: Option<Duration>,
}

impl KeyArgs {
    /// The workload with these keys.
    pub(crate) fn apply(&self, workload: Workload) -> Workload {
        let mut workload = workload;
        workload.key_prefix.clone_from(&self.key_prefix);
        workload.key_minimum = self.key_minimum;
        workload.ttl = self.ttl;
        workload
    }
}

fn prefix(text: &str) -> Result<String, String> {
    match text.len() {
        0..=KEY_PREFIX_MAX => Ok(text.to_owned()),
        long => Err(format!("the prefix has {long} bytes; allowed: at most {KEY_PREFIX_MAX}")),
    }
}

/// Rejects a key space whose removal takes more than some minutes.
pub(crate) fn check_cleanup(key_space: u64) -> Result<(), String> {
    match key_space {
        0..=CLEANUP_KEYS_MAX => Ok(()),
        many => Err(format!(
            "--cleanup goes through all keys, and --key-space has {many}; allowed: a --key-space of 1 to {CLEANUP_KEYS_MAX}"
        )),
    }
}

/// Chooses other keys if those of the run hold values of an earlier run on which its commands fail. Returns the new
/// prefix, which ends in the name of the command, and the reason. The old values stay.
pub(crate) fn prefix_beside_leftovers(client: &Client, workload: &Workload) -> Option<(String, String)> {
    let load::Leftover { key, command, holds, .. } = load::leftover(client, workload)?;
    let prefix = format!("{}{}:", workload.key_prefix, command.to_ascii_lowercase());
    let why = format!(
        "{key} holds {holds}, on which {command} fails: this run uses keys that begin with {prefix} \
         (--key-prefix chooses others, --cleanup removes those of a run after it)"
    );
    Some((prefix, why))
}

/// Removes the keys of a run from all servers and reports progress. The first error ends it.
pub(crate) fn clean_up(
    clients: &[Client],
    workload: &Workload,
    stop: &AtomicBool,
    mut observe: impl FnMut(Progress),
) -> Cleanup {
    // A user who ends the run early still wants its keys removed; a second signal ends the process at once.
    let not_again = AtomicBool::new(false);
    let stop = if stop.load(Ordering::Relaxed) { &not_again } else { stop };
    let all = workload.key_space * clients.len() as u64;
    let mut cleanup = Cleanup::default();
    for (place, client) in clients.iter().enumerate() {
        let before = workload.key_space * place as u64;
        let observe = |done| observe(Progress::CleaningUp { done: before + done, all });
        match load::cleanup(client, workload, stop, observe) {
            Ok(removed) => cleanup.removed += removed,
            Err(error) => {
                cleanup.error = Some(error.to_string());
                break;
            }
        }
    }
    if stop.load(Ordering::Relaxed) {
        cleanup.error.get_or_insert_with(|| "interrupted".to_owned());
    }
    cleanup
}
