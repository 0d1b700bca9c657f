//! Sockets in front of the [`Server`]: one thread, one executor, one task for each connection.
//!
//! A connection's task reads as much as there is, up to what one read takes, lets the server handle
//! all of it, and writes all replies at once. It does not read while its client does not.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_lite::StreamExt;
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::connection::Connection;
use socket2::Socket;

use super::dial::Dialer;
use super::raw;
use super::serving::{Clock, Doorway, Running, Shared, keep_time};
use super::stream::Stream;
use super::tls::ServerTls;
use super::upstream::UpstreamConfig;
use crate::rehearsal::maintenance::node::{Accept, NodeId};
use crate::rehearsal::server::{Server, ServerConfig};

/// Most connections at a time, over all listeners; one more is refused with an error.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct EndpointsConfig {
    /// Addresses to listen on, all in front of one keyspace; port 0 takes a free one. Default:
    /// 127.0.0.1:7001 and 127.0.0.1:7002.
    pub listen: Vec<SocketAddr>,
    /// The core to pin the thread to; `None`: any. Default: `None`.
    pub core: Option<usize>,
    /// How the server behaves.
    pub server: ServerConfig,
    /// TLS of each listener, in the order of `listen`: `None` is in the clear, and where this list is shorter, its
    /// last element goes for the rest. Default: empty, all in the clear.
    pub tls: Vec<Option<ServerTls>>,
    /// A real Redis to stand in front of: each client gets a connection of its own to it, and what is
    /// not about the rehearsal is forwarded. `None`: everything is answered from memory. It decides
    /// over [`ServerConfig::upstream`]. Default: `None`.
    pub upstream: Option<UpstreamConfig>,
}

impl Default for EndpointsConfig {
    fn default() -> Self {
        let listen = [7001, 7002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let server = ServerConfig::default();
        Self { listen: listen.into(), core: None, server, tls: Vec::new(), upstream: None }
    }
}

/// A listening socket, and its TLS.
type Door = (StdListener, Option<ServerTls>);
/// Something to do with the server, on its thread.
type Call = Box<dyn FnOnce(&mut Server) + Send>;

/// In-memory Redis endpoints that run on a thread of their own until they are stopped or dropped.
///
/// May be used from any thread.
#[derive(Debug)]
pub struct Endpoints {
    addresses: Vec<SocketAddr>,
    /// What the serving thread is to do with its server; closed when it is to stop.
    calls: UnboundedSender<Call>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Endpoints {
    /// Binds all addresses and starts to serve them; returns once clients can connect.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound (the message names it), if the kernel or the container forbids
    /// io_uring, or if the executor cannot be created, for instance on a core that does not exist.
    pub fn start(config: EndpointsConfig) -> io::Result<Self> {
        raw::probe_io_uring()?;
        let sockets: Vec<StdListener> =
            config.listen.iter().map(|&address| raw::bind(address)).collect::<io::Result<_>>()?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(StdListener::local_addr).collect::<io::Result<_>>()?;
        let nodes = addresses.clone();
        let tls = |index: usize| config.tls.get(index).or(config.tls.last()).cloned().flatten();
        let doors: Vec<Door> =
            sockets.into_iter().enumerate().map(|(index, socket)| (socket, tls(index))).collect();
        let server = ServerConfig { upstream: config.upstream.is_some(), ..config.server };
        let placement = config.core.map_or(Placement::Unbound, Placement::Fixed);
        let (calls, calls_here) = unbounded();
        let (started, is_started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("hitless-endpoint".into()).spawn(move || {
            // Made on this thread, where a failure can be seen, instead of by glommio's own
            // spawn.
            let executor = LocalExecutorBuilder::new(placement)
                .name("hitless-endpoint")
                .make()
                .map_err(|error| io::Error::other(format!("cannot create the executor: {error}")))?;
            executor.run(async move {
                // The receiver waits for this in `start`.
                let _ = started.send(());
                serve(doors, nodes, server, config.upstream, calls_here).await
            })
        })?;
        let mut endpoints = Self { addresses, calls, thread: Some(thread) };
        match is_started.recv() {
            Ok(()) => Ok(endpoints),
            Err(_) => Err(match endpoints.join() {
                Err(error) => error,
                Ok(()) => io::Error::other("the endpoints' thread ended before it served"),
            }),
        }
    }

    /// The addresses that are served, in the order in which they were configured, with the actual
    /// ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Lets `f` work with the server on its thread, between two requests, and waits for the result.
    /// Clients are sent what it pushes, and let go if it closes them, also if they are idle.
    ///
    /// Nobody is served while `f` runs. It must not be called on a thread that an asynchronous
    /// runtime needs.
    ///
    /// # Errors
    ///
    /// If the thread has ended, as it does when `f` panics.
    pub fn with_server<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Server) -> R + Send + 'static,
    ) -> io::Result<R> {
        let (done, is_done) = mpsc::channel();
        let call = Box::new(move |server: &mut Server| {
            // The receiver waits for this below.
            let _ = done.send(f(server));
        });
        // A call that is refused, or that nobody takes, is dropped, and its sender with it.
        let _ = self.calls.unbounded_send(call);
        is_done.recv().map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the endpoints have ended"))
    }

