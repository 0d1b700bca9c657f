//! Sockets of the system: connecting one, and what is asked of it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use glommio::net::{TcpStream, UnixStream};
use socket2::{SockRef, TcpKeepalive};

use crate::config::Effective;

#[expect(unsafe_code, reason = "the runtime's stream lends its descriptor as a bare number")]
pub(super) async fn connect(
    address: SocketAddr,
    timeout: Duration,
    effective: &Effective,
) -> io::Result<TcpStream> {
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
    Ok(tcp)
}

/// The kernel knows at once when the other end of a unix socket is gone: there is nothing to ask of it.
pub(super) async fn connect_unix(path: &str) -> io::Result<UnixStream> {
    UnixStream::connect(path).await.map_err(plain)
}

/// The system's own error, without the runtime's account of what it was doing.
fn plain(error: glommio::GlommioError<()>) -> io::Error {
    let error = io::Error::from(error);
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error,
    }
}

const KEEPALIVE_PROBES: u32 = 3;
