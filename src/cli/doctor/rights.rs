//! Whether the user may use the commands that the client sends for blocking commands and for caching.

use crate::shard::machine::Finding;
use crate::{Client, Error, Result, cmd};

/// Asks for each of the commands in a form that changes nothing.
pub(super) async fn ask(client: &Client) -> Vec<Finding> {
    // No connection has the id 0, so the server answers that it has ended no wait.
    let unblock = client.run::<i64>(&cmd("CLIENT").arg("UNBLOCK").arg(0)).await;
    let unblock = Right {
        check: "CLIENT UNBLOCK",
        works: "permitted: waits of blocking commands can be ended, also at a handoff",
        lacks: "a blocking command that is to end waits until its timeout, and may be ambiguous after a handoff",
        grant: "allow it: ACL SETUSER … +client|unblock",
        since: "use Redis 5 or later",
    }
    .finding(unblock.map(drop));
    let tracking = Right {
        check: "CLIENT TRACKING",
        works: "permitted: replies can be cached in the client",
        lacks: "replies cannot be cached in the client",
        grant: "allow it if you cache: ACL SETUSER … +client|tracking",
        since: "use Redis 6 or later if you cache",
    }
    .finding(switch_tracking_off(client).await);
    vec![unblock, tracking]
}

/// One command, and what it is needed for.
struct Right {
    check: &'static str,
    works: &'static str,
    lacks: &'static str,
    grant: &'static str,
    since: &'static str,
}

impl Right {
    fn finding(self, answer: Result<()>) -> Finding {
        let Err(error) = answer else { return Finding::ok(self.check, self.works) };
        let problem = error.problem();
        let remedy = match denial(&error) {
            Denial::NotPermitted => self.grant,
            Denial::Unknown => self.since,
            Denial::Other => "run it again: another command worked a moment ago",
        };
        Finding::warn(self.check, format!("{problem}: {}", self.lacks), remedy)
    }
}

/// Why a server did not run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denial {
    NotPermitted,
    Unknown,
    Other,
}

fn denial(error: &Error) -> Denial {
    match error.code() {
        Some("NOPERM") => Denial::NotPermitted,
        // `ERR unknown command` and `ERR Unknown subcommand`, or an error about the number of arguments.
        Some("ERR") => Denial::Unknown,
        _ => Denial::Other,
    }
}

/// On a connection of its own: the command changes its connection.
async fn switch_tracking_off(client: &Client) -> Result<()> {
    let session = client.session().await?;
    session.run::<()>(&cmd("CLIENT").arg("TRACKING").arg("OFF")).await
}
