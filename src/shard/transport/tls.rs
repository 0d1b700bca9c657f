//! TLS over a socket: rustls, driven directly, so that a turn of the driver costs one read and one write as it does
//! without.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use glommio::timer::Timer;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error};

use super::refusal::{explain, not_tls};
use crate::config::Tls;
use crate::proto::endpoint::{Endpoint, TlsNames};
use crate::proto::error::{Cause, CloseReason};
use crate::shard::poller::Socket;

pub(super) struct TlsStream {
    socket: Socket,
    session: ClientConnection,
    /// What the socket has received and the session has not taken yet: no more than one read, and nothing is read
    /// while there is any.
    received: Box<[u8]>,
    start: usize,
    end: usize,
    /// What has put an end to the session; told when what came before it is.
    broken: Option<Error>,
}

/// What one connection begins with.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    names: TlsNames,
}

/// What is asked of the server at this endpoint. Certificates that have changed are read again first, if it is time
/// for that, and off this thread.
pub(super) async fn connector(
    tls: &Tls,
    endpoint: &Endpoint,
    configured: &Endpoint,
) -> Result<Connector, CloseReason> {
    if let Some(check) = tls.begin_file_check(Instant::now()) {
        let (sender, receiver) = oneshot::channel();
        let follow = move || {
            check.reload_changed_files();
            // Whoever waits may have left.
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

/// The handshake. The socket is given up if it fails, or is not over shortly before `time` has passed: whoever ends it
/// then can only say that it took too long.
pub(super) async fn shake_hands(
    socket: Socket,
    peer: SocketAddr,
    connector: Connector,
    time: Duration,
) -> Result<TlsStream, CloseReason> {
    let Connector { config, name, names } = connector;
    let session =
        ClientConnection::new(config, name).map_err(|error| unusable(Cause::of(error.to_string(), error)))?;
    let received = vec![0; RECEIVE_BUFFER].into_boxed_slice();
    let mut stream = TlsStream { socket, session, received, start: 0, end: 0, broken: None };
    let mut timer = Timer::new(time - time / 16);
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

/// The reason, if it is one that a person has to see to.
pub(super) fn refusal(error: &io::Error) -> Option<CloseReason> {
    tls_error(error).and_then(|error| explain(error, None))
}

impl TlsStream {
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
                Err(error) => return Poll::Ready(Err(self.bid_farewell(context, error))),
            }
            match self.receive(context) {
                // Without a farewell it may have been cut off by anybody. Replies say themselves where they end.
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // What was taken may want an answer, such as a change of keys.
                    return match self.poll_flush(context) {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                        _ => Poll::Pending,
                    };
                }
            }
        }
        // A peer that sends nothing but what is not for us must not keep this thread to itself.
        self.socket.run_later(context);
        Poll::Pending
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let taken = self.session.writer().write(bytes)?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            // As much is encrypted already as may wait.
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

    /// Tells the server that nothing follows, if the socket takes it at once.
    pub(super) fn end(mut self) {
        self.session.send_close_notify();
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // The last of it may be on its way when the connection is in use already.
            let _ = self.poll_flush(context)?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if std::task::ready!(self.receive(context))? == 0 {
                let ended = "the server closed the connection";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended)));
            }
            if let Err(error) = self.digest() {
                return Poll::Ready(Err(self.bid_farewell(context, error)));
            }
        }
    }

    fn overdue(&self, time: Duration) -> io::Error {
        let text = match self.end {
            // Servers wait for more if they take it for the beginning of something else.
            0 => format!("not a byte within {time:?}: is it a port on which TLS is spoken?"),
            _ => format!("not over within {time:?}"),
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    /// Fills the buffer with what was received, as far as it goes, without asking the socket for more.
    fn take_plaintext(&mut self, buffer: &mut [u8], filled: &mut usize) -> Result<Plaintext, Error> {
        while let Some(room) = buffer.get_mut(*filled..).filter(|room| !room.is_empty()) {
            match self.session.reader().read(room) {
                Ok(0) => return Ok(Plaintext::Ended),
                Ok(count) => *filled += count,
                // What the session took before it broke is told first.
                Err(_) if self.start < self.end && self.broken.is_none() => self.broken = self.digest().err(),
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

    /// Has the session take what was received, until that yields something to read.
    fn digest(&mut self) -> Result<(), Error> {
        while self.start < self.end {
            let mut rest = self.received.get(self.start..self.end).unwrap_or_default();
            let taken =
                self.session.read_tls(&mut rest).map_err(|error| Error::General(error.to_string()))?;
            // After a farewell nothing is taken any more.
            self.start = if taken == 0 { self.end } else { self.start + taken };
            if self.session.process_new_packets()?.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One read of the socket. Everything before it has been digested.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = std::task::ready!(self.socket.poll_read(context, &mut self.received))?;
        (self.start, self.end) = (0, count);
        Poll::Ready(Ok(count))
    }

    /// Tells the server why the session ends, if the socket takes it at once.
    fn bid_farewell(&mut self, context: &mut Context<'_>, error: Error) -> io::Error {
        let _ = self.poll_flush(context);
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

enum Plaintext {
    /// There is no more, or no more room for it.
    Exhausted,
    /// The server has said that nothing follows.
    Ended,
}

/// Where the session writes: to the socket, as far as that takes it.
struct SocketWriter<'a, 'b> {
    socket: &'a Socket,
    context: &'a mut Context<'b>,
}

impl Write for SocketWriter<'_, '_> {
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

/// What was set cannot begin a session.
fn unusable(problem: Cause) -> CloseReason {
    CloseReason::Tls { problem, remedy: None }
}

/// A record at its longest, with room for the beginning of the next.
const RECEIVE_BUFFER: usize = 18 << 10;
/// After this many reads without anything for the caller other tasks run.
const EMPTY_READS_MAX: usize = 8;

#[cfg(test)]
mod tests;
