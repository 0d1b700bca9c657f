//! One client's socket, its session in the server, and its connection to upstream if there is one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::dial::Dialer;
use super::raw;
use super::serving::{Running, Shared};
use super::stream::Stream;
use crate::rehearsal::maintenance::node::Ending;
use crate::rehearsal::server::Server;
use crate::rehearsal::session::SessionId;

/// Reads that one connection may do before it lets others run.
const ROUNDS_MAX: usize = 16;

pub(super) struct Connection {
    id: SessionId,
    stream: Stream,
    /// `None`: the server itself answers.
    upstream: Option<Link>,
    /// The client has sent its last byte; it may still read.
    is_at_end: bool,
    /// The client was told that nothing more will come.
    is_half_closed: bool,
    running: Running,
}

/// The way to upstream.
enum Link {
    Dialing(Pin<Box<dyn Future<Output = io::Result<Stream>>>>),
    Up {
        stream: Stream,
        /// Upstream was told that no more requests will come.
        is_half_closed: bool,
    },
    Down,
}

/// How far a step went.
#[derive(PartialEq, Eq)]
enum Step {
    Moved,
    Waiting,
}

impl Connection {
    pub(super) fn new(id: SessionId, stream: Stream, running: Running) -> Self {
        let dial = |dialer: &Rc<Dialer>| {
            let dialer = Rc::clone(dialer);
            Link::Dialing(Box::pin(async move { dialer.dial().await }))
        };
        let upstream = running.0.dialer.as_ref().map(dial);
        Self { id, stream, upstream, is_at_end: false, is_half_closed: false, running }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    /// Whether the client has not got through TLS's handshake yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.stream.is_handshaking()
    }

