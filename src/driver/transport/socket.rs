//! Connecting sockets, and setting their options.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_lite::future::or;
use socket2::{Domain, Protocol, SockAddr, Socket as Unconnected, TcpKeepalive, Type};

use crate::config::ResolvedConfig;
use crate::driver::runtime::{Runtime, Socket};

pub(super) async fn connect<R: Runtime>(
    runtime: &R,
    address: SocketAddr,
    timeout: Duration,
    config: &ResolvedConfig,
) -> io::Result<R::Socket> {
    let tcp = open(Domain::for_address(address), Some(Protocol::TCP))?;
    match tcp.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let socket = runtime.register(tcp.into())?;
    let late = async {
        runtime.timer(timeout).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}")))
    };
    or(poll_fn(|context| socket.poll_connected(context)), late).await?;
    socket.with(|tcp| {
        // A port of the ephemeral range without a listener may get connected to itself. Such a connection would keep the server
        // from ever binding the port again.
        if tcp.local_addr()?.as_socket() == tcp.peer_addr()?.as_socket() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        tcp.set_tcp_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(config.keepalive())
            .with_interval((config.keepalive() / 3).max(Duration::from_secs(1)))
            .with_retries(KEEPALIVE_PROBES);
        tcp.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(config.tcp_user_timeout()))?;
        Ok(())
    })?;
    Ok(socket)
}

/// A unix socket needs no options: the kernel knows at once when its other end is gone.
pub(super) async fn connect_unix<R: Runtime>(runtime: &R, path: &str) -> io::Result<R::Socket> {
    let address = SockAddr::unix(path)?;
    let unix = open(Domain::UNIX, None)?;
    // A server whose backlog is full rejects the attempt at once. Try again until the caller's timeout.
    while let Err(error) = unix.connect(&address) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        runtime.timer(UNIX_RETRY).await;
    }
    runtime.register(unix.into())
}

/// A non-blocking socket that programs which this one starts do not get.
fn open(domain: Domain, protocol: Option<Protocol>) -> io::Result<Unconnected> {
    let socket = Unconnected::new(domain, Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

const KEEPALIVE_PROBES: u32 = 3;
const UNIX_RETRY: Duration = Duration::from_millis(5);
