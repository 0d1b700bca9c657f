//! Sockets of the system: connecting one, and what is asked of it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use glommio::timer::Timer;
use socket2::{Domain, Protocol, SockAddr, Socket as Unconnected, TcpKeepalive, Type};

use crate::config::ResolvedConfig;
use crate::shard::poller::{Poller, Socket};

pub(super) async fn connect(
    poller: &Rc<Poller>,
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
    let socket = poller.register(tcp.into())?;
    let late = async {
        Timer::new(timeout).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {timeout:?}")))
    };
    or(poll_fn(|context| socket.poll_connected(context)), late).await?;
    socket.with(|tcp| {
        // A port of the ephemeral range that nobody listens on may get connected to itself, which would keep its server
        // from ever coming back.
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

/// The kernel knows at once when the other end of a unix socket is gone: there is nothing to ask of it.
pub(super) async fn connect_unix(poller: &Rc<Poller>, path: &str) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let unix = Unconnected::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // A server that is behind with those who want in says so at once; whoever waits here knows how long it may take.
    while let Err(error) = unix.connect(&address) {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(error);
        }
        Timer::new(UNIX_RETRY).await;
    }
    poller.register(unix.into())
}

const KEEPALIVE_PROBES: u32 = 3;
const UNIX_RETRY: Duration = Duration::from_millis(5);
