//! One client's connection: its socket, its session in the server, and its connection to upstream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::dial::Dialer;
use super::raw;
use super::serving::{Shared, TaskGuard};
use super::stream::Stream;
use crate::rehearsal::ending::Ending;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::server::Server;

/// One client's connection. Dropping it ends the session.
pub(super) struct Connection {
    id: SessionId,
    stream: Stream,
    /// `None` when the server is no proxy.
    upstream: Option<UpstreamConnection>,
    /// The client has closed its direction. It may still read.
    is_at_end: bool,
    /// The direction to the client is shut down.
    is_half_closed: bool,
    guard: TaskGuard,
}

/// ```text
///  Dialing ──▶ Open ──▶ Closed
///     └── dial failed ────▲
/// ```
enum UpstreamConnection {
    Dialing(Pin<Box<dyn Future<Output = io::Result<Stream>>>>),
    Open {
        stream: Stream,
        /// The direction to upstream is shut down.
        is_half_closed: bool,
    },
    Closed,
}

/// Whether a step has moved bytes, or waits for a socket.
#[derive(PartialEq, Eq)]
enum Progress {
    Moved,
    Waiting,
}

impl Connection {
    pub(super) fn new(id: SessionId, stream: Stream, guard: TaskGuard) -> Self {
        let dial = |dialer: &Rc<Dialer>| {
            let dialer = Rc::clone(dialer);
            UpstreamConnection::Dialing(Box::pin(async move { dialer.dial().await }))
        };
        let upstream = guard.0.dialer.as_ref().map(dial);
        Self { id, stream, upstream, is_at_end: false, is_half_closed: false, guard }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// Whether the client's TLS handshake is incomplete.
    pub(super) fn is_handshaking(&self) -> bool {
        self.stream.is_handshaking()
    }

    /// Moves bytes between the sockets and the server until it has to wait. Ready when the connection ends.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = Rc::clone(&self.guard.0);
        if let Some(waker) = shared.tasks.borrow_mut().get_mut(&self.id) {
            waker.clone_from(cx.waker());
        }
        for _ in 0..ROUNDS_MAX {
            if shared.is_stopping.get() {
                return Poll::Ready(Ok(()));
            }
            let mut server = shared.server.borrow_mut();
            // An immediate ending drops the output, so it is checked before the write. A fault can set one at a certain
            // written byte, so it is checked again afterwards.
            if self.ends_at_once(&server) {
                return Poll::Ready(Ok(()));
            }
            let is_written = self.poll_write(cx, &mut server)?.is_ready();
            if self.ends_at_once(&server) {
                return Poll::Ready(Ok(()));
            }
            if server.has_backlog(self.id) {
                server.handle_bytes(self.id, shared.clock.now_us(), &[]);
                shared.apply_changes(&mut server);
                continue;
            }
            let progress = match server.ending(self.id) {
                Some(Ending::HalfClose) if is_written => self.poll_half_closed(cx, &shared)?,
                Some(_) if is_written => {
                    self.stream.send_close_notify();
                    raw::close(self.stream.socket());
                    return Poll::Ready(Ok(()));
                }
                Some(_) => Progress::Waiting,
                None if self.is_at_end && self.upstream.is_none() && server.is_drained(self.id) => {
                    self.stream.send_close_notify();
                    return Poll::Ready(Ok(()));
                }
                None => self.poll_serving(cx, &shared, &mut server)?,
            };
            if progress == Progress::Waiting {
                return match self.is_half_closed && self.is_at_end {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                };
            }
        }
        // The other tasks run first, so that one busy connection does not starve them.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ends_at_once(&self, server: &Server) -> bool {
        match server.ending(self.id) {
            Some(Ending::AtOnce) => raw::close(self.stream.socket()),
            Some(Ending::Reset) => raw::reset_on_close(self.stream.socket()),
            // The output cannot be written before the handshake is complete.
            Some(_) if self.stream.is_handshaking() => raw::close(self.stream.socket()),
            Some(Ending::AfterOutput | Ending::HalfClose) | None => return false,
        }
        true
    }

    /// Reads from both sides while the server has room.
    fn poll_serving(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        server: &mut Server,
    ) -> io::Result<Progress> {
        let mut progress = Progress::Waiting;
        if self.upstream.is_some() && self.poll_upstream(cx, shared, server) == Progress::Moved {
            progress = Progress::Moved;
        }
        if self.is_at_end || !server.wants_input(self.id) {
            return Ok(progress);
        }
        let mut scratch = shared.scratch.borrow_mut();
        match self.stream.poll_read(cx, &mut scratch)? {
            Poll::Pending => return Ok(progress),
            Poll::Ready(0) => self.is_at_end = true,
            Poll::Ready(read) => {
                let bytes = scratch.bytes.get(..read).unwrap_or_default();
                server.handle_bytes(self.id, shared.clock.now_us(), bytes);
                shared.apply_changes(server);
            }
        }
        Ok(Progress::Moved)
    }

