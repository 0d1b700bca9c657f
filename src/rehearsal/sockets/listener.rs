//! [`Endpoints`] serves a [`Server`] over sockets: one thread, one executor, one task for each connection.
//!
//! A connection's task reads once, lets the server handle all requests in these bytes, and writes all replies with one
//! write. It does not read while its client does not read.

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
use socket2::Socket;

use super::connection::Connection;
use super::dial::Dialer;
use super::raw;
use super::serving::{Clock, ListeningSocket, Shared, TaskGuard, run_deadlines};
use super::stream::Stream;
use super::tls::ServerTls;
use super::upstream::UpstreamConfig;
use crate::rehearsal::config::{CLUSTER_NODES_MAX, ServerConfig};
use crate::rehearsal::ids::NodeId;
use crate::rehearsal::maintenance::node::Accept;
use crate::rehearsal::server::Server;

/// The settings of [`Endpoints`].
#[derive(Clone, Debug)]
pub struct EndpointsConfig {
    /// The addresses to listen on. All of them serve the same keys. Port 0 takes a free port. Default: 127.0.0.1:7001
    /// and 127.0.0.1:7002.
    pub listen: Vec<SocketAddr>,
    /// The core to which the thread is pinned; `None` does not pin it. Default: `None`.
    pub core: Option<usize>,
    /// How the server behaves.
    pub server: ServerConfig,
    /// TLS of each listener, in the order of `listen`; `None` is plain text. The last element applies to all further
    /// listeners. Default: empty, all plain text.
    pub tls: Vec<Option<ServerTls>>,
    /// The real Redis behind these endpoints: each client gets its own connection to it, and all requests but those of
    /// the rehearsal are forwarded. `None` serves from memory. This replaces [`ServerConfig::upstream`]. Default:
    /// `None`.
    pub upstream: Option<UpstreamConfig>,
}

impl Default for EndpointsConfig {
    fn default() -> Self {
        let listen = [7001, 7002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let server = ServerConfig::default();
        Self { listen: listen.into(), core: None, server, tls: Vec::new(), upstream: None }
    }
}

/// Redis endpoints on a thread of their own, which run until they are stopped or dropped.
///
/// They can be used from any thread. At most 10,000 connections are open at a time, over all listeners; a further one is
/// refused with an error.
#[derive(Debug)]
pub struct Endpoints {
    addresses: Vec<SocketAddr>,
    /// Calls for the serving thread, which stops when this is closed.
    calls: UnboundedSender<Call>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Endpoints {
    /// Binds all addresses and starts to serve them. It returns when clients can connect.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound (the message names it), or if the kernel or the container forbids io_uring. If the
    /// executor cannot be created, for instance on a core that does not exist.
    pub fn start(config: EndpointsConfig) -> io::Result<Self> {
        check_cluster(&config)?;
        raw::probe_io_uring()?;
        let sockets: Vec<StdListener> =
            config.listen.iter().map(|&address| raw::bind(address)).collect::<io::Result<_>>()?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(StdListener::local_addr).collect::<io::Result<_>>()?;
        let nodes = addresses.clone();
        let tls = |index: usize| config.tls.get(index).or(config.tls.last()).cloned().flatten();
        let sockets: Vec<BoundSocket> =
            sockets.into_iter().enumerate().map(|(index, socket)| (socket, tls(index))).collect();
        let server = ServerConfig { upstream: config.upstream.is_some(), ..config.server };
        let placement = config.core.map_or(Placement::Unbound, Placement::Fixed);
        let (calls, calls_here) = unbounded();
        let (started, is_started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("hitless-endpoint".into()).spawn(move || {
            // The executor is created on this thread and not by glommio's own spawn, so that its error is returned.
            let executor = LocalExecutorBuilder::new(placement)
                .name("hitless-endpoint")
                .make()
                .map_err(|error| io::Error::other(format!("cannot create the executor: {error}")))?;
            executor.run(async move {
                // `start` waits for this and keeps the receiver.
                let _ = started.send(());
                serve(sockets, nodes, server, config.upstream, calls_here).await
            })
        })?;
        let mut endpoints = Self { addresses, calls, thread: Some(thread) };
        match is_started.recv() {
            Ok(()) => Ok(endpoints),
            Err(_) => Err(match endpoints.join() {
                Err(error) => error,
                Ok(()) => io::Error::other("the thread of the endpoints ended before it served"),
            }),
        }
    }

    /// The served addresses, in the order of the configuration and with the actual ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Calls `f` with the server on its thread, between two requests, and waits for the result. Pushes and closes by `f`
    /// reach idle connections too. A node that `f` has stopped from listening refuses connections when this returns.
    ///
    /// No client is served while `f` runs. Do not call this on a thread that an async runtime needs, because it blocks.
    ///
    /// # Errors
    ///
    /// If the thread has ended, which it also does when `f` panics.
    pub fn with_server<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Server) -> R + Send + 'static,
    ) -> io::Result<R> {
        let (done, is_done) = mpsc::channel();
        let call = Box::new(move |server: &mut Server| {
            let result = f(server);
            // The receiver below waits for this.
            let tell: Tell = Box::new(move || drop(done.send(result)));
            tell
        });
        // When the thread has ended, the call is dropped together with its sender, and `recv` below fails.
        let _ = self.calls.unbounded_send(call);
        is_done.recv().map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the endpoints have stopped"))
    }

