//! From an endpoint to a connected socket: its addresses, the first of them that answers, and TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
#[cfg(feature = "tls")]
use std::time::Instant;

use super::race::{self, ATTEMPT_DELAY};
#[cfg(feature = "tls")]
use super::tls;
use super::{Stream, Transport, socket};
use crate::config::ResolvedConfig;
use crate::driver::runtime::Runtime;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{Cause, CloseReason};

/// Connects to an endpoint: tries its `addresses` until one answers, and begins TLS with that one. The future that finds the
/// addresses also checks that they may be dialed.
///
/// The caller bounds the whole, and no single attempt lasts longer than `timeout`.
///
/// # Errors
/// The error of the name, of each address, or of TLS.
pub(crate) async fn dial<R: Runtime>(
    endpoint: &Endpoint,
    addresses: impl Future<Output = Result<Vec<SocketAddr>, CloseReason>>,
    timeout: Duration,
    config: &ResolvedConfig,
    runtime: &R,
) -> Result<Stream<R::Socket>, CloseReason> {
    if let Some(path) = endpoint.path() {
        let connected = socket::connect_unix(runtime, path).await;
        let socket = connected.map_err(|error| {
            let text = format!("{endpoint}: {error}");
            CloseReason::Dial(Cause::of(text, error))
        })?;
        return Ok(Stream::new(Transport::Plain(socket), None));
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = config.tls() {
        // Names and certificates first: their errors do not depend on the server.
        let begin = Instant::now();
        let connector = tls::connector(tls, endpoint, config.endpoint()).await?;
        let (peer, tcp) = connect(addresses.await?, timeout, config, runtime).await?;
        let stream =
            tls::shake_hands(runtime, tcp, peer, connector, timeout.saturating_sub(begin.elapsed())).await?;
        return Ok(Stream::new(Transport::Tls(Box::new(stream)), Some(peer)));
    }
    let (peer, tcp) = connect(addresses.await?, timeout, config, runtime).await?;
    Ok(Stream::new(Transport::Plain(tcp), Some(peer)))
}

async fn connect<R: Runtime>(
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    config: &ResolvedConfig,
    runtime: &R,
) -> Result<(SocketAddr, R::Socket), CloseReason> {
    let attempt = |address| socket::connect(runtime, address, timeout, config);
    let raced = race::first(race::in_turn(&addresses), attempt, || runtime.timer(ATTEMPT_DELAY)).await;
    raced.map_err(|problems| {
        let text = text(&problems);
        // The text has all of them; the first one is the cause.
        let first = problems.into_iter().next().map(|(_, error)| Cause::of(text.clone(), error));
        CloseReason::Dial(first.unwrap_or_else(|| text.into()))
    })
}

fn text(problems: &[(SocketAddr, io::Error)]) -> String {
    let shown = problems.iter().take(PROBLEMS_MAX).map(|(address, error)| format!("{address}: {error}"));
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if let Some(more) = problems.len().checked_sub(PROBLEMS_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// How many addresses an error lists. A name may have hundreds.
const PROBLEMS_MAX: usize = 8;
