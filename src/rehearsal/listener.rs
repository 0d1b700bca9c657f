//! Sockets in front of the [`Server`]: one thread, one executor, one task for each connection.
//!
//! A connection's task reads as much as there is, up to [`READ_BYTES_MAX`], lets the server handle
//! all of it, and writes all replies at once. It does not read while its client does not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_lite::{AsyncRead, AsyncWrite, StreamExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};
use socket2::{Domain, Protocol, Socket, Type};

use super::node::NodeId;
use super::server::{Server, ServerConfig};
use super::session::SessionId;

/// Most connections at a time, over all listeners; one more is refused with an error.
pub const CONNECTIONS_MAX: usize = 10_000;

const READ_BYTES_MAX: usize = 64 << 10;
const ACCEPT_BACKLOG: i32 = 1_024;
/// Reads that one connection may do before it lets others run.
const ROUNDS_MAX: usize = 16;
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
}

impl Default for EndpointsConfig {
    fn default() -> Self {
        let listen = [7001, 7002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self { listen: listen.into(), core: None, server: ServerConfig::default() }
    }
}

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
        probe_io_uring()?;
        let sockets: Vec<StdListener> =
            config.listen.iter().map(|&address| bind(address)).collect::<io::Result<_>>()?;
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(StdListener::local_addr).collect::<io::Result<_>>()?;
        let nodes = addresses.clone();
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
                serve(sockets, nodes, config.server, calls_here).await
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

/// Asks the kernel for a ring, because glommio panics if it gets none, and blames the kernel's age.
fn probe_io_uring() -> io::Result<()> {
    // At least as large as the kernel's io_uring_params, which are all zero by default.
    let mut params = [0u8; 120];
    // SAFETY: the call reads and writes the 120 bytes of io_uring_params, which `params` holds; the
    // descriptor that it returns belongs to nobody else.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: `fd` was just opened and is closed once. File descriptors fit in an i32.
        drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as i32) });
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let cause = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring (5.8 or newer is needed)",
        Some(libc::EPERM) => {
            "io_uring is forbidden, by a seccomp filter (the default in most containers) or by the \
             sysctl kernel.io_uring_disabled"
        }
        Some(libc::ENOMEM) => "io_uring gets no memory: see the locked-memory limit (ulimit -l)",
        _ => "io_uring is not available",
    };
    Err(io::Error::new(error.kind(), format!("{cause}: {error}")))
}

/// Binds without SO_REUSEPORT, which glommio's own bind sets: two processes would share a port
/// unknowingly.
fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(ACCEPT_BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// What the tasks of one executor share. Borrowed within one poll only, never across.
struct Shared {
    server: RefCell<Server>,
    /// The connections' tasks, to be woken when something other than their socket concerns them.
    tasks: RefCell<BTreeMap<SessionId, Waker>>,
    scratch: RefCell<Box<[u8]>>,
    clock: Clock,
    is_stopping: Cell<bool>,
    /// Accepting and serving tasks that have not ended.
    running: Cell<usize>,
    /// Waits for the last of them.
    last_ended: RefCell<Option<Waker>>,
}

impl Shared {
    fn with_server(&self, f: impl FnOnce(&mut Server)) {
        let mut server = self.server.borrow_mut();
        f(&mut server);
        self.wake_disturbed(&mut server);
    }

    /// Wakes the tasks of sessions that others have changed.
    fn wake_disturbed(&self, server: &mut Server) {
        while let Some(id) = server.next_disturbed() {
            if let Some(waker) = self.tasks.borrow().get(&id) {
                waker.wake_by_ref();
            }
        }
    }
}

/// Unix time that never goes back: the wall clock is read once.
struct Clock {
    base_us: u64,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base_us: since_1970.as_micros() as u64, start: Instant::now() }
    }

    fn now_us(&self) -> u64 {
        self.base_us + self.start.elapsed().as_micros() as u64
    }
}

/// Counts a task for as long as it lives.
struct Running(Rc<Shared>);

impl Running {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get().saturating_sub(1));
        if self.0.running.get() == 0
            && let Some(waker) = self.0.last_ended.take()
        {
            waker.wake();
        }
    }
}