    /// Closes all listeners and connections, and waits until the thread has ended. Replies that are
    /// not written yet are lost.
    ///
    /// # Errors
    ///
    /// If the thread had failed before.
    pub fn stop(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.calls.close_channel();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the endpoints' thread panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "in-memory endpoints ended with an error");
        }
    }
}

/// Serves until there can be no more `calls`, then ends every task.
async fn serve(
    doors: Vec<Door>,
    nodes: Vec<SocketAddr>,
    config: ServerConfig,
    upstream: Option<UpstreamConfig>,
    mut calls: UnboundedReceiver<Call>,
) -> io::Result<()> {
    let clock = Clock::new();
    let server = Server::new(config, nodes, clock.now_us());
    let doorways = doors
        .iter()
        .map(|(socket, tls)| Ok(Doorway::new(Socket::from(socket.try_clone()?), tls.clone())))
        .collect::<io::Result<Vec<_>>>()?;
    let dialer = upstream.map(Dialer::new);
    let shared = Rc::new(Shared::new(server, clock, doorways, dialer));
    for (index, (socket, _)) in doors.into_iter().enumerate() {
        let listener = raw::listener(socket);
        glommio::spawn_local(accept(NodeId(index), listener, Running::new(&shared))).detach();
    }
    glommio::spawn_local(keep_time(Running::new(&shared))).detach();
    while let Some(call) = calls.next().await {
        shared.with_server(call);
        glommio::executor().yield_if_needed().await;
    }
    shared.stop().await;
    Ok(())
}

/// Accepts connections while the node listens, and starts a task for each.
async fn accept(node: NodeId, listener: TcpListener, running: Running) {
    let shared = &running.0;
    let Some(doorway) = shared.doorway(node) else {
        return;
    };
    loop {
        doorway.opened(&shared.is_stopping).await;
        if shared.is_stopping.get() {
            return;
        }
        let turns = doorway.turns();
        match listener.accept().await {
            Ok(stream) => admit(node, stream, shared),
            // It stopped listening.
            Err(_) if doorway.turns() != turns => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                glommio::timer::sleep(ACCEPT_PAUSE).await;
            }
        }
        // An accept that finds a connection waiting returns at once: a flood must not keep others
        // out.
        glommio::executor().yield_if_needed().await;
    }
}

fn admit(node: NodeId, stream: TcpStream, shared: &Rc<Shared>) {
    // A client that left again before this has no address any more.
    let Ok(peer) = stream.peer_addr() else {
        return;
    };
    let Some(doorway) = shared.doorway(node).filter(|doorway| doorway.is_open()) else {
        raw::reset_on_close(&stream);
        return;
    };
    // A stall is the server's affair: it neither wants input nor has output.
    if shared.server.borrow().accepts(node) == Accept::Drop {
        raw::end(&stream);
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    if shared.tasks.borrow().len() >= CONNECTIONS_MAX {
        match doorway.tls() {
            None => raw::refuse(&stream),
            // To say why would take a handshake.
            Some(_) => raw::end(&stream),
        }
        return;
    }
    let stream = match doorway.tls().map(ServerTls::accept) {
        None => Stream::plain(stream),
        Some(Ok(connection)) => Stream::tls(stream, connection.into()),
        Some(Err(error)) => {
            tracing::warn!(%error, %peer, "cannot begin TLS");
            return;
        }
    };
    let mut id = None;
    shared.with_server(|server| id = Some(server.open(node, peer, shared.clock.now_us())));
    let Some(id) = id else {
        return;
    };
    // Counted from here on, not from the first poll.
    shared.tasks.borrow_mut().insert(id, Waker::noop().clone());
    let mut connection = Connection::new(id, stream, Running::new(shared));
    glommio::spawn_local(async move {
        let result = poll_fn(|cx| connection.poll(cx)).await;
        match result {
            Ok(()) => {}
            Err(error) if connection.is_handshaking() => {
                tracing::info!(%error, %peer, session = %connection.id(), "TLS handshake failed");
            }
            Err(error) => tracing::debug!(%error, session = %connection.id(), "connection lost"),
        }
    })
    .detach();
}