    /// Moves bytes between upstream and the server. An error of upstream counts as its close.
    fn poll_upstream(&mut self, cx: &mut Context<'_>, shared: &Shared, server: &mut Server) -> Progress {
        let result = match &mut self.upstream {
            None | Some(UpstreamConnection::Closed) => return Progress::Waiting,
            Some(UpstreamConnection::Dialing(dial)) => match dial.as_mut().poll(cx) {
                Poll::Pending => return Progress::Waiting,
                Poll::Ready(Ok(stream)) => {
                    self.upstream = Some(UpstreamConnection::Open { stream, is_half_closed: false });
                    return Progress::Moved;
                }
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, session = %self.id, "cannot reach upstream");
                    Err(error)
                }
            },
            Some(UpstreamConnection::Open { stream, is_half_closed }) => {
                let is_at_end = self.is_at_end;
                exchange(cx, self.id, stream, shared, server).inspect(|progress| {
                    // The client's last request is written. Upstream can close after its reply.
                    let is_last = is_at_end && *progress == Progress::Waiting;
                    let is_sent = server.upstream_output(self.id).is_empty() && server.wants_input(self.id);
                    if is_last && is_sent && !std::mem::replace(is_half_closed, true) {
                        stream.send_close_notify();
                        raw::shut_down_writing(stream.socket());
                    }
                })
            }
        };
        result.unwrap_or_else(|error| {
            tracing::debug!(%error, session = %self.id, "upstream connection closed");
            self.upstream = Some(UpstreamConnection::Closed);
            server.upstream_closed(self.id, shared.clock.now_us());
            shared.apply_changes(server);
            Progress::Moved
        })
    }

    /// Reads and drops what a half-closed client still sends.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>, shared: &Shared) -> io::Result<Progress> {
        if !std::mem::replace(&mut self.is_half_closed, true) {
            self.upstream = None;
            self.stream.send_close_notify();
            raw::shut_down_writing(self.stream.socket());
        }
        if self.is_at_end {
            return Ok(Progress::Waiting);
        }
        match self.stream.poll_read(cx, &mut shared.scratch.borrow_mut())? {
            Poll::Pending => return Ok(Progress::Waiting),
            Poll::Ready(read) => self.is_at_end = read == 0,
        }
        Ok(Progress::Moved)
    }

    /// Writes the session's output. Ready when all of it is written.
    fn poll_write(&mut self, cx: &mut Context<'_>, server: &mut Server) -> Poll<io::Result<()>> {
        loop {
            let output = server.output(self.id);
            if output.is_empty() {
                return self.stream.poll_flush(cx);
            }
            match self.stream.poll_write(cx, output) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => server.consume_output(self.id, written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Writes the waiting requests to upstream, and reads from it once. A closed upstream is an error.
fn exchange(
    cx: &mut Context<'_>,
    id: SessionId,
    stream: &mut Stream,
    shared: &Shared,
    server: &mut Server,
) -> io::Result<Progress> {
    let mut write_error = None;
    while write_error.is_none() && !server.upstream_output(id).is_empty() {
        match stream.poll_write(cx, server.upstream_output(id)) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => write_error = Some(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => server.consume_upstream_output(id, written),
            // Upstream may have sent an error reply before it closed, so a read follows.
            Poll::Ready(Err(error)) => write_error = Some(error),
        }
    }
    if !server.wants_upstream_input(id) {
        return Ok(Progress::Waiting);
    }
    let mut scratch = shared.scratch.borrow_mut();
    match stream.poll_read(cx, &mut scratch)? {
        Poll::Pending => write_error.map_or(Ok(Progress::Waiting), Err),
        Poll::Ready(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Poll::Ready(read) => {
            let bytes = scratch.bytes.get(..read).unwrap_or_default();
            server.handle_upstream_bytes(id, shared.clock.now_us(), bytes);
            shared.apply_changes(server);
            Ok(Progress::Moved)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.guard.0.tasks.borrow_mut().remove(&self.id);
        self.guard.0.server.borrow_mut().end(self.id);
    }
}

/// Most rounds of one connection before the other tasks run.
const ROUNDS_MAX: usize = 16;
