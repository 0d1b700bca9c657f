//! TLS over a socket. It drives rustls directly, so that a turn of the driver costs one read and one write, as without TLS.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};

use super::refusal::{explain, not_tls};
use crate::config::Tls;
use crate::driver::runtime::{Runtime, Socket};
use crate::proto::endpoint::{Endpoint, TlsNames};
use crate::proto::error::{Cause, CloseReason};

/// A TLS session over a socket.
///
/// Guarantee: a pending read means that nothing received is left, neither encrypted nor decrypted, and that what the session has
/// to send by itself is sent or waits for room in the socket. So a driver that waits for the socket misses nothing.
pub(super) struct TlsStream<S> {
    socket: S,
    session: ClientConnection,
    /// What the socket has received and the session has not taken yet: at most one read. The next read waits until it is empty.
    received: Box<[u8]>,
    start: usize,
    end: usize,
    /// The error that ended the session; returned after all that came before it.
    broken: Option<Error>,
}

/// What one TLS handshake begins with.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    names: TlsNames,
}

/// The TLS configuration for the server at this endpoint. From time to time it first reads certificate files that have changed,
/// on another thread.
pub(super) async fn connector(
    tls: &Tls,
    endpoint: &Endpoint,
    configured: &Endpoint,
) -> Result<Connector, CloseReason> {
    if let Some(check) = tls.begin_file_check(Instant::now()) {
        let (sender, receiver) = oneshot::channel();
        let follow = move || {
            check.reload_changed_files();
            // The caller may have stopped waiting.
            let _ = sender.send(());
        };
        if thread::Builder::new().name("hitless-tls".into()).spawn(follow).is_ok() {
            let _ = receiver.await;
        }
    }
    let names = endpoint.tls_names(configured, tls.explicit_name());
    let (config, name) = tls.connector(&names).map_err(|problem| unusable(problem.into()))?;
    Ok(Connector { config, name, names })
}

/// The handshake. It fails shortly before `time` has passed. The timeout of the whole dial, which ends at `time`, could only say
/// that it took too long.
pub(super) async fn shake_hands<R: Runtime>(
    runtime: &R,
    socket: R::Socket,
    peer: SocketAddr,
    connector: Connector,
    time: Duration,
) -> Result<TlsStream<R::Socket>, CloseReason> {
    let Connector { config, name, names } = connector;
    let session =
        ClientConnection::new(config, name).map_err(|error| unusable(Cause::of(error.to_string(), error)))?;
    let received = vec![0; RECEIVE_BUFFER].into_boxed_slice();
    let mut stream = TlsStream { socket, session, received, start: 0, end: 0, broken: None };
    let mut timer = runtime.timer(time - time / 16);
    let shaken = poll_fn(|context| match stream.poll_handshake(context) {
        Poll::Pending if pin!(&mut timer).poll(context).is_ready() => Poll::Ready(Err(stream.overdue(time))),
        polled => polled,
    })
    .await;
    match shaken {
        Ok(()) => Ok(stream),
        Err(error) => Err(match tls_error(&error) {
            Some(tls) => not_tls(tls, stream.received.get(..stream.end).unwrap_or_default())
                .or_else(|| explain(tls, Some(&names)))
                .unwrap_or_else(|| CloseReason::Dial(Cause::of(format!("{peer}: TLS: {tls}"), tls.clone()))),
            None => {
                let text = format!("{peer}: in the TLS handshake: {error}");
                CloseReason::Dial(Cause::of(text, super::copy(&error)))
            }
        }),
    }
}

/// The reason, if only a person can mend it.
pub(super) fn refusal(error: &io::Error) -> Option<CloseReason> {
    tls_error(error).and_then(|error| explain(error, None))
}

