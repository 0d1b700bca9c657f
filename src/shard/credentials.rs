//! Credentials from the application's provider, without stopping the executor: it may block, and runs on a thread of
//! its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_lite::FutureExt;

use super::Inner;
use crate::config::{CredentialsProvider, ResolvedConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::connection::Credentials;
use crate::proto::error::{CloseReason, Outcome};

/// What a new connection logs in with, if somebody is to be asked; `timeout` is for all that it takes to be ready.
///
/// # Errors
/// Why there is nothing to log in with.
pub(super) async fn ask(
    config: &ResolvedConfig,
    timeout: Duration,
) -> Result<Option<Credentials>, CloseReason> {
    let Some(provider) = config.provider() else { return Ok(None) };
    // Were it as long as the rest, nobody would be told what had taken so long.
    let asked = run_within(provider.clone(), timeout * 9 / 10).await;
    asked.map(Some).map_err(CloseReason::Credentials)
}

/// Asks the provider, within the connect timeout, on behalf of live connections.
///
/// # Errors
/// If there is no provider, or it has nothing, or takes too long.
pub(super) async fn renewed(config: &ResolvedConfig) -> Result<Credentials> {
    let Some(provider) = config.provider() else {
        let detail = "credentials: there is no provider to ask; see `Config::credentials`";
        return Err(Error::new(ErrorKind::Config, Outcome::Unsent, detail));
    };
    let asked = run_within(provider.clone(), config.connect_timeout()).await;
    asked.map_err(|problem| Error::from_close_reason(CloseReason::Credentials(problem)).at(config.endpoint()))
}

/// Asks for new credentials because the pool wants them, and hands them in. The pool asks again by itself if there are
/// none.
pub(super) fn spawn(inner: &Rc<Inner>) {
    let inner = inner.clone();
    let task = async move {
        match renewed(&inner.config).await {
            Ok(credentials) => inner.renew(credentials),
            Err(error) => {
                let shard = inner.member.index();
                tracing::warn!(target: "hitless::shard", shard, %error, "no new credentials");
            }
        }
    };
    glommio::spawn_local(task).detach();
}

async fn run_within(provider: Arc<dyn CredentialsProvider>, time: Duration) -> Result<Credentials, String> {
    let too_late = async {
        glommio::timer::Timer::new(time).await;
        Err(format!("the provider took longer than {time:?}"))
    };
    run(provider).or(too_late).await
}

async fn run(provider: Arc<dyn CredentialsProvider>) -> Result<Credentials, String> {
    let permit = Permit::take().ok_or("too many threads wait for the provider of credentials already")?;
    let (sender, receiver) = oneshot::channel();
    let ask = move || {
        let asked = catch_unwind(AssertUnwindSafe(|| provider.credentials()));
        drop(permit);
        let answer = match asked {
            Ok(answer) => answer.map_err(|error| shown(&error.to_string())),
            Err(_) => Err("the provider panicked".to_owned()),
        };
        // Whoever asked may have stopped waiting.
        let _ = sender.send(answer);
    };
    let thread = thread::Builder::new().name("hitless-login".into()).spawn(ask);
    thread.map_err(|error| format!("no thread for the provider: {error}"))?;
    receiver.await.unwrap_or_else(|_| Err("the provider was broken off".to_owned()))
}

/// The application's words, short enough for a log line.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One of the threads that may wait for a provider at a time, in this process.
struct Permit;

impl Permit {
    fn take() -> Option<Permit> {
        let one_more = |taken: usize| (taken < THREADS_MAX).then_some(taken + 1);
        TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Only touched when connections are made, and when credentials are renewed.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

const THREADS_MAX: usize = 256;
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_of_threads_come_back() {
        for _ in 0..2 * THREADS_MAX {
            assert!(Permit::take().is_some());
        }
    }
}
