//! [`Stream`]: a connected socket, plain or under TLS. Dialing it, and reading and writing without blocking.

mod dial;
mod race;
#[cfg(feature = "tls")]
mod refusal;
mod socket;
#[cfg(benching)]
pub(crate) mod tape;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

pub(super) use self::dial::dial;
use super::runtime::Socket;
use crate::proto::error::{Cause, CloseReason};

/// A connected socket, and the protocol under which it carries bytes.
pub(crate) struct Stream<S> {
    transport: Transport<S>,
    peer: Option<SocketAddr>,
    has_received: bool,
    /// The memory of an empty write buffer.
    spare: Vec<u8>,
}

enum Transport<S> {
    Plain(S),
    #[cfg(feature = "tls")]
    Tls(Box<tls::TlsStream<S>>),
    #[cfg(benching)]
    Tape(tape::Tape),
}

impl<S: Socket> Stream<S> {
    fn new(transport: Transport<S>, peer: Option<SocketAddr>) -> Self {
        Stream { transport, peer, has_received: false, spare: Vec::new() }
    }

    /// What replaces a socket where instructions are counted.
    #[cfg(benching)]
    pub(crate) fn tape(tape: tape::Tape) -> Self {
        Stream::new(Transport::Tape(tape), None)
    }

    /// A socket that a test has connected.
    #[cfg(test)]
    pub(crate) fn plain(socket: S) -> Self {
        Stream::new(Transport::Plain(socket), None)
    }

    /// The address at the other end; a unix socket has none.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Reads what has come; 0 bytes are the end. Pending only if nothing that was received is left.
    #[inline(always)]
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = match &mut self.transport {
            Transport::Plain(socket) => socket.poll_read(context, buffer),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_read(context, buffer),
            #[cfg(benching)]
            Transport::Tape(tape) => tape.poll_read(buffer),
        };
        self.has_received |= matches!(read, Poll::Ready(Ok(_)));
        read
    }

    /// Accepts what it has room for; pending if it has none. Nothing is sent before it is [flushed](Stream::poll_flush).
    #[inline]
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(socket) => write(socket, context, bytes),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_write(context, bytes),
            #[cfg(benching)]
            Transport::Tape(tape) => tape.poll_write(bytes),
        }
    }

    /// Sends what was accepted; pending if some of it is left. The task is woken when the socket has room for it.
    #[inline]
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(_) => {
                let _ = context;
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.poll_flush(context),
            #[cfg(benching)]
            Transport::Tape(_) => Poll::Ready(Ok(())),
        }
    }

    /// The reason to close the connection after this error.
    pub(super) fn reason(&self, error: &io::Error) -> CloseReason {
        match &self.transport {
            // A server that expects TLS resets a connection without a word as well.
            Transport::Plain(_)
                if self.peer.is_some()
                    && !self.has_received
                    && error.kind() == io::ErrorKind::ConnectionReset =>
            {
                let text =
                    format!("{error}, without a byte (if the server speaks TLS, use a `rediss://` URL)");
                CloseReason::Io(Cause::of(text, copy(error)))
            }
            Transport::Plain(_) => lost(error),
            #[cfg(feature = "tls")]
            Transport::Tls(_) => tls::refusal(error).unwrap_or_else(|| lost(error)),
            #[cfg(benching)]
            Transport::Tape(_) => lost(error),
        }
    }

    /// An empty write buffer, with the memory of the last one.
    pub(super) fn take_spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    pub(super) fn keep_spare(&mut self, mut spare: Vec<u8>) {
        spare.clear();
        self.spare = spare;
    }

    /// Sends the closing message of the protocol, if it has one and the socket has room.
    pub(super) fn end(self) {
        match self.transport {
            Transport::Plain(_) => {}
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.end(),
            #[cfg(benching)]
            Transport::Tape(_) => {}
        }
    }
}

fn lost(error: &io::Error) -> CloseReason {
    CloseReason::Io(Cause::of(error.to_string(), copy(error)))
}

/// The same error, to be kept.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[inline]
fn write<S: Socket>(socket: &S, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match socket.poll_write(context, bytes) {
        // The server may have answered, or said why, before it closed. Reading returns that first, and then the end.
        Poll::Ready(Err(error)) if is_gone(error.kind()) => Poll::Pending,
        other => other,
    }
}

fn is_gone(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