impl<S: Socket> TlsStream<S> {
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        for _ in 0..EMPTY_READS_MAX {
            match self.take_plaintext(buffer, &mut filled) {
                Ok(Plaintext::Ended) => return Poll::Ready(Ok(filled)),
                Ok(Plaintext::Exhausted) if filled > 0 => return Poll::Ready(Ok(filled)),
                Ok(Plaintext::Exhausted) => {}
                Err(error) => return Poll::Ready(Err(self.send_alert(context, error))),
            }
            match self.receive(context) {
                // Without a close_notify anyone on the path may have cut the session off. That is safe: replies have lengths.
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The session may have to answer what it took, such as a key update.
                    return match self.poll_flush(context) {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                        _ => Poll::Pending,
                    };
                }
            }
        }
        // A server that sends only records without data must not keep this thread to itself.
        self.socket.run_later(context);
        Poll::Pending
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let taken = self.session.writer().write(bytes)?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            // The session holds as much encrypted data as it may.
            std::task::ready!(self.poll_flush(context))?;
        }
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut SocketWriter { socket: &self.socket, context }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the close_notify, if the socket has room for it.
    pub(super) fn end(mut self) {
        self.session.send_close_notify();
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // The last message of the handshake may still be sent while the connection is in use.
            let _ = self.poll_flush(context)?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if std::task::ready!(self.receive(context))? == 0 {
                let ended = "the server closed the connection";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended)));
            }
            if let Err(error) = self.process_received() {
                return Poll::Ready(Err(self.send_alert(context, error)));
            }
        }
    }

    fn overdue(&self, time: Duration) -> io::Error {
        let text = match self.end {
            // A server of another protocol may wait for more of what it takes for a request.
            0 => format!("not a byte within {time:?}: is it a port on which TLS is spoken?"),
            _ => format!("not over within {time:?}"),
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Fills the buffer with what was received, without reading from the socket.
    fn take_plaintext(&mut self, buffer: &mut [u8], filled: &mut usize) -> Result<Plaintext, Error> {
        while let Some(room) = buffer.get_mut(*filled..).filter(|room| !room.is_empty()) {
            match self.session.reader().read(room) {
                Ok(0) => return Ok(Plaintext::Ended),
                Ok(count) => *filled += count,
                // What the session took before the error is returned first.
                Err(_) if self.start < self.end && self.broken.is_none() => {
                    self.broken = self.process_received().err()
                }
                Err(_) => {
                    return match self.broken.take_if(|_| *filled == 0) {
                        Some(error) => Err(error),
                        None => Ok(Plaintext::Exhausted),
                    };
                }
            }
        }
        Ok(Plaintext::Exhausted)
    }

    /// Has the session take what was received, until it has something to read.
    fn process_received(&mut self) -> Result<(), Error> {
        while self.start < self.end {
            let mut rest = self.received.get(self.start..self.end).unwrap_or_default();
            let taken =
                self.session.read_tls(&mut rest).map_err(|error| Error::General(error.to_string()))?;
            // After a close_notify the session takes nothing more.
            self.start = if taken == 0 { self.end } else { self.start + taken };
            if self.session.process_new_packets()?.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One read of the socket. The session has taken everything before it.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = std::task::ready!(self.socket.poll_read(context, &mut self.received))?;
        (self.start, self.end) = (0, count);
        Poll::Ready(Ok(count))
    }

    /// Sends the alert that says why the session ends, if the socket has room for it.
    fn send_alert(&mut self, context: &mut Context<'_>, error: Error) -> io::Error {
        let _ = self.poll_flush(context);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

enum Plaintext {
    /// Nothing more was received, or the buffer is full.
    Exhausted,
    /// The server has sent its close_notify.
    Ended,
}

/// The writer of the session: the socket, as far as it has room.
struct SocketWriter<'a, 'b, S> {
    socket: &'a S,
    context: &'a mut Context<'b>,
}

impl<S: Socket> Write for SocketWriter<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match super::write(self.socket, self.context, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// A configuration that cannot begin a session.
fn unusable(problem: Cause) -> CloseReason {
    CloseReason::Tls { problem, remedy: None }
}

/// The longest record, with room for the beginning of the next one.
const RECEIVE_BUFFER: usize = 18 << 10;
/// How many reads without data for the caller follow each other before other tasks run.
const EMPTY_READS_MAX: usize = 8;

#[cfg(all(test, feature = "glommio"))]
mod tests;
