//! Connecting sockets, and setting their options.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use glommio::timer::Timer;
use socket2::{Domain, Protocol, SockAddr, Socket as Unconnected, TcpKeepalive, Type};

use crate::config::ResolvedConfig;
use crate::shard::reactor::{Reactor, Socket};

pub(super) async fn connect(
    reactor: &Rc<Reactor>,
    address: SocketAddr,
    timeout: Duration,
    config: &ResolvedConfig,
) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let tcp = Unconnected::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    match tcp.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let socket = Socket::register(reactor, tcp.into())?;
    let late = async {
        Timer::new(timeout).await;
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
        tcp.set_tcp_user_timeout(Some(config.tcp_user_timeout()))
    })?;
    Ok(socket)
}

/// A unix socket needs no options: the kernel knows at once when its other end is gone.
pub(super) async fn connect_unix(reactor: &Rc<Reactor>, path: &str) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let unix = Unconnected::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // A server whose backlog is full rejects the attempt at once. Try again until the caller's timeout.
    while let Err(error) = unix.connect(&address) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        Timer::new(UNIX_RETRY).await;
    }
    Socket::register(reactor, unix.into())
}

const KEEPALIVE_PROBES: u32 = 3;
const UNIX_RETRY: Duration = Duration::from_millis(5);
