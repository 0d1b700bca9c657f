//! Sockets: dialing, and reading and writing without waiting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use super::resolve::Lookups;
use crate::config::Effective;
use crate::proto::endpoint::Endpoint;

/// A connected socket.
pub(super) struct Stream {
    tcp: TcpStream,
    peer: SocketAddr,
}

impl Stream {
    /// The address at the other end.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    #[inline]
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.tcp).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    /// Writes what the socket takes at once; pending if that is nothing.
    #[inline]
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> io::Result<Poll<usize>> {
        match Pin::new(&mut self.tcp).poll_write(context, bytes) {
            Poll::Ready(Ok(count)) => Ok(Poll::Ready(count)),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                context.waker().wake_by_ref();
                Ok(Poll::Pending)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

/// Connects to an endpoint: resolves its name, off this thread, and tries each address in turn.
///
/// The whole is bounded by whoever waits for it; each address gets its share of `timeout`, so that one
/// which swallows packets does not keep the next from being tried.
///
/// # Errors
/// What went wrong with each address, as text.
pub(super) async fn dial(
    endpoint: &Endpoint,
    timeout: Duration,
    effective: &Effective,
    lookups: &Lookups,
) -> Result<Stream, String> {
    let addresses = match endpoint.socket_addr() {
        Some(address) => vec![address],
        None => lookups.recent(endpoint).await?,
    };
    let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let share = (timeout / shares).max(ADDRESS_TIMEOUT_MIN);
    let mut problems = Vec::new();
    for address in addresses {
        match connect(address, share, effective).await {
            Ok(stream) => return Ok(stream),
            Err(error) => problems.push(format!("{address}: {error}")),
        }
    }
    Err(problems.join("; "))
}

#[expect(unsafe_code, reason = "the runtime's stream lends its descriptor as a bare number")]
async fn connect(address: SocketAddr, timeout: Duration, effective: &Effective) -> io::Result<Stream> {
    let tcp = TcpStream::connect_timeout(address, timeout).await.map_err(plain)?;
    // A port of the ephemeral range that nobody listens on may get connected to itself, which would keep its server
    // from ever coming back.
    if tcp.local_addr().map_err(plain)? == tcp.peer_addr().map_err(plain)? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // SAFETY: `tcp` keeps its descriptor open until it is dropped, and neither it nor what borrows from it here goes
    // anywhere before the last use below.
    let descriptor = unsafe { BorrowedFd::borrow_raw(tcp.as_raw_fd()) };
    let socket = SockRef::from(&descriptor);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(effective.keepalive())
        .with_interval((effective.keepalive() / 3).max(Duration::from_secs(1)))
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(effective.tcp_user_timeout()))?;
    Ok(Stream { tcp, peer: address })
}

/// The system's own error, without the runtime's account of what it was doing.
fn plain(error: glommio::GlommioError<()>) -> io::Error {
    let error = io::Error::from(error);
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error,
    }
}

const ADDRESS_TIMEOUT_MIN: Duration = Duration::from_millis(250);
const KEEPALIVE_PROBES: u32 = 3;
