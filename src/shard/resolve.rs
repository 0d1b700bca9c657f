//! Names to addresses, without stopping the executor: the system's resolver blocks, for seconds if it is unlucky,
//! and runs on a thread of its own.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_channel::oneshot;

use crate::proto::endpoint::Endpoint;

/// All addresses of an endpoint's name, in the system's order.
///
/// # Errors
/// Why there is none, as text.
pub(super) async fn lookup(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    let (sender, receiver) = oneshot::channel();
    let (host, port) = (endpoint.host().to_owned(), endpoint.port());
    let permit = Permit::take().ok_or("too many name look-ups are under way")?;
    let look_up = move || {
        let addresses = (host.as_str(), port).to_socket_addrs();
        drop(permit);
        // Whoever asked may have stopped waiting.
        let _ = sender.send(addresses);
    };
    thread::Builder::new()
        .name("hitless-resolve".into())
        .spawn(look_up)
        .map_err(|error| format!("no thread for looking up {}: {error}", endpoint.host()))?;
    let addresses = match receiver.await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("looking up {}: {error}", endpoint.host())),
        Err(_) => return Err(format!("looking up {} was broken off", endpoint.host())),
    };
    if addresses.is_empty() { Err(format!("{} has no address", endpoint.host())) } else { Ok(addresses) }
}

/// One of the look-ups that may be under way in this process at a time. Each dial holds at most one, so that the
/// count is only ever contended when connections are being made.
struct Permit;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

impl Permit {
    fn take() -> Option<Permit> {
        let taken = UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < LOOKUPS_MAX).then_some(count + 1)
        });
        taken.ok().map(|_| Permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

const LOOKUPS_MAX: usize = 256;