/// Serves until there can be no more `calls`, then ends every task.
async fn serve(
    sockets: Vec<StdListener>,
    nodes: Vec<SocketAddr>,
    config: ServerConfig,
    mut calls: UnboundedReceiver<Call>,
) -> io::Result<()> {
    let clock = Clock::new();
    let shared = Rc::new(Shared {
        server: RefCell::new(Server::new(config, nodes, clock.now_us())),
        tasks: RefCell::default(),
        scratch: RefCell::new(vec![0; READ_BYTES_MAX].into()),
        clock,
        is_stopping: Cell::new(false),
        running: Cell::new(0),
        last_ended: RefCell::new(None),
    });
    // Kept beside the listeners: shutting a socket down ends the accept that waits in the ring.
    let mut handles = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        handles.push(Socket::from(socket.try_clone()?));
        // SAFETY: the descriptor comes out of an owner that gives it up, so the listener owns it
        // alone.
        let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
        glommio::spawn_local(accept(NodeId(index), listener, Running::new(&shared))).detach();
    }
    while let Some(call) = calls.next().await {
        shared.with_server(call);
        glommio::executor().yield_if_needed().await;
    }

    shared.is_stopping.set(true);
    for handle in &handles {
        if let Err(error) = handle.shutdown(std::net::Shutdown::Both) {
            tracing::warn!(%error, "cannot shut a listener down");
        }
    }
    shared.tasks.borrow().values().for_each(Waker::wake_by_ref);
    poll_fn(|cx| {
        *shared.last_ended.borrow_mut() = Some(cx.waker().clone());
        if shared.running.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Ok(())
}

/// Accepts connections, and starts a task for each.
async fn accept(node: NodeId, listener: TcpListener, running: Running) {
    let shared = &running.0;
    while !shared.is_stopping.get() {
        match listener.accept().await {
            Ok(stream) => admit(node, stream, shared),
            Err(_) if shared.is_stopping.get() => break,
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
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    if shared.tasks.borrow().len() >= CONNECTIONS_MAX {
        refuse(&stream);
        return;
    }
    let id = shared.server.borrow_mut().open(node, peer, shared.clock.now_us());
    // Counted from here on, not from the first poll.
    shared.tasks.borrow_mut().insert(id, Waker::noop().clone());
    let mut connection = Connection { id, stream, is_at_end: false, running: Running::new(shared) };
    glommio::spawn_local(async move {
        let result = poll_fn(|cx| connection.poll(cx)).await;
        if let Err(error) = result {
            tracing::debug!(%error, session = %connection.id, "connection lost");
        }
    })
    .detach();
}

/// Tells a client that there are too many, as far as its socket takes it without waiting.
fn refuse(stream: &TcpStream) {
    const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";
    let (fd, flags) = (stream.as_raw_fd(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: the pointer and the length are those of REFUSAL, and `stream` keeps the descriptor
    // open.
    unsafe { libc::send(fd, REFUSAL.as_ptr().cast(), REFUSAL.len(), flags) };
}

/// One client's socket, and its session in the server.
struct Connection {
    id: SessionId,
    stream: TcpStream,
    /// The client has sent its last byte; it may still read.
    is_at_end: bool,
    running: Running,
}

impl Connection {
    /// Moves bytes between socket and server, as far as it goes without waiting. Ready when it is
    /// over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = Rc::clone(&self.running.0);
        if let Some(waker) = shared.tasks.borrow_mut().get_mut(&self.id) {
            waker.clone_from(cx.waker());
        }
        for _ in 0..ROUNDS_MAX {
            if shared.is_stopping.get() {
                return Poll::Ready(Ok(()));
            }
            let mut server = shared.server.borrow_mut();
            let is_written = self.poll_write(cx, &mut server)?.is_ready();
            if server.has_backlog(self.id) {
                server.handle_bytes(self.id, shared.clock.now_us(), &[]);
                shared.wake_disturbed(&mut server);
                continue;
            }
            if is_written && (self.is_at_end || server.ending(self.id).is_some()) {
                return Poll::Ready(Ok(()));
            }
            if self.is_at_end || !server.wants_input(self.id) {
                return Poll::Pending;
            }
            let mut scratch = shared.scratch.borrow_mut();
            let stream = Pin::new(&mut self.stream);
            match stream.poll_read(cx, &mut scratch)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => self.is_at_end = true,
                Poll::Ready(read) => {
                    let bytes = scratch.get(..read).unwrap_or_default();
                    server.handle_bytes(self.id, shared.clock.now_us(), bytes);
                    shared.wake_disturbed(&mut server);
                }
            }
        }
        // Others' turn; this one goes on after them.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the session's output; ready when nothing is left of it.
    fn poll_write(&mut self, cx: &mut Context<'_>, server: &mut Server) -> Poll<io::Result<()>> {
        loop {
            let output = server.output(self.id);
            if output.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(cx, output) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => server.consume_output(self.id, written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.running.0.tasks.borrow_mut().remove(&self.id);
        self.running.0.server.borrow_mut().end(self.id);
    }
}
