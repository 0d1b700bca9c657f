//! Credentials from the provider of the application, without stopping the executor: a provider may block, so it is asked on a
//! thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_lite::FutureExt;

use super::permits::Permits;
use super::runtime::Runtime;
use super::state::Shared;
use crate::config::{CredentialsProvider, ResolvedConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::connection::Credentials;
use crate::proto::error::{CloseReason, Outcome};

/// The credentials that a new connection logs in with, if the application has a provider. `timeout` bounds all that the
/// connection does until it is ready.
///
/// # Errors
/// Why there are no credentials.
pub(crate) async fn ask<R: Runtime>(
    runtime: &R,
    config: &ResolvedConfig,
    timeout: Duration,
) -> Result<Option<Credentials>, CloseReason> {
    let Some(provider) = config.provider() else { return Ok(None) };
    // It ends before the whole dial times out, whose error could not name the provider as the cause.
    let asked = run_within(runtime, provider.clone(), timeout * 9 / 10).await;
    asked.map(Some).map_err(CloseReason::Credentials)
}

/// Asks the provider, within the connect timeout, on behalf of live connections.
///
/// # Errors
/// If there is no provider, or it returns nothing, or takes too long.
pub(crate) async fn renewed<R: Runtime>(runtime: &R, config: &ResolvedConfig) -> Result<Credentials> {
    let Some(provider) = config.provider() else {
        let detail = "credentials: there is no provider to ask; see `Config::credentials`";
        return Err(Error::new(ErrorKind::Config, Outcome::Unsent, detail));
    };
    let asked = run_within(runtime, provider.clone(), config.connect_timeout()).await;
    asked.map_err(|problem| Error::from_close_reason(CloseReason::Credentials(problem)).at(config.endpoint()))
}

/// Asks for new credentials because the pool wants them, and passes them to it. Without an answer the pool asks again later.
pub(super) async fn run_renewal<R: Runtime>(shared: &Shared<R>) {
    match renewed(&shared.runtime, &shared.config).await {
        Ok(credentials) => shared.renew(credentials),
        Err(error) => {
            let shard = shared.member.index();
            tracing::warn!(target: "hitless::shard", shard, %error, "no new credentials");
        }
    }
}

async fn run_within<R: Runtime>(
    runtime: &R,
    provider: Arc<dyn CredentialsProvider>,
    time: Duration,
) -> Result<Credentials, String> {
    let too_late = async {
        runtime.timer(time).await;
        Err(format!("the provider took longer than {time:?}"))
    };
    run(provider).or(too_late).await
}

async fn run(provider: Arc<dyn CredentialsProvider>) -> Result<Credentials, String> {
    let permit =
        Permits::take(&THREADS).ok_or("too many threads wait for the provider of credentials already")?;
    let (sender, receiver) = oneshot::channel();
    let ask = move || {
        let asked = catch_unwind(AssertUnwindSafe(|| provider.credentials()));
        drop(permit);
        let answer = match asked {
            Ok(answer) => answer.map_err(|error| shown(&error.to_string())),
            Err(_) => Err("the provider panicked".to_owned()),
        };
        // The caller may have stopped waiting.
        let _ = sender.send(answer);
    };
    let thread = thread::Builder::new().name("hitless-login".into()).spawn(ask);
    thread.map_err(|error| format!("no thread for the provider: {error}"))?;
    receiver.await.unwrap_or_else(|_| Err("the provider was interrupted".to_owned()))
}

/// The error text of the application, short enough for a log line.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The threads of this process that may wait for a provider at a time.
static THREADS: Permits = Permits::new(THREADS_MAX);

const THREADS_MAX: usize = 256;
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_of_threads_come_back() {
        for _ in 0..2 * THREADS_MAX {
            assert!(Permits::take(&THREADS).is_some());
        }
    }
}