    /// Closes all listeners and connections, and waits until the thread has ended. Replies that are not written yet are
    /// lost.
    ///
    /// # Errors
    ///
    /// If the thread has failed before.
    pub fn stop(mut self) -> io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.calls.close_channel();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread of the endpoints panicked")),
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

fn check_cluster(config: &EndpointsConfig) -> io::Result<()> {
    let Some(cluster) = config.server.cluster else { return Ok(()) };
    let problem = match (config.upstream.is_some(), config.listen.len(), cluster.nodes()) {
        (true, ..) => "a cluster is in memory, and has no upstream".to_owned(),
        (_, _, nodes) if nodes > CLUSTER_NODES_MAX => format!("more than {CLUSTER_NODES_MAX} nodes"),
        (_, listeners, nodes) if listeners != nodes => {
            format!("{nodes} nodes need {nodes} listeners, not {listeners}")
        }
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("cluster {cluster}: {problem}")))
}

/// A listening socket and its TLS.
type BoundSocket = (StdListener, Option<ServerTls>);
/// A call with the server, on its thread.
type Call = Box<dyn FnOnce(&mut Server) -> Tell + Send>;
/// Tells the caller the result of its call, after the changes are carried out.
type Tell = Box<dyn FnOnce() + Send>;

/// Serves until `calls` is closed, then stops every task.
async fn serve(
    sockets: Vec<BoundSocket>,
    nodes: Vec<SocketAddr>,
    config: ServerConfig,
    upstream: Option<UpstreamConfig>,
    mut calls: UnboundedReceiver<Call>,
) -> io::Result<()> {
    let clock = Clock::new();
    let server = Server::new(config, nodes, clock.now_us());
    let listeners = sockets
        .iter()
        .map(|(socket, tls)| Ok(ListeningSocket::new(Socket::from(socket.try_clone()?), tls.clone())))
        .collect::<io::Result<Vec<_>>>()?;
    let dialer = upstream.map(Dialer::new);
    let shared = Rc::new(Shared::new(server, clock, listeners, dialer));
    for (index, (socket, _)) in sockets.into_iter().enumerate() {
        let listener = raw::listener(socket);
        glommio::spawn_local(accept(NodeId(index), listener, TaskGuard::new(&shared))).detach();
    }
    glommio::spawn_local(run_deadlines(TaskGuard::new(&shared))).detach();
    while let Some(call) = calls.next().await {
        let mut tell = None;
        shared.with_server(|server| tell = Some(call(server)));
        tell.into_iter().for_each(|tell| tell());
        glommio::executor().yield_if_needed().await;
    }
    shared.stop().await;
    Ok(())
}

/// Accepts connections while the node listens, and starts a task for each.
async fn accept(node: NodeId, listener: TcpListener, guard: TaskGuard) {
    let shared = &guard.0;
    let Some(socket) = shared.listener(node) else {
        return;
    };
    loop {
        socket.wait_until_listening(&shared.is_stopping).await;
        if shared.is_stopping.get() {
            return;
        }
        let changes = socket.changes();
        match listener.accept().await {
            Ok(stream) => admit(node, stream, shared),
            // The socket has stopped listening, which completes the accept with an error.
            Err(_) if socket.changes() != changes => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                glommio::timer::sleep(ACCEPT_PAUSE).await;
            }
        }
        // An accept returns at once while connections wait, so a flood of connections would starve the other tasks.
        glommio::executor().yield_if_needed().await;
    }
}

fn admit(node: NodeId, stream: TcpStream, shared: &Rc<Shared>) {
    // A client that has closed its connection already has no address.
    let Ok(peer) = stream.peer_addr() else {
        return;
    };
    let Some(listener) = shared.listener(node).filter(|listener| listener.is_listening()) else {
        raw::reset_on_close(&stream);
        return;
    };
    // `Accept::Stall` needs no special case: the server of a stalled node wants no input and has no output.
    if shared.server.borrow().accepts(node) == Accept::Drop {
        raw::close(&stream);
        return;
    }
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    if shared.tasks.borrow().len() >= CONNECTIONS_MAX {
        match listener.tls() {
            None => raw::refuse(&stream),
            // Under TLS, the error could only be sent after a handshake.
            Some(_) => raw::close(&stream),
        }
        return;
    }
    let stream = match listener.tls().map(ServerTls::accept) {
        None => Stream::plain(stream),
        Some(Ok(connection)) => Stream::tls(stream, connection.into()),
        Some(Err(error)) => {
            tracing::warn!(%error, %peer, "cannot start TLS");
            return;
        }
    };
    let mut id = None;
    shared.with_server(|server| id = Some(server.open(node, peer, shared.clock.now_us())));
    let Some(id) = id else {
        return;
    };
    // The connection counts from here on and not from its first poll, so that the limit holds during a flood.
    shared.tasks.borrow_mut().insert(id, Waker::noop().clone());
    let mut connection = Connection::new(id, stream, TaskGuard::new(shared));
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

/// Most connections at a time, over all listeners.
const CONNECTIONS_MAX: usize = 10_000;
/// The pause after a failed accept, for instance when file descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
