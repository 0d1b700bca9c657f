//! From an endpoint to a connected socket: its addresses, the first of them that answers, and TLS.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
#[cfg(feature = "tls")]
use std::time::Instant;

use glommio::timer::Timer;

use super::race::{self, ATTEMPT_DELAY};
#[cfg(feature = "tls")]
use super::tls;
use super::{Stream, Transport, socket};
use crate::config::ResolvedConfig;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{Cause, CloseReason};
use crate::shard::poller::{Poller, Socket};

/// Connects to an endpoint: tries its `addresses` until one answers; TLS begins there and nowhere else. What finds the
/// addresses has also judged whether they may be dialed.
///
/// The caller bounds the whole, and no single attempt lasts longer than `timeout`.
///
/// # Errors
/// What went wrong with the name, with each address, or with TLS.
pub(in crate::shard) async fn dial(
    endpoint: &Endpoint,
    addresses: impl Future<Output = Result<Vec<SocketAddr>, CloseReason>>,
    timeout: Duration,
    config: &ResolvedConfig,
    poller: &Rc<Poller>,
) -> Result<Stream, CloseReason> {
    if let Some(path) = endpoint.path() {
        let connected = socket::connect_unix(poller, path).await;
        let socket = connected.map_err(|error| {
            let text = format!("{endpoint}: {error}");
            CloseReason::Dial(Cause::of(text, error))
        })?;
        return Ok(Stream::new(Transport::Plain(socket), None));
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = config.tls() {
        // Names and certificates first: what is wrong with them is wrong without a server, too.
        let begin = Instant::now();
        let connector = tls::connector(tls, endpoint, config.endpoint()).await?;
        let (peer, tcp) = connect(addresses.await?, timeout, config, poller).await?;
        let stream = tls::shake_hands(tcp, peer, connector, timeout.saturating_sub(begin.elapsed())).await?;
        return Ok(Stream::new(Transport::Tls(Box::new(stream)), Some(peer)));
    }
    let (peer, tcp) = connect(addresses.await?, timeout, config, poller).await?;
    Ok(Stream::new(Transport::Plain(tcp), Some(peer)))
}

async fn connect(
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    config: &ResolvedConfig,
    poller: &Rc<Poller>,
) -> Result<(SocketAddr, Socket), CloseReason> {
    let attempt = |address| socket::connect(poller, address, timeout, config);
    let raced = race::first(race::in_turn(&addresses), attempt, || Timer::new(ATTEMPT_DELAY)).await;
    raced.map_err(|problems| {
        let text = text(&problems);
        // All of them are in the text; the first stands for them.
        let first = problems.into_iter().next().map(|(_, error)| Cause::of(text.clone(), error));
        CloseReason::Dial(first.unwrap_or_else(|| text.into()))
    })
}

fn text(problems: &[(SocketAddr, io::Error)]) -> String {
    let told = problems.iter().take(PROBLEMS_MAX).map(|(address, error)| format!("{address}: {error}"));
    let mut text = told.collect::<Vec<_>>().join("; ");
    if let Some(more) = problems.len().checked_sub(PROBLEMS_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// How many addresses an error tells of. A name may have hundreds.
const PROBLEMS_MAX: usize = 8;