    /// Moves bytes between sockets and server, as far as it goes without waiting. Ready when it is
    /// over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = Rc::clone(&self.running.0);
        if let Some(waker) = shared.tasks.borrow_mut().get_mut(&self.id) {
            waker.clone_from(cx.waker());
        }
        for _ in 0..ROUNDS_MAX {
            if shared.is_stopping.get() {
                return Poll::Ready(Ok(()));
            }
            let mut server = shared.server.borrow_mut();
            // What is to end at once is not written any more; writing may be what ends it.
            if self.ends_at_once(&server) {
                return Poll::Ready(Ok(()));
            }
            let is_written = self.poll_write(cx, &mut server)?.is_ready();
            if self.ends_at_once(&server) {
                return Poll::Ready(Ok(()));
            }
            if server.has_backlog(self.id) {
                server.handle_bytes(self.id, shared.clock.now_us(), &[]);
                shared.follow(&mut server);
                continue;
            }
            let step = match server.ending(self.id) {
                Some(Ending::HalfClose) if is_written => self.poll_half_closed(cx, &shared)?,
                Some(_) if is_written => {
                    self.stream.say_farewell();
                    raw::end(self.stream.socket());
                    return Poll::Ready(Ok(()));
                }
                Some(_) => Step::Waiting,
                None if self.is_at_end && self.upstream.is_none() && server.is_drained(self.id) => {
                    self.stream.say_farewell();
                    return Poll::Ready(Ok(()));
                }
                None => self.poll_serving(cx, &shared, &mut server)?,
            };
            if step == Step::Waiting {
                return match self.is_half_closed && self.is_at_end {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                };
            }
        }
        // Others' turn; this one goes on after them.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ends_at_once(&self, server: &Server) -> bool {
        match server.ending(self.id) {
            Some(Ending::AtOnce) => raw::end(self.stream.socket()),
            Some(Ending::Reset) => raw::reset_on_close(self.stream.socket()),
            // Nobody could read what is left to be written.
            Some(_) if self.stream.is_handshaking() => raw::end(self.stream.socket()),
            Some(Ending::AfterOutput | Ending::HalfClose) | None => return false,
        }
        true
    }

    /// Reads from both sides what the server has room for.
    fn poll_serving(
        &mut self,
        cx: &mut Context<'_>,
        shared: &Shared,
        server: &mut Server,
    ) -> io::Result<Step> {
        let mut step = Step::Waiting;
        if self.upstream.is_some() && self.poll_upstream(cx, shared, server) == Step::Moved {
            step = Step::Moved;
        }
        if self.is_at_end || !server.wants_input(self.id) {
            return Ok(step);
        }
        let mut scratch = shared.scratch.borrow_mut();
        match self.stream.poll_read(cx, &mut scratch)? {
            Poll::Pending => return Ok(step),
            Poll::Ready(0) => self.is_at_end = true,
            Poll::Ready(read) => {
                let bytes = scratch.bytes.get(..read).unwrap_or_default();
                server.handle_bytes(self.id, shared.clock.now_us(), bytes);
                shared.follow(server);
            }
        }
        Ok(Step::Moved)
    }

    /// Moves bytes between upstream and server. An upstream that fails is one that has ended.
    fn poll_upstream(&mut self, cx: &mut Context<'_>, shared: &Shared, server: &mut Server) -> Step {
        let result = match &mut self.upstream {
            None | Some(Link::Down) => return Step::Waiting,
            Some(Link::Dialing(dial)) => match dial.as_mut().poll(cx) {
                Poll::Pending => return Step::Waiting,
                Poll::Ready(Ok(stream)) => {
                    self.upstream = Some(Link::Up { stream, is_half_closed: false });
                    return Step::Moved;
                }
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, session = %self.id, "cannot reach upstream");
                    Err(error)
                }
            },
            Some(Link::Up { stream, is_half_closed }) => {
                let is_at_end = self.is_at_end;
                pass(cx, self.id, stream, shared, server).inspect(|step| {
                    // The client's last request is on its way: upstream may end once it has answered.
                    let is_last = is_at_end && *step == Step::Waiting;
                    let is_sent = server.upstream_output(self.id).is_empty() && server.wants_input(self.id);
                    if is_last && is_sent && !std::mem::replace(is_half_closed, true) {
                        stream.say_farewell();
                        raw::end_writing(stream.socket());
                    }
                })
            }
        };
        result.unwrap_or_else(|error| {
            tracing::debug!(%error, session = %self.id, "upstream has ended");
            self.upstream = Some(Link::Down);
            server.upstream_closed(self.id, shared.clock.now_us());
            shared.follow(server);
            Step::Moved
        })
    }

    /// Throws away what a half-closed client still sends.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>, shared: &Shared) -> io::Result<Step> {
        if !std::mem::replace(&mut self.is_half_closed, true) {
            self.upstream = None;
            self.stream.say_farewell();
            raw::end_writing(self.stream.socket());
        }
        if self.is_at_end {
            return Ok(Step::Waiting);
        }
        match self.stream.poll_read(cx, &mut shared.scratch.borrow_mut())? {
            Poll::Pending => return Ok(Step::Waiting),
            Poll::Ready(read) => self.is_at_end = read == 0,
        }
        Ok(Step::Moved)
    }

    /// Writes the session's output; ready when nothing is left of it.
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

/// Writes to upstream what there is, and reads from it once. Its end is an error.
fn pass(
    cx: &mut Context<'_>,
    id: SessionId,
    stream: &mut Stream,
    shared: &Shared,
    server: &mut Server,
) -> io::Result<Step> {
    let mut refusal = None;
    while refusal.is_none() && !server.upstream_output(id).is_empty() {
        match stream.poll_write(cx, server.upstream_output(id)) {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => refusal = Some(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => server.consume_upstream_output(id, written),
            // It may have said why it will have no more.
            Poll::Ready(Err(error)) => refusal = Some(error),
        }
    }
    if !server.wants_upstream_input(id) {
        return Ok(Step::Waiting);
    }
    let mut scratch = shared.scratch.borrow_mut();
    match stream.poll_read(cx, &mut scratch)? {
        Poll::Pending => refusal.map_or(Ok(Step::Waiting), Err),
        Poll::Ready(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Poll::Ready(read) => {
            let bytes = scratch.bytes.get(..read).unwrap_or_default();
            server.handle_upstream_bytes(id, shared.clock.now_us(), bytes);
            shared.follow(server);
            Ok(Step::Moved)
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.running.0.tasks.borrow_mut().remove(&self.id);
        self.running.0.server.borrow_mut().end(self.id);
    }
}
